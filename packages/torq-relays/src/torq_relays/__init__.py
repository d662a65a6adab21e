"""The Torq relays: an append-only log per domain, its publishers and subscribers."""

from __future__ import annotations

from torq_relays.async_publisher import AsyncPublisher
from torq_relays.async_subscriber import AsyncSubscriber
from torq_relays.backoff import Backoff
from torq_relays.batch import Batch
from torq_relays.bookmark import Bookmark
from torq_relays.disk_log import DiskLog
from torq_relays.domains import POLICIES, DomainPolicy, LogOptions, open_log
from torq_relays.log import Log, RingLog
from torq_relays.paths import default_runtime_dir, prepare, socket_path
from torq_relays.publisher import Publisher
from torq_relays.relay import Relay, RelayLimits
from torq_relays.sink import BatchingSink, CollectingSink, DirectSink, MessageSink
from torq_relays.status import PublisherStatus, RelayStatus, SubscriberStatus
from torq_relays.subscriber import Subscriber

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
