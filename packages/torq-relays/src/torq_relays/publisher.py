"""Publishers: one blocking, one for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from torq_relays.backoff import Backoff
from torq_relays.paths import socket_path
from torq_relays.sessions import PublisherSession
from torq_relays.transports import unix
from torq_types import TLV, ConnectionLostError, Domain, TransportError

__all__ = ["AsyncPublisher", "Publisher"]

_RECEIVE = 1 << 16
_ANSWER_SECONDS = 5
_ACKNOWLEDGE_EVERY = 64


class Publisher:
    """Sends one source's messages to a domain's relay, in order, each exactly once.

    A lost connection is taken up again by itself; what the relay had not acknowledged is sent
    again. Not for use by several threads at once.
    """

    def __init__(self, session: PublisherSession, path: Path, timeout: float) -> None:
        self._session = session
        self._path = path
        self._timeout = timeout
        self._socket: socket.socket | None = None

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
    def session(self) -> PublisherSession:
        """What is known of the relay's answers: errors, acknowledgements."""
        return self._session

    def send(self, *tlvs: TLV) -> int:
        """Send one message with ``tlvs``; returns its sequence.

        Blocks while too much is unacknowledged. Raises :class:`ProtocolError` for a TLV that
        cannot be sent, :class:`TransportError` when the relay stays away too long.
        """
        self._write(self._session.encode(*tlvs))
        return self._session.sequence

    def send_many(self, tlvs: Iterable[TLV]) -> int:
        """Send each TLV as a message of its own; returns the last sequence."""
        messages: list[bytes] = []
        for tlv in tlvs:
            messages.append(self._session.encode(tlv))
            if len(messages) >= 256:
                self._write(b"".join(messages))
                messages.clear()
        if messages:
            self._write(b"".join(messages))
        return self._session.sequence

    def flush(self) -> None:
        """Wait until the relay has everything, as durably as the domain promises."""
        while not self._session.is_flushed:
            self._receive(wait=True)

    def close(self) -> None:
        """Flush, and leave."""
        if self._socket is not None:
            try:
                self.flush()
            finally:
                self._disconnect()

    def __del__(self) -> None:
        # Dropped without close(): nothing more is promised, but no socket leaks.
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
            self._disconnect()

    def _write(self, messages: bytes) -> None:
        try:
            self._connected().sendall(messages)
        except OSError:
            self._reconnect()
        if self._session.sequence % _ACKNOWLEDGE_EVERY == 0:
            self._receive(wait=False)
        while self._session.is_full:
            self._receive(wait=True)

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
        if self._socket is None:
            raise ConnectionLostError("this publisher is closed")
        return self._socket

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
            except TransportError:
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                time.sleep(backoff.next_delay())
            else:
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
        except OSError as error:
            raise ConnectionLostError(f"lost the relay at {self._path}: {error}") from error


class AsyncPublisher:
    """The asyncio twin: ``send`` never waits; a task of its own keeps the connection.

    While the relay is away, messages are kept (up to a limit) and sent when it is back.
    """

    def __init__(self, session: PublisherSession, path: Path) -> None:
        self._session = session
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_error: TransportError | None = None
        self.connections = 0

    @classmethod
    async def connect(
        cls,
        domain: Domain,
        *,
        source: int,
        runtime_dir: Path | str | None = None,
        name: str = "publisher",
        timeout: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> AsyncPublisher:
        """Connect as ``source``; see :meth:`Publisher.connect`."""
        publisher = cls(
            PublisherSession(domain, source, name, clock), socket_path(domain, runtime_dir)
        )
        publisher._task = asyncio.create_task(publisher._run(), name=f"publisher-{name}")
        try:
            await publisher._until(lambda: publisher._session.greeted, timeout)
        except TransportError:
            await publisher._cancel()
            raise publisher._last_error or ConnectionLostError(
                f"no relay answered on {publisher._path} within {timeout} s; is Torq up?"
            ) from None
        return publisher

    @property
    def sequence(self) -> int:
        """The last sequence given out."""
        return self._session.sequence

    @property
    def session(self) -> PublisherSession:
        """What is known of the relay's answers: errors, acknowledgements."""
        return self._session

    def send(self, *tlvs: TLV) -> int:
        """Send one message with ``tlvs``, now or when the relay is back; returns its sequence.

        Raises :class:`ProtocolError` for a TLV that cannot be sent, and :class:`TransportError`
        when so much is unacknowledged that keeping more would not be safe.
        """
        return self.send_messages((tlvs,))

    def send_many(self, tlvs: Iterable[TLV]) -> int:
        """Send each TLV as a message of its own; returns the last sequence."""
        return self.send_messages((tlv,) for tlv in tlvs)

    def send_messages(self, messages: Iterable[tuple[TLV, ...]]) -> int:
        """Send messages of one or more TLVs with one write; returns the last sequence."""
        if self._session.is_full:
            raise TransportError(f"the relay at {self._path} is too far behind; nothing was sent")
        encoded = b"".join([self._session.encode(*tlvs) for tlvs in messages])
        if self._writer is not None:
            self._writer.write(encoded)
        return self._session.sequence

    async def drain(self) -> None:
        """Wait while the socket's buffer is full."""
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    async def flush(self, timeout: float = 10.0) -> None:
        """Wait until the relay has everything, as durably as the domain promises."""
        await self._until(lambda: self._session.is_flushed, timeout)

    async def close(self) -> None:
        """Flush, and leave."""
        try:
            await self.flush()
        finally:
            await self._cancel()

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self._cancel()

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            raise TransportError(
                f"the relay at {self._path} has not answered for {timeout} s"
            ) from None

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        backoff = Backoff(first=0.01, most=1.0)
        while True:
            try:
                await self._serve(backoff)
            except TransportError as error:
                self._last_error = error
            except OSError as error:
                self._last_error = ConnectionLostError(
                    f"no relay answers on {self._path} ({error.strerror or error}); is Torq up?"
                )
            await asyncio.sleep(backoff.next_delay())

    async def _serve(self, backoff: Backoff) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            writer.write(self._session.hello())
            while chunk := await reader.read(_RECEIVE):
                again = self._session.receive(chunk)
                if self._session.greeted and self._writer is None:
                    writer.write(again)
                    self._writer = writer
                    self.connections += 1
                    backoff.reset()
                self._progress.set()
        finally:
            self._writer = None
            writer.close()
