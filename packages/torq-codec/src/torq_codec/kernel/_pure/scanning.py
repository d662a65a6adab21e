"""Verifying a run of messages, and finding where the next one begins."""

from __future__ import annotations

import struct
from zlib import crc32 as _zlib_crc32

from torq_types import HEADER_SIZE, MAGIC, PROTOCOL_VERSION, ErrorCode, is_type_allowed

__all__ = ["LEGAL_TYPES", "Buffer", "crc32", "find_magic", "scan", "verify"]

Buffer = bytes | bytearray | memoryview

_HEADER = struct.Struct("<4sIIBBHQQ")
_TLV = struct.Struct("<HBBI")
LEGAL_TYPES = tuple(
    frozenset(t for t in range(256) if is_type_allowed(domain, t)) for domain in range(4)
)
"""The TLV types that each domain may carry."""


def crc32(buffer: Buffer, start: int, end: int) -> int:
    """CRC-32 (zlib's) of ``buffer[start:end]``."""
    return _zlib_crc32(memoryview(buffer)[start:end])


def find_magic(buffer: Buffer, start: int, end: int) -> int:
    """Where the next ``TORQ`` begins at or after ``start``.

    -1 when none begins before ``end`` (one that is cut off by ``end`` does not count).
    """
    if isinstance(buffer, memoryview):
        found = bytes(buffer[start:end]).find(MAGIC)
        return found if found < 0 else found + start
    return buffer.find(MAGIC, start, end)


def scan(
    buffer: Buffer, start: int, end: int, domain: int, max_payload: int
) -> tuple[int, int, int]:
    """Verify messages from ``start`` on, and stop at the first that is not whole and sound.

    ``domain`` 0 accepts any. Returns where it stopped, how many messages it passed, and why it
    stopped: 0 at ``end`` exactly, or a value of :class:`torq_types.ErrorCode` (``INCOMPLETE``
    when the bytes so far are a message's beginning).
    """
    view = memoryview(buffer)
    count = 0
    while True:
        code, size = verify(view, start, end, domain, max_payload)
        if code or not size:
            return start, count, code
        start += size
        count += 1


def verify(
    view: memoryview, start: int, end: int, domain: int, max_payload: int
) -> tuple[int, int]:
    """Why no sound message begins at ``start`` (0 if one does), and its size (0 if none does)."""
    available = end - start
    if available < HEADER_SIZE:
        if available == 0:
            return 0, 0
        seen = view[start : start + min(available, 4)]
        wrong = bytes(seen) != MAGIC[: len(seen)]
        return (ErrorCode.BAD_MAGIC if wrong else ErrorCode.INCOMPLETE), 0
    magic, checksum, length, version, found_domain, _, _, _ = _HEADER.unpack_from(view, start)
    if magic != MAGIC:
        return ErrorCode.BAD_MAGIC, 0
    if version != PROTOCOL_VERSION:
        return ErrorCode.BAD_VERSION, 0
    if length % 8 or length > max_payload:
        return ErrorCode.BAD_LENGTH, 0
    size = HEADER_SIZE + length
    if available < size:
        return ErrorCode.INCOMPLETE, 0
    if _zlib_crc32(view[start + 8 : start + size]) != checksum:
        return ErrorCode.BAD_CHECKSUM, 0
    if not 1 <= found_domain <= 3 or (domain and found_domain != domain):
        return ErrorCode.WRONG_DOMAIN, 0
    return _verify_tlvs(view, start + HEADER_SIZE, start + size, found_domain), size


def _verify_tlvs(view: memoryview, at: int, end: int, domain: int) -> int:
    legal = LEGAL_TYPES[domain]
    while at < end:
        tlv_type, version, zero, length = _TLV.unpack_from(view, at)
        at += 8 + length + -length % 8
        if tlv_type not in legal or not version or zero or at > end:
            return ErrorCode.BAD_TLV
    return 0
