"""A log in memory: the newest bytes can be read, older ones are overwritten."""

from __future__ import annotations

import mmap
import os
import secrets

from torq_codec import kernel, message_size
from torq_relays.log.base import Log, Region
from torq_relays.log.shared import Gauge, seal
from torq_types import LogError

__all__ = ["RingLog"]


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
