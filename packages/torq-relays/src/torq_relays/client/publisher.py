"""The blocking publisher."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from torq_relays.client.backoff import Backoff
from torq_relays.client.flusher import Flusher
from torq_relays.client.publishing_session import PublisherSession
from torq_relays.transports import unix
from torq_relays.transports.paths import socket_path
from torq_types import TLV, ConnectionLostError, Domain, TransportError

__all__ = ["Publisher"]

_RECEIVE = 1 << 16
_ANSWER_SECONDS = 5
_MANY = 1024
"""Messages that ``send_many`` writes at a time."""
_COALESCED = 1 << 16
"""Bytes that wait for a busy relay before they are written whatever it does."""
_PAUSE_NS = 4_000
"""A sender that paused so long writes at once."""
_LOOK_NS = 10_000
_LONGEST_LOOK_NS = 80_000
"""A sender that did not looks now and then whether the relay has caught up; ever less often."""
_READ_BYTES = 1 << 18
"""The relay acknowledges so often: nothing is there to be read before."""
_SETTLED_SECONDS = 1.0
_NOTHING = struct.pack("i", 0)


class Publisher:
    """Sends one source's messages to a domain's relay, in order, each exactly once.

    A message after a pause is written at once. Messages that follow one another closely are
    collected, and written together when the relay has read what was written before, or when they
    are many: nobody calls the kernel for a message that would only wait there. A lost connection
    is taken up again by itself; what the relay had not acknowledged is sent again. Threads may
    share a publisher.
    """

    def __init__(self, session: PublisherSession, path: Path, timeout: float) -> None:
        self._session = session
        self._path = path
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._lock = threading.RLock()
        self._waiting = bytearray()
        self._next_look_ns = 0
        self._written_ns = 0
        self._unread_bytes = 0
        self._look_ns = _LOOK_NS
        self._flusher = Flusher(self.flush_if_idle)
        self._backoff = Backoff(first=0.01, most=0.5)
        self._is_closed = False
        self._connections = 0
        self._connected_at = -_SETTLED_SECONDS

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
        session = PublisherSession(domain, source, name, clock)
        publisher = cls(session, socket_path(domain, runtime_dir), timeout)
        publisher._reconnect()
        return publisher

    @property
    def sequence(self) -> int:
        """The last sequence given out."""
        return self._session.sequence

    @property
    def reconnects(self) -> int:
        """How often a lost connection was taken up again."""
        return max(self._connections - 1, 0)

    @property
    def session(self) -> PublisherSession:
        """What is known of the relay's answers: errors, acknowledgements."""
        return self._session

    def send(self, *tlvs: TLV) -> int:
        """Send one message with ``tlvs``; returns its sequence.

        Blocks while too much is unacknowledged. Raises :class:`ProtocolError` for a TLV that
        cannot be sent, :class:`TransportError` when the relay stays away too long.
        """
        with self._lock:
            if self._socket is None:
                self._connected()
            message = self._session.encode(*tlvs)
            now = time.monotonic_ns()
            waiting = self._waiting
            if not waiting:
                if now - self._written_ns > _PAUSE_NS:
                    self._look_ns = _LOOK_NS
                    self._write(message)
                    return self._session.sequence
                self._flusher.wake()
            waiting += message
            if now >= self._next_look_ns or len(waiting) >= _COALESCED:
                self._write_if_caught_up(now)
            return self._session.sequence

    def send_many(self, tlvs: Iterable[TLV]) -> int:
        """Send each TLV as a message of its own; returns the last sequence."""
        with self._lock:
            self._connected()
            self._write_waiting()
            rest = iter(tlvs)
            while some := list(itertools.islice(rest, _MANY)):
                self._write(self._session.encode_each(some))
            return self._session.sequence

    def send_built(self, messages: bytes | memoryview) -> int:
        """Send messages that were built elsewhere, as a replay or a bridge does.

        They must be this source's next ones: raises :class:`ProtocolError` otherwise, and sends
        nothing. Their bytes are kept, not copied, until the relay has them. Returns the last
        sequence.
        """
        with self._lock:
            self._connected()
            self._write_waiting()
            self._session.take_built(messages)
            self._write(messages)
            return self._session.sequence

    def flush(self) -> None:
        """Wait until the relay has everything, as durably as the domain promises.

        Raises :class:`TransportError`, with the relay's complaint, when it takes nothing for too
        long; what it has not got is kept, and sent again.
        """
        with self._lock:
            self._write_waiting()
            self._wait_until(lambda: self._session.is_flushed)

    def close(self) -> None:
        """Flush, and leave."""
        with self._lock:
            try:
                if self._socket is not None:
                    self.flush()
            finally:
                self._is_closed = True
                self._disconnect()
        self._flusher.join()

    def __del__(self) -> None:
        # Dropped without close(): nothing more is promised, but no socket leaks.
        self._is_closed = True
        self._flusher.stop()
        self._disconnect()

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
            with self._lock:
                self._is_closed = True
                self._disconnect()
            self._flusher.join()

    def _write_if_caught_up(self, now: int) -> None:
        """Write what was collected, if it is much or the relay waits for it."""
        if self._socket is not None and (
            len(self._waiting) >= _COALESCED or self._is_caught_up(self._socket, now)
        ):
            self._write_waiting()

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
            if self._waiting:
                with contextlib.suppress(TransportError):  # the next call of the user's meets it
                    self._write_if_caught_up(time.monotonic_ns())
            return bool(self._waiting)

    def _write_waiting(self) -> None:
        if self._waiting:
            waiting, self._waiting = bytes(self._waiting), bytearray()
            self._write(waiting)

    def _write(self, messages: bytes | memoryview) -> None:
        self._session.keep(messages, self._session.sequence)
        if self._socket is None:
            self._connected()  # its greeting sends everything that was kept
            return
        try:
            self._socket.sendall(messages)
        except OSError:
            self._reconnect()
        self._written_ns = time.monotonic_ns()
        self._unread_bytes += len(messages)
        if self._unread_bytes >= _READ_BYTES:
            self._unread_bytes = 0
            self._receive(wait=False)
        if self._session.is_full:
            self._wait_until(lambda: not self._session.is_full)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Take acknowledgements until ``condition``, as long as they tell of any progress."""
        session = self._session
        asked: socket.socket | None = None
        known, deadline = session.acknowledged, time.monotonic() + self._timeout
        while not condition():
            if self._socket is not asked:
                self._ask()
                asked = self._socket
            self._receive(wait=True)
            if session.acknowledged != known:
                known, deadline = session.acknowledged, time.monotonic() + self._timeout
            elif time.monotonic() > deadline:
                last = f": {session.errors[-1].detail}" if session.errors else ""
                raise TransportError(
                    f"the relay at {self._path} has taken nothing for {self._timeout} s{last}"
                )

    def _ask(self) -> None:
        try:
            self._connected().sendall(self._session.ask())
        except OSError:
            self._reconnect()

    def _receive(self, *, wait: bool) -> None:
        """Take acknowledgements: those that are there, or the next one."""
        connection = self._connected()
        timeout = self._timeout if wait else 0
        if not select.select([connection], [], [], timeout)[0]:
            if wait:
                raise TransportError(f"the relay at {self._path} has not answered for {timeout} s")
            return
        try:
            chunk = connection.recv(_RECEIVE)
        except OSError:
            chunk = b""
        if chunk:
            self._session.receive(chunk)
        else:
            self._reconnect()

    def _connected(self) -> socket.socket:
        if self._is_closed:
            raise ConnectionLostError("this publisher is closed")
        if self._socket is None:  # the relay stayed away too long, and may be back
            self._reconnect()
        if self._socket is None:
            raise ConnectionLostError(f"no relay answers on {self._path}")
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reconnect(self) -> None:
        self._disconnect()
        deadline = time.monotonic() + self._timeout
        backoff = self._backoff
        if time.monotonic() - self._connected_at > _SETTLED_SECONDS:
            backoff.reset()
        else:  # it let us in and out again: not a reason to hammer at it
            time.sleep(backoff.next_delay())
        while True:
            try:
                self._greet()
            except TransportError:
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                time.sleep(backoff.next_delay())
            else:
                self._connected_at = time.monotonic()
                self._connections += 1
                return

    def _greet(self) -> None:
        connection = unix.connect(self._path, _ANSWER_SECONDS)
        self._socket = connection
        try:
            connection.sendall(self._session.hello())
            while not self._session.greeted:
                chunk = connection.recv(_RECEIVE)
                if not chunk:
                    raise ConnectionLostError(f"the relay at {self._path} hung up")
                connection.sendall(self._session.receive(chunk))
            connection.settimeout(self._timeout)
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
