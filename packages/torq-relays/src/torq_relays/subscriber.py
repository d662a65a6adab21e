"""Subscribers: one blocking, one for asyncio."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from torq_codec import Message
from torq_relays.backoff import Backoff
from torq_relays.batch import Batch
from torq_relays.paths import socket_path
from torq_relays.sessions import Start, SubscriberSession
from torq_relays.transports import unix
from torq_types import (
    TLV,
    ConnectionLostError,
    Domain,
    InstrumentId,
    RefusedError,
    Role,
    TransportError,
)

__all__ = ["AsyncSubscriber", "Subscriber"]

_RECEIVE = 1 << 18
_ANSWER_SECONDS = 5
_SILENCE_SECONDS = 10
"""A relay beats once a second: one that is silent for so long is gone."""


class Subscriber:
    """Reads a domain's messages from a position on; iterate over it, or over its batches.

    A lost connection is taken up again at the position reached. Where messages are gone for
    good, a message with a :class:`torq_types.SequenceGap` stands in their place, whatever the
    filter.
    """

    def __init__(self, session: SubscriberSession, path: Path, timeout: float) -> None:
        self._session = session
        self._path = path
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._pending: list[Batch] = []

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
    ) -> Subscriber:
        """Connect, and be at ``start``: "live", "earliest" or a position.

        ``types`` and ``instruments`` leave out messages without any of them; empty is all. Waits
        up to ``timeout`` seconds for the relay, now and after every lost connection. Raises
        :class:`TransportError`, or its subclass :class:`RefusedError` with the relay's reason.
        """
        session = SubscriberSession(
            domain, types=types, instruments=instruments, start=start, name=name
        )
        subscriber = cls(session, socket_path(domain, runtime_dir), timeout)
        subscriber._reconnect()
        return subscriber

    @property
    def position(self) -> int:
        """Behind the last batch taken: pass it as ``start`` to go on there."""
        return self._session.position

    @property
    def gaps(self) -> int:
        """How often messages were lost."""
        return self._session.gaps

    def batches(self) -> Iterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        while self._socket is not None or self._pending:
            while self._pending:
                yield self._pending.pop(0)
            try:
                self._pending.extend(self._receive())
            except ConnectionLostError:
                self._reconnect()

    def __iter__(self) -> Iterator[Message]:
        for batch in self.batches():
            yield from batch

    def close(self) -> None:
        """Leave."""
        self._pending.clear()
        self._disconnect()

    def __del__(self) -> None:
        # A loop over Subscriber.connect(...) leaves nobody else to close it.
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

    def _receive(self) -> list[Batch]:
        if self._socket is None:
            return []
        try:
            chunk = self._socket.recv(_RECEIVE)
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        return list(self._session.receive(chunk))

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

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
        try:
            self._socket.sendall(self._session.hello())
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
        while not self._session.greeted:
            self._pending.extend(self._receive())
        self._socket.settimeout(_SILENCE_SECONDS)


class AsyncSubscriber:
    """The asyncio twin of :class:`Subscriber`: ``async for`` over it, or over its batches."""

    def __init__(self, session: SubscriberSession, path: Path, timeout: float) -> None:
        self._session = session
        self._path = path
        self._timeout = timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pending: list[Batch] = []

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
    ) -> AsyncSubscriber:
        """Connect, and be at ``start``; see :meth:`Subscriber.connect`.

        ``role=Role.MONITOR`` yields the relay's own SystemHealth once a second instead.
        """
        session = SubscriberSession(
            domain, types=types, instruments=instruments, start=start, name=name, role=role
        )
        subscriber = cls(session, socket_path(domain, runtime_dir), timeout)
        await subscriber._reconnect()
        return subscriber

    @property
    def position(self) -> int:
        """Behind the last batch taken: pass it as ``start`` to go on there."""
        return self._session.position

    @property
    def gaps(self) -> int:
        """How often messages were lost."""
        return self._session.gaps

    async def batches(self) -> AsyncIterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        while self._reader is not None or self._pending:
            while self._pending:
                yield self._pending.pop(0)
            try:
                self._pending.extend(await self._receive(_SILENCE_SECONDS))
            except ConnectionLostError:
                await self._reconnect()

    async def __aiter__(self) -> AsyncIterator[Message]:
        async for batch in self.batches():
            for message in batch:
                yield message

    async def close(self) -> None:
        """Leave."""
        self._pending.clear()
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

    async def _receive(self, seconds: float) -> list[Batch]:
        if self._reader is None:
            return []
        try:
            async with asyncio.timeout(seconds):
                chunk = await self._reader.read(_RECEIVE)
        except (OSError, TimeoutError) as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        return list(self._session.receive(chunk))

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

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
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        except OSError as error:
            raise TransportError(
                f"no relay answers on {self._path} ({error.strerror or error}); is Torq up?"
            ) from error
        self._writer.write(self._session.hello())
        while not self._session.greeted:
            self._pending.extend(await self._receive(_ANSWER_SECONDS))
