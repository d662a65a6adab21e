"""The blocking publisher."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import socket
import struct
import termios
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from torq_codec import kernel
from torq_relays.client.blocking_wire import BlockingWire
from torq_relays.client.flusher import Flusher
from torq_relays.client.link import check_seconds
from torq_relays.client.publishing import MANY, PublisherCore, PublisherFace
from torq_types import TLV, ConnectionLostError, Domain, NestedCallError, TransportError

__all__ = ["Publisher"]

_COALESCED: Final = 1 << 16
"""Bytes that wait for a busy relay before they are written whatever it does."""
_PAUSE_NS: Final = 4_000
"""A sender that paused so long writes at once."""
_LOOK_NS: Final = 10_000
_LONGEST_LOOK_NS: Final = 80_000
"""A sender that did not looks now and then whether the relay has caught up; ever less often."""
_READ_BYTES: Final = 1 << 18
"""The relay acknowledges so often: nothing is there to be read before."""
_NOTHING: Final = struct.pack("i", 0)


_Call = TypeVar("_Call", bound=Callable[..., Any])


def _one_call(method: _Call) -> _Call:
    """One call of a publisher at a time, even where one thread makes them; settled when it fails.

    Not a context manager: a signal handler may raise on the way into its end.
    """

    @functools.wraps(method)
    def call(publisher: Publisher, *arguments: Any, **named: Any) -> Any:
        with publisher._lock:
            if publisher._is_busy:
                raise _nested()
            try:
                publisher._is_busy = True
                return method(publisher, *arguments, **named)
            except BaseException:
                publisher._settle()
                raise
            finally:
                publisher._is_busy = False

    return cast("_Call", call)


def _nested() -> NestedCallError:
    return NestedCallError(
        "this publisher is in the middle of another call, which a signal handler or an iterable"
        " interrupts with this one; send when that has ended"
    )


class Publisher(PublisherFace):
    """Sends one source's messages to a domain's relay, in order, each exactly once.

    A message after a pause is written at once. Messages that follow one another closely are
    collected, and written together when the relay has read what was written before, or when they
    are many: nobody calls the kernel for a message that would only wait there. A lost connection
    is taken up again by itself; what the relay had not acknowledged is sent again. Threads may
    share a publisher.
    """

    def __init__(self, core: PublisherCore) -> None:
        self._core = core
        self._session = core.session
        self._wire = BlockingWire(core.link.path, core.link.timeout)
        self._lock = threading.RLock()
        self._next_look_ns = 0
        self._written_ns = 0
        self._unread_bytes = 0
        self._is_busy = False
        self._look_ns = _LOOK_NS
        self._flusher = Flusher(self.flush_if_idle)
        _living.add(self)

    @classmethod
    def connect(
        cls,
        domain: Domain,
        *,
        source: int,
        runtime_dir: Path | str | None = None,
        name: str = "publisher",
        timeout: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> Publisher:
        """Connect as ``source`` (1 to 65535, one publisher per source at a time).

        Waits up to ``timeout`` seconds for the relay, now and after every lost connection.
        Raises :class:`TransportError`.
        """
        publisher = cls(PublisherCore.of(domain, source, runtime_dir, name, timeout, clock))
        publisher._reconnect()
        return publisher

    def send(self, *tlvs: TLV) -> int:
        """Send one message with ``tlvs``; returns its sequence.

        Blocks while too much is unacknowledged. Raises :class:`ProtocolError` for a TLV that
        cannot be sent. Raises :class:`TransportError` when the relay stays away too long: the
        message is kept, and goes out when the relay is back; do not send it again. Only a
        publisher that was closed, or that keeps too much already, takes nothing.
        """
        with self._lock:
            if self._is_busy:
                raise _nested()
            try:  # as in _one_call, which would take a tenth of the whole call
                self._is_busy = True
                if self._wire.socket is None:
                    self._require_room()
                    self._write_collected()
                    self._write(self._session.encode(*tlvs))
                else:
                    self._send(self._session.encode(*tlvs))
                return self._session.sequence
            except BaseException:
                self._settle()
                raise
            finally:
                self._is_busy = False

    def _send(self, message: bytes) -> None:
        """Write it, or collect it where the relay is busy with those before."""
        now = time.monotonic_ns()
        collected = self._core.collected
        if not collected:
            if now - self._written_ns > _PAUSE_NS:
                self._look_ns = _LOOK_NS
                self._write(message)
                return
            collected += message
            self._flusher.wake()
        else:
            collected += message
        if now >= self._next_look_ns or len(collected) >= _COALESCED:
            self._write_if_caught_up(now)

    @_one_call
    def send_many(self, tlvs: Iterable[TLV]) -> int:
        """Send each TLV as a message of its own; returns the last sequence.

        They go in groups of 1,024: one that cannot be sent ends the call before its own group.
        """
        self._require_room()
        self._write_collected()
        rest = iter(tlvs)
        while some := list(itertools.islice(rest, MANY)):
            self._write(self._session.encode_each(some))
        return self._session.sequence

    @_one_call
    def send_messages(self, messages: Iterable[tuple[TLV, ...]]) -> int:
        """Send messages of one or more TLVs with one write; returns the last sequence."""
        self._require_room()
        self._write_collected()
        self._write(self._session.encode_messages(messages))
        return self._session.sequence

    @_one_call
    def send_built(self, messages: bytes | memoryview) -> int:
        """Send messages that were built elsewhere, as a replay or a bridge does.

        They must be this source's next ones: raises :class:`ProtocolError` otherwise, and sends
        nothing. Their bytes are kept, not copied, until the relay has them. Returns the last
        sequence.
        """
        self._require_room()
        self._write_collected()
        self._session.take_built(messages)
        self._write(messages)
        return self._session.sequence

    @_one_call
    def flush(self, timeout: float | None = None) -> None:
        """Wait until the relay has everything, as durably as the domain promises.

        Raises :class:`TransportError`, with the relay's complaint, when it takes nothing for
        ``timeout`` seconds (by default those of ``connect``); what it has not got is kept, and
        sent again.
        """
        if timeout is not None:
            check_seconds(timeout)
        self._core.link.require_open("publisher")
        taken = self._core.take_collected()
        if taken and self._wire.socket is not None:
            try:
                self._wire.write(taken)
            except ConnectionLostError:  # sent again, in the time there is
                self._wire.hang_up()
        last = self._session.sequence
        self._wait_until(lambda: self._session.is_flushed(last), timeout)

    def close(self) -> None:
        """Flush, and leave. Raises :class:`TransportError` when the relay cannot be reached."""
        try:
            with self._lock:
                if not self._core.link.is_closed:
                    self.flush()
        finally:
            self._leave()

    def __del__(self) -> None:
        # Dropped without close(): nothing more is promised, but no socket leaks.
        self._core.leave()
        self._flusher.stop()
        self._wire.hang_up()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._leave()

    def _settle(self) -> None:
        """After a call that did not end well, by an exception of its own or of a signal handler's.

        Behind a write that was torn nothing is written: over a new connection everything that is
        kept is sent again, and the relay drops what it has. A message that was numbered and is
        nowhere gives its number back.
        """
        if self._wire.is_torn:
            self._wire.hang_up()
        self._session.take_back(kernel.count(bytes(self._core.collected)))

    def _was_forked(self) -> None:
        """In the child: the connection is the parent's, and so are the locks and the thread."""
        self._lock = threading.RLock()
        self._is_busy = False
        self._core.link.was_forked()
        self._flusher = Flusher(self.flush_if_idle)
        self._core.leave()
        self._wire.hang_up()

    def _leave(self) -> None:
        with self._lock:
            self._core.leave()
            self._wire.hang_up()
        if self._is_busy:  # in a handler: its thread may wait for the call to end
            self._flusher.stop()
        else:
            self._flusher.join()

    def _write_if_caught_up(self, now: int) -> None:
        """Write what was collected, if it is much or the relay waits for it."""
        connection = self._wire.socket
        if connection is not None and (
            len(self._core.collected) >= _COALESCED or self._is_caught_up(connection, now)
        ):
            self._write_collected()

    def _is_caught_up(self, connection: socket.socket, now: int) -> bool:
        """Whether the relay has read everything that was written."""
        self._look_ns = min(2 * self._look_ns, _LONGEST_LOOK_NS)
        self._next_look_ns = now + self._look_ns
        try:
            return fcntl.ioctl(connection, termios.TIOCOUTQ, _NOTHING) == _NOTHING
        except OSError:
            return True  # let the write find out what is wrong

    def flush_if_idle(self) -> bool:
        """Write what was collected, if nobody is sending; whether anything waits on."""
        if time.monotonic_ns() < self._next_look_ns + _LOOK_NS:
            return True  # whoever is sending looks for itself
        with self._lock:
            if self._core.collected:
                with contextlib.suppress(TransportError):  # the next call of the user's meets it
                    self._write_if_caught_up(time.monotonic_ns())
            return bool(self._core.collected)

    def _write_collected(self) -> None:
        taken = self._core.take_collected()
        if taken:
            self._write_kept(taken)

    def _write(self, messages: bytes | memoryview) -> None:
        self._session.keep(messages, self._session.sequence)
        self._write_kept(messages)

    def _write_kept(self, messages: bytes | memoryview) -> None:
        if self._wire.socket is None:
            self._require_connection()  # its greeting sends everything that was kept
            return
        try:
            self._wire.write(messages)
        except ConnectionLostError:
            self._reconnect()
        self._written_ns = time.monotonic_ns()
        self._unread_bytes += len(messages)
        if self._unread_bytes >= _READ_BYTES:
            self._unread_bytes = 0
            self._read_acknowledgements()
        if self._session.is_full:
            self._wait_until(lambda: not self._session.is_full, None)

    def _read_acknowledgements(self) -> None:
        """Take those that are there."""
        try:
            received = self._wire.read(0)
        except ConnectionLostError:
            self._reconnect()
        else:
            if received is not None:
                self._session.receive(received[0])

    def _wait_until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        seconds = self._core.link.timeout if timeout is None else timeout
        self._wire.perform(self._core.wait_until(condition, seconds))

    def _require_room(self) -> None:
        """Raises when nothing more can be taken, or kept until the relay is back."""
        self._core.link.require_open("publisher")
        if self._wire.socket is None and self._session.is_full:
            self._reconnect()

    def _require_connection(self) -> None:
        self._core.link.require_open("publisher")
        if self._wire.socket is None:  # the relay stayed away too long, and may be back
            self._reconnect()

    def _reconnect(self) -> None:
        self._wire.perform(self._core.reconnect())


_living: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _close_inherited() -> None:
    for publisher in list(_living):
        publisher._was_forked()


os.register_at_fork(after_in_child=_close_inherited)
