"""The append-only log: a relay's one data structure.

A position is a byte offset from the first message ever appended. Messages stand one behind the
other exactly as their publishers sent them, and every message begins on an 8-byte boundary.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from abc import ABC, abstractmethod

import msgspec

from torq_codec import DEFAULT_MAX_PAYLOAD, kernel, message_size
from torq_relays.log.shared import Gauge, seal
from torq_types import HEADER_SIZE, LogError

__all__ = ["Log", "Region", "RingLog"]

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
        if not chunk:
            return b""
        size = HEADER_SIZE + _LENGTH.unpack_from(chunk, _LENGTH_OFFSET)[0]
        chunk = self.read(position, size)
        stop, count, code = kernel.scan(chunk, 0, len(chunk), 0, DEFAULT_MAX_PAYLOAD)
        if count != 1:
            raise LogError(f"no sound message at position {position} (code {code})")
        return chunk


class RingLog(Log):
    """A ring in memory: the newest ``capacity`` bytes can be read, older ones are overwritten.

    One writer, any number of readers that map it. Before a byte is overwritten the gauge's
    ``claimed`` says so: a reader that copied bytes and then finds them unclaimed has them whole.
    (The intent counter of Aeron's broadcast buffer works the same way.)
    """

    def __init__(self, capacity: int = 64 * 1024 * 1024) -> None:
        if capacity < 4096 or capacity % 4096:
            raise LogError(f"a ring of {capacity} bytes; expected a multiple of 4096")
        self.capacity = capacity
        self.max_message = min(self.max_message, capacity // 2)
        self.log_id = secrets.randbits(63) | 1
        self.head = 0
        self.tail = 0
        self._descriptor = os.memfd_create("torq-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._descriptor, capacity)
        # Populated now, so that no page fault delays a message later.
        self._ring = mmap.mmap(
            self._descriptor, capacity, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE
        )
        seal(self._descriptor)
        self.gauge = Gauge()
        self.gauge.open(self.log_id, 0, 0)

    @property
    def durable(self) -> int:  # type: ignore[override]
        """The tail: a ring promises memory only."""
        return self.tail

    def append(self, messages: bytes | memoryview) -> None:
        """Add at the tail, overwriting the oldest messages as far as needed."""
        if len(messages) <= self.capacity:
            self._write(messages)
            return
        pieces = list(self._pieces(messages))
        for piece in pieces:
            self._write(piece)

    def _pieces(self, messages: bytes | memoryview) -> list[memoryview]:
        """``messages`` cut at boundaries into pieces that each fit the ring."""
        view = memoryview(messages)
        pieces: list[memoryview] = []
        start = at = 0
        while at < len(view):
            size = message_size(view, at)
            if size > self.max_message:
                raise LogError(f"a message of {size} bytes does not fit a ring of {self.capacity}")
            if at + size - start > self.capacity:
                pieces.append(view[start:at])
                start = at
            at += size
        pieces.append(view[start:])
        return pieces

    def _write(self, messages: bytes | memoryview) -> None:
        size = len(messages)
        end = self.tail + size
        if end - self.capacity > self.head:
            self.head = kernel.advance(self._ring, self.head, end - self.capacity)
            self.gauge.head = self.head
        self.gauge.claim(end)
        start = self.tail % self.capacity
        first = min(size, self.capacity - start)
        if first == size:
            self._ring[start : start + size] = messages
        else:
            self._ring[start:] = messages[:first]
            self._ring[: size - first] = messages[first:]
        self.tail = end

    def read(self, position: int, limit: int) -> bytes:
        """A copy of up to ``limit`` bytes from ``position``."""
        size = min(limit, self.tail - position)
        start = position % self.capacity
        first = min(size, self.capacity - start)
        chunk = self._ring[start : start + first]
        return chunk if first == size else chunk + self._ring[: size - first]

    def region(self, position: int) -> Region:
        """The whole ring."""
        return Region(self._descriptor, 0, 0, self.capacity)

    def sync(self) -> None:
        """Nothing: memory is what a ring promises."""

    def close(self) -> None:
        """Unmap the ring."""
        self._ring.close()
        os.close(self._descriptor)
        self.gauge.close()
