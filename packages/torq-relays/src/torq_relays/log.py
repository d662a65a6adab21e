"""The append-only log: a relay's one data structure.

A position is a byte offset from the first message ever appended. Messages stand one behind the
other exactly as their publishers sent them, and every message begins on an 8-byte boundary.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from torq_codec import DEFAULT_MAX_PAYLOAD, kernel, message_size
from torq_types import HEADER_SIZE, LogError

__all__ = ["DiskLog", "FsyncPolicy", "Log", "RingLog"]

FsyncPolicy = Literal["always", "never"]

_LENGTH = struct.Struct("<I")
_LENGTH_OFFSET = 8
_SEGMENT_NAME = "{:020d}.torqlog"


class Log(ABC):
    """What a relay needs of a log."""

    log_id: int
    """Names this log: a position means nothing in another one."""
    head: int
    """Position of the oldest message that can be read."""
    tail: int
    """Position where the next message will begin."""
    max_message: int = DEFAULT_MAX_PAYLOAD + HEADER_SIZE
    """Bytes of the longest message that can be appended."""

    @abstractmethod
    def append(self, messages: bytes) -> None:
        """Add whole, verified messages at the tail. Raises :class:`LogError`; adds all or none."""

    @abstractmethod
    def read(self, position: int, limit: int) -> bytes:
        """Up to ``limit`` bytes from ``position``, which must lie between head and tail."""

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended as durable as this log promises."""

    @abstractmethod
    def close(self) -> None:
        """Release files and memory."""

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
    """A ring in memory: the newest ``capacity`` bytes can be read, older ones are overwritten."""

    def __init__(self, capacity: int = 64 * 1024 * 1024) -> None:
        if capacity < 4096 or capacity % 4096:
            raise LogError(f"a ring of {capacity} bytes; expected a multiple of 4096")
        self.capacity = capacity
        self.max_message = min(self.max_message, capacity // 2)
        self.log_id = secrets.randbits(63) | 1
        self.head = 0
        self.tail = 0
        self._fd = os.memfd_create("torq-ring", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, capacity)
        self._ring = mmap.mmap(self._fd, capacity)

    def append(self, messages: bytes) -> None:
        """Add at the tail, overwriting the oldest messages as far as needed."""
        at = 0
        while len(messages) - at > self.capacity:
            end = at
            while (size := message_size(messages, end)) + end - at <= self.capacity:
                end += size
            if end == at:
                raise LogError(f"a message of {size} bytes does not fit a ring of {self.capacity}")
            self._write(messages[at:end])
            at = end
        self._write(messages[at:] if at else messages)

    def _write(self, messages: bytes) -> None:
        size = len(messages)
        while self.tail + size - self.head > self.capacity:
            self.head += (
                HEADER_SIZE
                + _LENGTH.unpack_from(self._ring, (self.head + _LENGTH_OFFSET) % self.capacity)[0]
            )
        start = self.tail % self.capacity
        first = min(size, self.capacity - start)
        self._ring[start : start + first] = messages[:first]
        if first < size:
            self._ring[: size - first] = messages[first:]
        self.tail += size

    def read(self, position: int, limit: int) -> bytes:
        """A copy of up to ``limit`` bytes from ``position``."""
        size = min(limit, self.tail - position)
        start = position % self.capacity
        first = min(size, self.capacity - start)
        chunk = self._ring[start : start + first]
        return chunk if first == size else chunk + self._ring[: size - first]

    def sync(self) -> None:
        """Nothing: memory is what a ring promises."""

    def close(self) -> None:
        """Unmap the ring."""
        self._ring.close()
        os.close(self._fd)


class DiskLog(Log):
    """Segment files in a folder, kept. A torn tail is cut off when the log is opened."""

    def __init__(
        self, folder: Path, *, segment_size: int = 64 * 1024 * 1024, fsync: FsyncPolicy = "never"
    ) -> None:
        self.folder = folder
        self.head = 0
        self.bytes_cut = 0
        """Bytes of an unfinished message that the last run left and opening cut off."""
        self._segment_size = segment_size
        self._fsync = fsync
        self._unsynced = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.log_id = self._identity()
            self._bases = sorted(int(path.stem) for path in folder.glob("*.torqlog")) or [0]
            self._files = {base: self._open(base) for base in self._bases}
        except OSError as error:
            raise LogError(f"cannot open the log in {folder}: {error}") from error
        self.head = self._bases[0]
        self.tail = self._recover()

    def append(self, messages: bytes) -> None:
        """Write at the tail. A write that fails half-way (a full disk) is undone."""
        base = self._bases[-1]
        if self.tail - base >= self._segment_size:
            base = self.tail
            self._files[base] = self._open(base)
            self._bases.append(base)
        descriptor = self._files[base]
        view = memoryview(messages)
        try:
            while view:
                at = self.tail - base + len(messages) - len(view)
                view = view[os.pwrite(descriptor, view, at) :]
        except OSError as error:
            os.ftruncate(descriptor, self.tail - base)
            reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
            raise LogError(f"cannot append to the log in {self.folder}: {reason}") from error
        self.tail += len(messages)
        self._unsynced = True

    def read(self, position: int, limit: int) -> bytes:
        """Up to ``limit`` bytes from ``position``, not beyond the end of its segment."""
        base = max(base for base in self._bases if base <= position)
        following = [other for other in self._bases if other > base]
        end = following[0] if following else self.tail
        return os.pread(self._files[base], min(limit, end - position), position - base)

    def sync(self) -> None:
        """fsync when the policy says ``always`` and something was appended."""
        if self._unsynced and self._fsync == "always":
            os.fsync(self._files[self._bases[-1]])
        self._unsynced = False

    def close(self) -> None:
        """Flush to disk and close every segment."""
        for descriptor in self._files.values():
            os.fsync(descriptor)
            os.close(descriptor)
        self._files.clear()

    def _identity(self) -> int:
        path = self.folder / "log_id"
        if not path.exists():
            path.write_text(f"{secrets.randbits(63) | 1}\n")
        return int(path.read_text())

    def _open(self, base: int) -> int:
        path = self.folder / _SEGMENT_NAME.format(base)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _recover(self) -> int:
        """Verify the last segment and cut what follows its last sound message."""
        base = self._bases[-1]
        descriptor = self._files[base]
        size = os.fstat(descriptor).st_size
        if not size:
            return base
        with (
            mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as segment,
            memoryview(segment) as view,
        ):
            stop, _, _ = kernel.scan(view, 0, size, 0, DEFAULT_MAX_PAYLOAD)
        if stop < size:
            self.bytes_cut = size - stop
            os.ftruncate(descriptor, stop)
            os.fsync(descriptor)
        return base + stop
