"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from torq_relays.client.backoff import Backoff
from torq_relays.client.publishing_session import PublisherSession
from torq_relays.transports.paths import socket_path
from torq_types import TLV, ConnectionLostError, Domain, TransportError

__all__ = ["AsyncPublisher"]

_RECEIVE = 1 << 16


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
        self._waiting = bytearray()
        self._turn_is_marked = False
        self._asks = False

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
    def reconnects(self) -> int:
        """How often a lost connection was taken up again."""
        return max(self.connections - 1, 0)

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
        if self._session.is_full:
            raise TransportError(f"the relay at {self._path} is too far behind; nothing was sent")
        return self._write(self._session.encode_each(tlvs))

    def send_messages(self, messages: Iterable[tuple[TLV, ...]]) -> int:
        """Send messages of one or more TLVs with one write; returns the last sequence."""
        if self._session.is_full:
            raise TransportError(f"the relay at {self._path} is too far behind; nothing was sent")
        encoded = b"".join([self._session.encode(*tlvs) for tlvs in messages])
        return self._write(encoded)

    def _write(self, encoded: bytes) -> int:
        """Write at once what comes alone; collect what comes behind it in the same turn."""
        self._session.keep(encoded, self._session.sequence)
        if self._writer is None:
            return self._session.sequence
        if self._turn_is_marked:
            self._waiting += encoded
            return self._session.sequence
        self._turn_is_marked = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        self._writer.write(encoded)
        return self._session.sequence

    def _end_turn(self) -> None:
        self._turn_is_marked = False
        waiting, self._waiting = self._waiting, bytearray()
        if waiting and self._writer is not None:
            self._writer.write(waiting)

    async def drain(self) -> None:
        """Wait while the socket's buffer is full."""
        self._end_turn()
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    async def flush(self, timeout: float = 10.0) -> None:
        """Wait until the relay has everything, as durably as the domain promises."""
        self._end_turn()
        if not self._session.is_flushed and self._writer is not None:
            self._writer.write(self._session.ask())
        self._asks = True
        try:
            await self._until(lambda: self._session.is_flushed, timeout)
        finally:
            self._asks = False

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
                    self._waiting.clear()  # part of ``again``, like everything unacknowledged
                    writer.write(again + self._session.ask() if self._asks else again)
                    self._writer = writer
                    self.connections += 1
                    backoff.reset()
                self._progress.set()
        finally:
            self._writer = None
            writer.close()
