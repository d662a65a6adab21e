"""The subscriber for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterable
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
    Role,
    TransportError,
)

__all__ = ["AsyncSubscriber"]

_ANSWER_SECONDS = 5
_SILENCE_SECONDS = 10


class AsyncSubscriber(SubscriberBase):
    """The asyncio twin of :class:`Subscriber`: ``async for`` over it, or over its batches."""

    @classmethod
    async def connect(
        cls,
        domain: Domain,
        *,
        types: Iterable[type[TLV]] = (),
        instruments: Iterable[InstrumentId] = (),
        start: Start = "live",
        runtime_dir: Path | str | None = None,
        name: str = "subscriber",
        timeout: float = 10.0,
        role: Role = Role.SUBSCRIBER,
        mapped: bool = True,
    ) -> AsyncSubscriber:
        """Connect, and be at ``start``; see :meth:`Subscriber.connect`.

        ``role=Role.MONITOR`` yields the relay's own SystemHealth once a second instead.
        """
        session = SubscriberSession(
            domain,
            types=types,
            instruments=instruments,
            start=start,
            name=name,
            role=role,
            mapped=mapped and role is Role.SUBSCRIBER,
        )
        subscriber = cls(session, socket_path(domain, runtime_dir), timeout)
        await subscriber._reconnect()
        return subscriber

    async def batches(self) -> AsyncIterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        while not (self._closed and self._inbox.is_empty):
            batch = self._inbox.next_batch()
            if batch is not None:
                yield batch
            else:
                await self._fetch()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while not (self._closed and self._inbox.is_empty):
            for message in self._inbox.messages():
                yield message
            await self._fetch()

    async def close(self) -> None:
        """Leave; a task that waits for messages ends."""
        self._closed = True
        self._inbox.clear()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it
        self._disconnect()

    async def __aenter__(self) -> AsyncSubscriber:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _fetch(self) -> None:
        """Put what comes next into the inbox; may find nothing."""
        if self._socket is None:  # the relay stayed away too long, and may be back
            await self._reconnect()
        try:
            if self._follower is None:
                await self._receive(_SILENCE_SECONDS)
            else:
                await self._follow(self._follower)
        except ConnectionLostError:
            if self._closed:
                return
            self._drain()
            self.reconnects += 1
            await self._reconnect()

    async def _follow(self, follower: Follower) -> None:
        if self._read(follower):
            await asyncio.sleep(0)  # others' turn: a busy log would never let go
            return
        request = follower.request()
        if request and self._socket is not None:
            await self._send(self._socket, request)
        if follower.awaits_region:
            await self._receive(_SILENCE_SECONDS)
        elif follower.lie_down():
            await self._receive(_SILENCE_SECONDS)
            follower.get_up()

    async def _send(self, connection: socket.socket, request: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(connection, request)
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error

    async def _receive(self, seconds: float) -> None:
        connection = self._socket
        if connection is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await _readable(connection)
            chunk, descriptors, _, _ = socket.recv_fds(connection, RECEIVE, 4)
        except BlockingIOError:
            return
        except (OSError, TimeoutError) as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        self._took(chunk, descriptors)

    async def _reconnect(self) -> None:
        self._disconnect()
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(first=0.01, most=0.5)
        while True:
            try:
                await self._greet()
            except RefusedError:
                self._disconnect()
                raise
            except TransportError:
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(backoff.next_delay())
            else:
                return

    async def _greet(self) -> None:
        # Connecting to a Unix socket never waits for long: the backlog is the relay's.
        self._socket = unix.connect(self._path, _ANSWER_SECONDS)
        self._socket.setblocking(False)
        await self._send(self._socket, self._session.hello())
        while not self._session.greeted:
            await self._receive(_ANSWER_SECONDS)


async def _readable(connection: socket.socket) -> None:
    """Wait until ``connection`` has something to read."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = connection.fileno()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
