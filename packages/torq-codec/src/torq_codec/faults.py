"""What can be wrong with a message, as an exception that says so."""

from __future__ import annotations

import struct

from torq_types import (
    HEADER_SIZE,
    MAGIC,
    PROTOCOL_VERSION,
    ChecksumError,
    DomainError,
    ErrorCode,
    MagicError,
    ProtocolError,
    TlvTypeError,
    TruncatedError,
    VersionError,
)

__all__ = ["DEFAULT_MAX_PAYLOAD", "error_for", "message_size", "several_messages"]

DEFAULT_MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes; a longer payload is taken for a damaged header."""

_HEADER = struct.Struct("<4sIIBBHQQ")

Buffer = bytes | bytearray | memoryview


def message_size(buffer: Buffer, start: int) -> int:
    """Bytes of the message that begins at ``start`` by its header's word."""
    size: int = HEADER_SIZE + _HEADER.unpack_from(buffer, start)[2]
    return size


def error_for(code: int, buffer: Buffer, start: int) -> ProtocolError:
    """The exception for what :func:`torq_codec.kernel.scan` found at ``start``."""
    view = memoryview(buffer)[start:]
    if code == ErrorCode.BAD_MAGIC:
        found = bytes(view[:4])
        return MagicError(f"found {found!r} where a message should begin; expected {MAGIC!r}")
    if code == ErrorCode.INCOMPLETE:
        return TruncatedError(f"a message ends after {len(view)} bytes, before its own length")
    _, checksum, length, version, domain, _, _, _ = _HEADER.unpack_from(view)
    if code == ErrorCode.BAD_VERSION:
        return VersionError(f"found protocol version {version}; this reads {PROTOCOL_VERSION}")
    if code == ErrorCode.BAD_LENGTH:
        return ProtocolError(f"a payload of {length} bytes: not a multiple of 8, or too long")
    if code == ErrorCode.BAD_CHECKSUM:
        return ChecksumError(f"the header's checksum {checksum:#010x} does not fit its message")
    if code == ErrorCode.WRONG_DOMAIN:
        return DomainError(f"found domain {domain}; expected one of 1, 2, 3 that belongs here")
    return TlvTypeError(f"a TLV's type or length is not legal in domain {domain}")


def several_messages(found: int, first: int) -> ProtocolError:
    """The exception for ``found`` bytes, of which the first message takes only ``first``."""
    return ProtocolError(
        f"expected one message in {found} bytes; the first takes {first}"
        " (iter_messages reads several)"
    )
