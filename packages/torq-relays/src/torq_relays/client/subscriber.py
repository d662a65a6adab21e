"""The blocking subscriber."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from torq_codec import Message
from torq_relays.client.backoff import Backoff
from torq_relays.client.batch import Batch
from torq_relays.client.following import Follower
from torq_relays.client.subscribing import RECEIVE, SubscriberBase
from torq_relays.client.subscribing_session import Start, SubscriberSession
from torq_relays.transports import unix
from torq_relays.transports.paths import socket_path
from torq_types import (
    TLV,
    ConnectionLostError,
    Domain,
    InstrumentId,
    RefusedError,
    TransportError,
)

__all__ = ["Subscriber"]

_ANSWER_SECONDS = 5
_SILENCE_SECONDS = 10
"""A relay beats once a second: one that is silent for so long is gone."""
_SPINS = 20_000
"""Rounds of polling between two looks at the socket, well under a millisecond."""


class Subscriber(SubscriberBase):
    """Reads a domain's messages from a position on; iterate over it, or over its batches.

    It reads the relay's log in place, so a slow subscriber costs nobody anything. A lost
    connection is taken up again at the position reached (``reconnects`` counts). Where messages
    are gone for good, a message with a :class:`torq_types.SequenceGap` stands in their place,
    whatever the filter.
    """

    def __init__(
        self, session: SubscriberSession, path: Path, timeout: float, *, busy_poll: bool
    ) -> None:
        super().__init__(session, path, timeout)
        self._busy_poll = busy_poll

    @classmethod
    def connect(
        cls,
        domain: Domain,
        *,
        types: Iterable[type[TLV]] = (),
        instruments: Iterable[InstrumentId] = (),
        start: Start = "live",
        runtime_dir: Path | str | None = None,
        name: str = "subscriber",
        timeout: float = 10.0,
        mapped: bool = True,
        busy_poll: bool = False,
    ) -> Subscriber:
        """Connect, and be at ``start``: "live", "earliest", a position or a bookmark.

        ``types`` and ``instruments`` leave out messages without any of them; empty is all. Waits
        up to ``timeout`` seconds for the relay, now and after every lost connection.
        ``mapped=False`` has the relay stream the messages over the socket. ``busy_poll`` never
        sleeps: the least delay, for a processor of its own. Raises :class:`TransportError`, or
        its subclass :class:`RefusedError` with the relay's reason.
        """
        session = SubscriberSession(
            domain, types=types, instruments=instruments, start=start, name=name, mapped=mapped
        )
        path = socket_path(domain, runtime_dir)
        subscriber = cls(session, path, timeout, busy_poll=busy_poll)
        subscriber._reconnect()
        return subscriber

    def batches(self) -> Iterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        while not (self._closed and self._inbox.is_empty):
            batch = self._inbox.next_batch()
            if batch is not None:
                yield batch
            else:
                self._fetch()

    def __iter__(self) -> Iterator[Message]:
        while not (self._closed and self._inbox.is_empty):
            yield from self._inbox.messages()
            self._fetch()

    def close(self) -> None:
        """Leave."""
        self._closed = True
        self._inbox.clear()
        self._disconnect()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fetch(self) -> None:
        """Put what comes next into the inbox; may find nothing."""
        if self._socket is None:  # the relay stayed away too long, and may be back
            self._reconnect()
        try:
            if self._follower is None:
                self._receive()
            else:
                self._follow(self._follower)
        except ConnectionLostError:
            self._drain()
            self.reconnects += 1
            self._reconnect()

    def _follow(self, follower: Follower) -> None:
        if self._read(follower):
            return
        request = follower.request()
        if request:
            self._send(request)
        if follower.awaits_region:
            self._receive()
        elif self._busy_poll:
            if not follower.spin(_SPINS):
                self._receive(wait=False)
        elif follower.lie_down():
            self._receive()
            follower.get_up()

    def _send(self, request: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.sendall(request)
            except OSError as error:
                raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error

    def _receive(self, *, wait: bool = True) -> None:
        """Take what comes over the socket, and the descriptors that come with it."""
        if self._socket is None:
            return
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            chunk, descriptors, _, _ = socket.recv_fds(self._socket, RECEIVE, 4, flags)
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        self._took(chunk, descriptors)

    def _reconnect(self) -> None:
        self._disconnect()
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(first=0.01, most=0.5)
        while True:
            try:
                self._greet()
            except RefusedError:
                self._disconnect()
                raise
            except TransportError:
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                time.sleep(backoff.next_delay())
            else:
                return

    def _greet(self) -> None:
        self._socket = unix.connect(self._path, _ANSWER_SECONDS)
        self._send(self._session.hello())
        while not self._session.greeted:
            self._receive()
        self._socket.settimeout(_SILENCE_SECONDS)
