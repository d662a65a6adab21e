"""The header that every Torq message begins with."""

from __future__ import annotations

import msgspec

from torq_types.domains import Domain

__all__ = ["HEADER_SIZE", "MAGIC", "PROTOCOL_VERSION", "Header"]

MAGIC = b"TORQ"
PROTOCOL_VERSION = 2
HEADER_SIZE = 32


class Header(msgspec.Struct, frozen=True, gc=False):
    """The 32 bytes in front of a message's payload, as values.

    Layout, little-endian: magic (4 bytes), checksum u32, length u32, version u8, domain u8,
    source u16, sequence u64, timestamp u64.
    """

    checksum: int
    """CRC-32 (zlib's) of everything from byte 8 to the end of the message."""
    length: int
    """Payload bytes behind the header, a multiple of 8."""
    version: int
    domain: Domain
    source: int
    """Who built the message; 0 is the relay itself."""
    sequence: int
    """Counts per source and domain from 1, without holes."""
    timestamp_ns: int
    """When the source built it, UTC nanoseconds since 1970."""
