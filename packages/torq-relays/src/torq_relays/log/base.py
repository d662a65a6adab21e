"""The append-only log: a relay's one data structure.

A position is a byte offset from the first message ever appended. Messages stand one behind the
other exactly as their publishers sent them, and every message begins on an 8-byte boundary.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod

import msgspec

from torq_codec import DEFAULT_MAX_PAYLOAD, kernel
from torq_relays.log.shared import Gauge
from torq_types import HEADER_SIZE, LogError

__all__ = ["Log", "Region"]

_LENGTH = struct.Struct("<I")
_LENGTH_OFFSET = 8


class Region(msgspec.Struct, frozen=True):
    """A stretch of a log that a reader can map."""

    descriptor: int
    base: int
    """Position of its first byte; for a ring 0."""
    end: int
    """Position behind it, where the next region begins; 0 while it still grows."""
    ring_bytes: int
    """Size of the ring, 0 for a segment of a log on disk."""


class Log(ABC):
    """What a relay needs of a log."""

    log_id: int
    """Names this log: a position means nothing in another one."""
    head: int
    """Position of the oldest message that can be read."""
    tail: int
    """Position where the next message will begin."""
    durable: int
    """Position up to which everything survives as this log promises."""
    gauge: Gauge
    """What readers in other processes see of it."""
    max_message: int = DEFAULT_MAX_PAYLOAD + HEADER_SIZE
    """Bytes of the longest message that can be appended."""

    @abstractmethod
    def append(self, messages: bytes | memoryview) -> None:
        """Add whole, verified messages at the tail. Raises :class:`LogError`; adds all or none.

        Readers see them after :meth:`publish`.
        """

    @abstractmethod
    def read(self, position: int, limit: int) -> bytes:
        """Up to ``limit`` bytes from ``position``, which must lie between head and tail."""

    @abstractmethod
    def region(self, position: int) -> Region:
        """Where a reader finds the message at ``position``."""

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended as durable as this log promises, or begin to."""

    def finish(self) -> None:
        """Make everything appended durable now: nothing more will come. Raises LogError."""
        self.sync()

    @abstractmethod
    def close(self) -> None:
        """Release files and memory."""

    def publish(self) -> None:
        """Let readers in other processes see everything that was appended."""
        self.gauge.tail = self.tail
        # Before the relay looks who sleeps: a reader that lies down looks at the tail once more.
        kernel.fence()

    def retain(self, positions: list[int]) -> None:
        """Drop what is too old to keep, sparing what readers at ``positions`` still need.

        A log that keeps everything, or nothing for long, has nothing to do.
        """
        return

    def read_messages(self, position: int, limit: int) -> bytes:
        """Whole messages from ``position``: about ``limit`` bytes, at least one message."""
        chunk = self.read(position, max(limit, HEADER_SIZE))
        stop, count, _ = kernel.scan(chunk, 0, len(chunk), 0, DEFAULT_MAX_PAYLOAD)
        if count:
            return chunk if stop == len(chunk) else chunk[:stop]
        if not chunk and position >= self.tail:
            return b""
        if len(chunk) < HEADER_SIZE:
            raise LogError(f"no sound message at position {position}: the log ends in its header")
        size = HEADER_SIZE + _LENGTH.unpack_from(chunk, _LENGTH_OFFSET)[0]
        chunk = self.read(position, size)
        stop, count, code = kernel.scan(chunk, 0, len(chunk), 0, DEFAULT_MAX_PAYLOAD)
        if count != 1:
            raise LogError(f"no sound message at position {position} (code {code})")
        return chunk
