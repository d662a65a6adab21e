"""The checksum of a message: CRC-32 as zlib computes it, over everything from byte 8 on."""

from __future__ import annotations

from zlib import crc32

__all__ = ["COVERED_FROM", "message_checksum"]

COVERED_FROM = 8
"""The first byte that the checksum covers: the magic and the checksum itself stand before."""


def message_checksum(message: bytes | bytearray | memoryview) -> int:
    """The CRC-32 that belongs in bytes 4 to 8 of ``message``."""
    return crc32(memoryview(message)[COVERED_FROM:])
