"""A relay's log as its readers on the same host see it, through the descriptors it passed."""

from __future__ import annotations

import mmap
import os

from torq_relays.log.shared import Gauge
from torq_types import TransportError

__all__ = ["LappedError", "MappedLog"]


class LappedError(Exception):
    """The ring's writer was faster: the bytes at the position are not there any more."""


class MappedLog:
    """Copies stretches of a log out of shared memory, and knows when a copy cannot be trusted.

    A ring is mapped. A segment of a log on disk is read through its descriptor: that is the same
    copy out of the same page cache, and a file that somebody cuts short is an error instead of
    a SIGBUS.
    """

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self._ring: mmap.mmap | None = None
        self._ring_bytes = 0
        self._segment = -1
        self._base = 0
        self._end = 0

    def attach(self, descriptor: int, base: int, end: int, ring_bytes: int) -> None:
        """Use the region behind ``descriptor``, and take the descriptor over.

        ``end`` is 0 for a segment that still grows. Raises :class:`TransportError`.
        """
        self._detach()
        self._base, self._end, self._ring_bytes = base, end, ring_bytes
        if not ring_bytes:
            self._segment = descriptor
            return
        try:
            self._ring = mmap.mmap(descriptor, ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        except (OSError, ValueError, OverflowError) as error:
            raise TransportError(f"cannot map the log that the relay passed: {error}") from error
        finally:
            os.close(descriptor)

    @property
    def is_attached(self) -> bool:
        """Whether there is anything to read from."""
        return self._ring is not None or self._segment >= 0

    def wants_segment_at(self, position: int) -> bool:
        """Whether ``position`` lies in a segment that the relay must pass first."""
        if self._ring is not None:
            return False
        return self._segment < 0 or position < self._base or 0 < self._end <= position

    def read(self, position: int, limit: int) -> bytes:
        """A copy of what stands between ``position`` and the tail, up to ``limit`` bytes.

        Raises :class:`LappedError` when any of it was, or may have been, overwritten.
        """
        available = self.gauge.tail - position
        if available <= 0:
            return b""
        if self._ring is None:
            if self._end:
                available = min(available, self._end - position)
            wanted = min(available, limit)
            try:
                found = os.pread(self._segment, wanted, position - self._base)
            except OSError as error:
                raise TransportError(f"cannot read the log that was passed: {error}") from error
            if self._end and len(found) < wanted:  # one that grows may have had its successor
                raise TransportError(f"a segment of the log was cut at {position + len(found)}")
            return found
        capacity = self._ring_bytes
        if available > capacity:
            raise LappedError
        size = min(available, limit)
        start = position % capacity
        chunk = self._ring[start : start + size]
        if len(chunk) < size:
            chunk += self._ring[: size - len(chunk)]
        if self.gauge.claimed - capacity > position:
            raise LappedError
        return chunk

    def close(self) -> None:
        """Let go of everything."""
        self._detach()
        self.gauge.close()

    def _detach(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._segment >= 0:
            os.close(self._segment)
            self._segment = -1
