"""The words that a relay and its mapped readers share, in pages of memory.

A *gauge* belongs to the log: the relay writes it, readers map it read-only. A *reader page*
belongs to one reader, who writes it; the relay reads it, and clears its waiting flag. Both are
memfds of one page, whose words stand on cache lines of their own.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from torq_codec import kernel
from torq_types import TransportError

__all__ = ["Gauge", "ReaderPage", "seal"]

_PAGE = 4096
_F_SEAL_FUTURE_WRITE = 0x0010

_TAIL, _CLAIMED, _HEAD, _LOG_ID = 0, 64, 128, 192
_POSITION, _WAITING, _GAPS, _HOLES, _REPEATS, _RESTARTS = 0, 64, 128, 136, 144, 152


def seal(descriptor: int) -> None:
    """From now on nobody can map the memfd for writing; mappings that exist keep working."""
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


class Gauge:
    """How far a log reaches, for readers in other processes."""

    def __init__(self, descriptor: int | None = None) -> None:
        """A new gauge, or with ``descriptor`` (which it takes over) a view of a relay's."""
        self.is_writer = descriptor is None
        if descriptor is None:
            self.descriptor = os.memfd_create("torq-gauge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.descriptor, _PAGE)
            self._page = mmap.mmap(self.descriptor, _PAGE)
            seal(self.descriptor)
        else:
            self.descriptor = descriptor
            self._page = _view(descriptor, mmap.ACCESS_READ, "gauge of a log")

    def open(self, log_id: int, head: int, tail: int) -> None:
        """First values, before any reader sees the page."""
        kernel.store_u64(self._page, _LOG_ID, log_id)
        self.head = head
        self.tail = tail

    @property
    def log_id(self) -> int:
        """Names the log."""
        return kernel.load_u64(self._page, _LOG_ID)

    @property
    def tail(self) -> int:
        """Position behind the last message that readers may see."""
        return kernel.load_u64(self._page, _TAIL)

    @tail.setter
    def tail(self, position: int) -> None:
        kernel.store_u64(self._page, _TAIL, position)

    @property
    def head(self) -> int:
        """Position of the oldest message that is still whole."""
        return kernel.load_u64(self._page, _HEAD)

    @head.setter
    def head(self, position: int) -> None:
        kernel.store_u64(self._page, _HEAD, position)

    @property
    def claimed(self) -> int:
        """Position up to which a ring's writer may be writing already."""
        kernel.fence()
        return kernel.load_u64(self._page, _CLAIMED)

    def claim(self, position: int) -> None:
        """Announce writing up to ``position``, before the first byte changes."""
        kernel.store_u64(self._page, _CLAIMED, position)
        kernel.fence()

    def spin(self, tail: int, rounds: int) -> int:
        """Load the tail until it is not ``tail``, at most ``rounds`` times; returns it."""
        return kernel.spin_while(self._page, _TAIL, tail, rounds)

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()
        os.close(self.descriptor)


class ReaderPage:
    """What a mapped reader tells its relay without a system call."""

    def __init__(self, descriptor: int | None = None) -> None:
        """A new page (the relay's side), or with ``descriptor`` the one that a relay passed."""
        if descriptor is None:
            descriptor = os.memfd_create("torq-reader", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, _PAGE)
            # A reader that shrinks its page would kill the relay with SIGBUS.
            fcntl.fcntl(
                descriptor,
                fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
            )
            self._page = mmap.mmap(descriptor, _PAGE)
        else:
            self._page = _view(descriptor, mmap.ACCESS_WRITE, "reader's page")
        self.descriptor = descriptor

    @property
    def position(self) -> int:
        """How far the reader is done."""
        return kernel.load_u64(self._page, _POSITION)

    @position.setter
    def position(self, position: int) -> None:
        kernel.store_u64(self._page, _POSITION, position)

    @property
    def is_waiting(self) -> bool:
        """Whether the reader sleeps until its socket wakes it."""
        return kernel.load_u64(self._page, _WAITING) != 0

    @is_waiting.setter
    def is_waiting(self, waiting: bool) -> None:
        kernel.store_u64(self._page, _WAITING, int(waiting))
        kernel.fence()

    def report(self, gaps: int, holes: int, repeats: int, restarts: int) -> None:
        """What the reader has counted."""
        for offset, value in zip(
            (_GAPS, _HOLES, _REPEATS, _RESTARTS), (gaps, holes, repeats, restarts), strict=True
        ):
            kernel.store_u64(self._page, offset, value)

    @property
    def reported(self) -> tuple[int, int, int, int]:
        """Gaps, holes, repeats and restarts, by the reader's count."""
        page = self._page
        return (
            kernel.load_u64(page, _GAPS),
            kernel.load_u64(page, _HOLES),
            kernel.load_u64(page, _REPEATS),
            kernel.load_u64(page, _RESTARTS),
        )

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()
        os.close(self.descriptor)


def _view(descriptor: int, access: int, what: str) -> mmap.mmap:
    """The page behind a descriptor that a relay passed, which is closed when it is none.

    Raises :class:`TransportError`.
    """
    try:
        if os.fstat(descriptor).st_size == _PAGE:
            return mmap.mmap(descriptor, _PAGE, access=access)
        problem = "its size is another"
    except OSError as error:
        problem = str(error)
    os.close(descriptor)
    raise TransportError(f"the relay passed something that is no {what}: {problem}")
