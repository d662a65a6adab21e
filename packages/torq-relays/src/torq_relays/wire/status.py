"""What a relay says of itself; travels as JSON in ``SystemHealth.counters``."""

from __future__ import annotations

import msgspec

__all__ = ["PublisherStatus", "RelayStatus", "SubscriberStatus"]


class PublisherStatus(msgspec.Struct, frozen=True):
    """One source, connected or not."""

    name: str
    source: int
    connected: bool
    sequence: int
    """The last one appended."""
    messages: int
    rate: int
    """Messages in the last full second."""
    holes: int
    missing: int
    """Messages in those holes."""
    repeats: int
    restarts: int


class SubscriberStatus(msgspec.Struct, frozen=True):
    """One connected reader."""

    name: str
    mapped: bool
    """It reads the log itself; what it counts is its own word."""
    position: int
    lag: int
    """Bytes between its position and the tail."""
    gaps: int
    """Times it lost messages for good."""
    holes: int
    repeats: int
    restarts: int
    """Out-of-order messages that it saw, over all sources."""


class RelayStatus(msgspec.Struct, frozen=True):
    """A relay, as of the last full second."""

    domain: str
    position: int
    head: int
    durable: int
    """Position up to which everything is as durable as the domain promises."""
    messages: int
    rate: int
    connections: int
    publishers: list[PublisherStatus]
    subscribers: list[SubscriberStatus]
    faults: dict[str, int]
    """By name of :class:`torq_types.ErrorCode`, in lower case."""
    bytes_skipped: int
    log_errors: int
