"""The Torq relays: an append-only log per domain, its publishers and subscribers."""

from __future__ import annotations

from torq_relays.client.async_publisher import AsyncPublisher
from torq_relays.client.async_subscriber import AsyncSubscriber
from torq_relays.client.backoff import Backoff
from torq_relays.client.batch import Batch
from torq_relays.client.publisher import Publisher
from torq_relays.client.sink import BatchingSink, CollectingSink, DirectSink, MessageSink
from torq_relays.client.subscriber import Subscriber
from torq_relays.log.base import Log
from torq_relays.log.bookmark import Bookmark
from torq_relays.log.disk import DiskLog
from torq_relays.log.domains import POLICIES, DomainPolicy, LogOptions, open_log
from torq_relays.log.ring import RingLog
from torq_relays.relay.engine import Relay
from torq_relays.relay.limits import RelayLimits
from torq_relays.transports.paths import default_runtime_dir, prepare, socket_path
from torq_relays.wire.status import PublisherStatus, RelayStatus, SubscriberStatus

__all__ = [
    "POLICIES",
    "AsyncPublisher",
    "AsyncSubscriber",
    "Backoff",
    "Batch",
    "BatchingSink",
    "Bookmark",
    "CollectingSink",
    "DirectSink",
    "DiskLog",
    "DomainPolicy",
    "Log",
    "LogOptions",
    "MessageSink",
    "Publisher",
    "PublisherStatus",
    "Relay",
    "RelayLimits",
    "RelayStatus",
    "RingLog",
    "Subscriber",
    "SubscriberStatus",
    "default_runtime_dir",
    "open_log",
    "prepare",
    "socket_path",
]
