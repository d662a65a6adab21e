"""A log on disk: segment files, kept as long as wanted, sound after any crash."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import time
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from torq_codec import DEFAULT_MAX_PAYLOAD, kernel
from torq_relays.log.base import Log, Region
from torq_relays.log.shared import Gauge
from torq_types import LogError

__all__ = ["DiskLog", "FsyncPolicy"]

FsyncPolicy = Literal["always", "interval", "never"]

_SEGMENT_NAME = "{:020d}.torqlog"


class DiskLog(Log):
    """Segment files in a folder. A torn tail is cut off when the log is opened.

    ``fsync`` says when messages reach the disk: "always" before :meth:`sync` returns (so before
    any publisher is told), "interval" in a thread of its own at most ``interval_ms`` after they
    were appended, "never" when the kernel likes. ``keep_bytes`` and ``keep_seconds`` bound what
    is kept (0: everything): the oldest segments go, but not while a connected reader needs them,
    unless the log has grown to twice ``keep_bytes``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_size: int = 64 * 1024 * 1024,
        fsync: FsyncPolicy = "never",
        interval_ms: int = 100,
        keep_bytes: int = 0,
        keep_seconds: int = 0,
        clock: Callable[[], int] = time.time_ns,
        on_durable: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.head = 0
        self.bytes_cut = 0
        """Bytes of an unfinished message that the last run left and opening cut off."""
        self.on_durable = on_durable
        """Called, from another thread, when an interval's fsync is done."""
        self._segment_size = segment_size
        self._fsync = fsync
        self._interval_ns = interval_ms * 1_000_000
        self._keep_bytes = keep_bytes
        self._keep_ns = keep_seconds * 1_000_000_000
        self._clock = clock
        self._last_sync_ns = 0
        self._syncing: Future[None] | None = None
        self._syncer = ThreadPoolExecutor(1, "torq-fsync") if fsync == "interval" else None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.log_id = self._identity()
            self._bases = sorted(int(path.stem) for path in folder.glob("*.torqlog")) or [0]
            self._files = {base: self._open(base) for base in self._bases}
        except (OSError, ValueError) as error:
            raise LogError(f"cannot open the log in {folder}: {error}") from error
        self.head = self._bases[0]
        self.tail = self._recover()
        self._settle()
        self.durable = self.tail
        self.gauge = Gauge()
        self.gauge.open(self.log_id, self.head, self.tail)

    def _settle(self) -> None:
        """Make durable what a predecessor wrote, and may have died before it was."""
        if self._fsync == "never":
            return
        try:
            os.fsync(self._files[self._bases[-1]])
            self._sync_folder()
        except OSError as error:
            raise LogError(f"cannot make {self.folder} durable: {error}") from error

    def append(self, messages: bytes | memoryview) -> None:
        """Write at the tail. A write that fails half-way (a full disk) is undone."""
        base = self._bases[-1]
        try:
            if self.tail - base >= self._segment_size:
                base = self._roll()
            descriptor = self._files[base]
            view = memoryview(messages)
            while view:
                at = self.tail - base + len(messages) - len(view)
                view = view[os.pwrite(descriptor, view, at) :]
        except OSError as error:
            os.ftruncate(self._files[self._bases[-1]], self.tail - self._bases[-1])
            reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
            raise LogError(f"cannot append to the log in {self.folder}: {reason}") from error
        self.tail += len(messages)

    def _roll(self) -> int:
        """Begin the next segment. The last one is durable before, so that only one can be torn."""
        if self._fsync != "never":
            os.fdatasync(self._files[self._bases[-1]])
        base = self.tail
        self._files[base] = self._open(base)
        self._bases.append(base)
        if self._fsync != "never":
            self._sync_folder()
        return base

    def read(self, position: int, limit: int) -> bytes:
        """Up to ``limit`` bytes from ``position``, not beyond the end of its segment."""
        region = self.region(position)
        wanted = min(limit, (region.end or self.tail) - position)
        try:
            found = os.pread(region.descriptor, wanted, position - region.base)
        except OSError as error:
            raise LogError(f"cannot read the log in {self.folder}: {error}") from error
        if len(found) < wanted:
            raise LogError(
                f"the log in {self.folder} holds {len(found)} of {wanted} bytes at {position}:"
                " a segment is missing, or was cut"
            )
        return found

    def region(self, position: int) -> Region:
        """The segment that holds ``position``."""
        index = max(bisect_right(self._bases, position) - 1, 0)
        base = self._bases[index]
        end = self._bases[index + 1] if index + 1 < len(self._bases) else 0
        return Region(self._files[base], base, end, 0)

    def sync(self) -> None:
        """As the policy says; ``durable`` tells how far it has come.

        Raises :class:`LogError` when the disk refuses: nothing is promised then.
        """
        if self.durable == self.tail:
            return
        try:
            if self._syncing is not None and self._syncing.done():
                self._syncing.result()
            if self._fsync == "always":
                os.fdatasync(self._files[self._bases[-1]])
                self.durable = self.tail
        except OSError as error:
            raise LogError(f"cannot make {self.folder} durable: {error}") from error
        if self._fsync == "never":
            self.durable = self.tail
        elif self._syncing is None or self._syncing.done():
            self._begin_sync()

    def finish(self) -> None:
        """Without waiting for the interval; see :meth:`Log.finish`."""
        if self.durable != self.tail and self._fsync != "never":
            try:
                if self._syncing is not None:
                    self._syncing.result()  # an error is told once: to whoever asked first
                os.fdatasync(self._files[self._bases[-1]])
            except OSError as error:
                raise LogError(f"cannot make {self.folder} durable: {error}") from error
        self.durable = self.tail

    def _begin_sync(self) -> None:
        now = self._clock()
        if self._syncer is None or now - self._last_sync_ns < self._interval_ns:
            return
        self._last_sync_ns = now
        target, descriptor = self.tail, os.dup(self._files[self._bases[-1]])
        self._syncing = self._syncer.submit(self._finish_sync, descriptor, target)

    def _finish_sync(self, descriptor: int, target: int) -> None:
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        self.durable = max(self.durable, target)
        if self.on_durable is not None:
            self.on_durable()

    def retain(self, positions: list[int]) -> None:
        """Delete the oldest segments that are beyond the limits; the last one always stays."""
        needed = min(positions, default=self.tail)
        while len(self._bases) > 1:
            oldest, following = self._bases[0], self._bases[1]
            held = self.tail - following
            too_many = self._keep_bytes and held >= self._keep_bytes
            too_old = self._keep_ns and self._age_ns(oldest) > self._keep_ns
            is_free = following <= needed or (
                self._keep_bytes and self.tail - oldest > 2 * self._keep_bytes
            )
            if not (too_many or too_old) or not is_free:
                return
            os.close(self._files.pop(oldest))
            (self.folder / _SEGMENT_NAME.format(oldest)).unlink(missing_ok=True)
            self._bases.pop(0)
            self.head = following
            self.gauge.head = following

    def _age_ns(self, base: int) -> int:
        return self._clock() - os.fstat(self._files[base]).st_mtime_ns

    def close(self) -> None:
        """Flush to disk and close every segment."""
        if self._syncer is not None:
            self._syncer.shutdown()
        for descriptor in self._files.values():
            os.fsync(descriptor)
            os.close(descriptor)
        self._files.clear()
        self.gauge.close()

    def _identity(self) -> int:
        path = self.folder / "log_id"
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_text(f"{secrets.randbits(63) | 1}\n")
            fresh.replace(path)
        return int(path.read_text())

    def _open(self, base: int) -> int:
        path = self.folder / _SEGMENT_NAME.format(base)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

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
