"""The Torq relays: an append-only log per domain, its publishers and subscribers."""

from __future__ import annotations

from torq_relays.backoff import Backoff
from torq_relays.batch import Batch
from torq_relays.domains import POLICIES, DomainPolicy, open_log
from torq_relays.log import DiskLog, Log, RingLog
from torq_relays.paths import default_runtime_dir, prepare, socket_path
from torq_relays.publisher import AsyncPublisher, Publisher
from torq_relays.relay import Relay, RelayLimits
from torq_relays.sink import BatchingSink, CollectingSink, DirectSink, MessageSink
from torq_relays.status import PublisherStatus, RelayStatus, SubscriberStatus
from torq_relays.subscriber import AsyncSubscriber, Subscriber

__all__ = [
    "POLICIES",
    "AsyncPublisher",
    "AsyncSubscriber",
    "Backoff",
    "Batch",
    "BatchingSink",
    "CollectingSink",
    "DirectSink",
    "DiskLog",
    "DomainPolicy",
    "Log",
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
