"""TLV types 100 to 119: the system about itself. Legal in every domain."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from torq_types.tlv import (
    TLV,
    U8,
    U16,
    U32,
    U64,
    Entry,
    Instrument,
    Text,
    Wire,
    tlv_type,
)

__all__ = [
    "Acknowledgement",
    "ConfigUpdate",
    "Error",
    "ErrorCode",
    "GapCause",
    "Heartbeat",
    "LogPosition",
    "LogRegion",
    "RecoveryRequest",
    "RecoveryResponse",
    "ResourceUsage",
    "Role",
    "SequenceGap",
    "ServiceHello",
    "SystemHealth",
    "TraceContext",
    "WantedInstrument",
    "WantedType",
]


class Role(IntEnum):
    """What a connection to a relay is for."""

    RELAY = 0
    """The relay's own answer."""
    PUBLISHER = 1
    SUBSCRIBER = 2
    MONITOR = 3
    """Wants the relay's own SystemHealth, once a second, and nothing else."""


class ErrorCode(IntEnum):
    """What went wrong, in a number that can be counted."""

    OTHER = 0
    BAD_MAGIC = 1
    BAD_LENGTH = 2
    BAD_CHECKSUM = 3
    BAD_VERSION = 4
    WRONG_DOMAIN = 5
    BAD_TLV = 6
    WRONG_SOURCE = 7
    SEQUENCE = 8
    NOT_A_HELLO = 9
    REGISTRATION_TIMEOUT = 10
    FOREIGN_USER = 11
    TOO_MANY_CONNECTIONS = 12
    BAD_START = 13
    PRECISION = 14
    MALFORMED_INPUT = 15
    INCOMPLETE = 16
    """The connection ended in the middle of a message."""
    SOURCE_TAKEN = 17
    GARBAGE = 18
    """So much that is no message came that the connection was closed."""
    STALLED = 19
    """Half a message came, and then nothing for too long."""
    TOO_MUCH_BUFFERED = 20
    """The relay already holds as many unfinished messages as it may."""


class GapCause(IntEnum):
    """How messages were lost."""

    LAPPED = 1
    """The ring was overwritten before the reader got there: positions are exact."""
    SOURCE_HOLE = 2
    """A source's sequence jumped: sequences are exact."""
    LOG_REPLACED = 3
    """The relay restarted with an empty ring: everything after the old position is gone."""
    RETIRED = 4
    """The log dropped its oldest segments, as its limits say: positions are exact."""


RoleField = Annotated[Role, Wire("u8", 1, 1)]
ErrorField = Annotated[ErrorCode, Wire("u16", 2, 2)]
GapField = Annotated[GapCause, Wire("u8", 1, 1)]


class WantedType(Entry, frozen=True, gc=False):
    """A TLV type that a subscriber wants."""

    tlv_type: U16


class WantedInstrument(Entry, frozen=True, gc=False):
    """An instrument that a subscriber wants."""

    instrument: Instrument


@tlv_type(100)
class Heartbeat(TLV, frozen=True, gc=False):
    """Still alive. A relay's heartbeat tells how far its log reaches."""

    position: U64
    interval_ms: U32


@tlv_type(101)
class Acknowledgement(TLV, frozen=True, gc=False):
    """Relay to publisher: how far its messages got."""

    appended: U64
    """The highest sequence in the log."""
    durable: U64
    """The highest sequence that survives as the domain promises."""


@tlv_type(102)
class Error(TLV, frozen=True, gc=False):
    """Something was refused or could not be carried. ``context`` holds the original text."""

    sequence: U64
    """The offending message's sequence, where one is known."""
    code: ErrorField
    detail: Text
    context: Text = ""


@tlv_type(103)
class ConfigUpdate(TLV, frozen=True, gc=False):
    """A setting changed while running."""

    service: Text
    key: Text
    value: Text


@tlv_type(104)
class ServiceHello(TLV, frozen=True, gc=False):
    """The first message on every connection, from both sides."""

    start_position: U64
    """Subscriber: where to start when ``start_mode`` is 2. Relay: where the stream starts."""
    session: U64
    """When this client started, UTC nanoseconds: another value means that it restarted."""
    next_sequence: U64
    """Publisher: the first sequence to come. Relay to publisher: the last it has, plus one."""
    log_id: U64
    """Names the log, so that a position in one is never used in another; 0 for any."""
    last_timestamp_ns: U64
    """Relay to publisher: its last message's time in the log, which no later one may precede."""
    source: U16
    role: RoleField
    start_mode: U8
    """Subscriber: 0 live, 1 earliest, 2 at ``start_position``."""
    mapped: U8
    """Subscriber: 1 to map the log. Relay: 1 when descriptors come with this hello."""
    types: tuple[WantedType, ...]
    """Empty for all."""
    instruments: tuple[WantedInstrument, ...]
    """Empty for all."""
    name: Text


@tlv_type(105)
class ResourceUsage(TLV, frozen=True, gc=False):
    """What a service costs the machine."""

    resident_bytes: U64
    cpu_time_ns: U64
    open_files: U32
    service: Text


@tlv_type(107)
class SystemHealth(TLV, frozen=True, gc=False):
    """A service's own account of itself."""

    started_ns: U64
    healthy: U8
    service: Text
    counters: Text
    """A JSON object; its form belongs to the service (docs/architecture.md)."""


@tlv_type(108)
class TraceContext(TLV, frozen=True, gc=False):
    """W3C trace context, so that a trace crosses into other software."""

    trace_id: Annotated[bytes, Wire("bytes16", 16, 8)]
    span_id: Annotated[bytes, Wire("bytes8", 8, 8)]
    flags: U8


@tlv_type(109)
class LogPosition(TLV, frozen=True, gc=False):
    """A byte offset of the log.

    Relay to streamed subscriber: the next message stands there. Mapped subscriber to relay: pass
    the segment that holds it.
    """

    position: U64


@tlv_type(110)
class RecoveryRequest(TLV, frozen=True, gc=False):
    """A reader asks for a range of a source's messages again."""

    first_sequence: U64
    last_sequence: U64
    source: U16


@tlv_type(111)
class RecoveryResponse(TLV, frozen=True, gc=False):
    """What of the asked range can still be had."""

    first_sequence: U64
    last_sequence: U64
    position: U64
    source: U16
    complete: U8


@tlv_type(112)
class SequenceGap(TLV, frozen=True, gc=False):
    """Messages were lost, and exactly which."""

    from_position: U64
    """First lost byte of the log."""
    to_position: U64
    """First byte that can be read again."""
    first_sequence: U64
    last_sequence: U64
    source: U16
    cause: GapField


@tlv_type(113)
class LogRegion(TLV, frozen=True, gc=False):
    """Relay to mapped subscriber: what the descriptor that comes with this message holds."""

    base: U64
    """Position of its first byte; 0 for a ring."""
    end: U64
    """Position behind its last byte; 0 while the segment grows."""
    ring_bytes: U64
    """Size of the ring; 0 for a segment of a log on disk."""
