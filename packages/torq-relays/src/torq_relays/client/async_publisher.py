"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

from torq_relays.client.asyncio_wire import AsyncWire
from torq_relays.client.link import check_seconds
from torq_relays.client.publishing import MANY, Progress, PublisherCore, PublisherFace
from torq_types import TLV, Domain, TransportError

__all__ = ["AsyncPublisher"]

_RECEIVE: Final = 1 << 16
_COLLECTED: Final = 1 << 20
"""Bytes that one turn of the event loop collects at most before they are written."""


class AsyncPublisher(PublisherFace):
    """The asyncio twin: ``send`` never waits; a task of its own keeps the connection.

    While the relay is away, messages are kept (up to a limit) and sent when it is back.
    """

    def __init__(self, core: PublisherCore) -> None:
        self._core = core
        self._session = core.session
        self._wire = AsyncWire(core.link.path)
        self._writer: asyncio.StreamWriter | None = None
        self._spare: socket.socket | None = None
        """The writer's socket once more: a transport that cannot write reads nothing either."""
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._turn_is_marked = False
        self._asks = 0
        """How many flushes wait for the relay's word."""

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
        publisher = cls(PublisherCore.of(domain, source, runtime_dir, name, timeout, clock))
        try:
            await publisher._wire.perform(publisher._core.connect())
            reader = await publisher._begin()
        except BaseException:  # cancelled, too: nobody else would close it
            await publisher._leave()
            raise
        publisher._task = asyncio.create_task(publisher._run(reader), name=f"publisher-{name}")
        return publisher

    def send(self, *tlvs: TLV) -> int:
        """Send one message with ``tlvs``, now or when the relay is back; returns its sequence.

        Raises :class:`ProtocolError` for a TLV that cannot be sent, and :class:`TransportError`
        when so much is unacknowledged that keeping more would not be safe.
        """
        self._require_room()
        return self._write(self._session.encode(*tlvs))

    def send_many(self, tlvs: Iterable[TLV]) -> int:
        """Send each TLV as a message of its own; see :meth:`Publisher.send_many`."""
        self._require_room()
        rest = iter(tlvs)
        while some := list(itertools.islice(rest, MANY)):
            self._require_room()
            self._write(self._session.encode_each(some))
        return self._session.sequence

    def send_messages(self, messages: Iterable[tuple[TLV, ...]]) -> int:
        """Send messages of one or more TLVs with one write; returns the last sequence."""
        self._require_room()
        return self._write(self._session.encode_messages(messages))

    def send_built(self, messages: bytes | memoryview) -> int:
        """Send messages that were built elsewhere; see :meth:`Publisher.send_built`."""
        self._require_room()
        self._end_turn()
        self._session.take_built(messages)
        self._session.keep(messages, self._session.sequence)
        self._transmit(messages)
        return self._session.sequence

    async def drain(self) -> None:
        """Wait while the socket's buffer is full."""
        self._end_turn()
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the relay has everything, as durably as the domain promises.

        Raises :class:`TransportError`, with the relay's complaint, when it takes nothing for
        ``timeout`` seconds (by default those of ``connect``); what it has not got is kept, and
        sent again.
        """
        session, link = self._session, self._core.link
        seconds = link.timeout if timeout is None else timeout
        check_seconds(seconds)
        link.require_open("publisher")
        self._end_turn()
        last = session.sequence  # others may go on sending
        if not seconds:
            await asyncio.sleep(0)  # what the relay has said already is heard
        if session.is_flushed(last):
            return
        self._transmit(session.ask())
        self._asks += 1
        try:
            progress = Progress(self._core, seconds)
            while not session.is_flushed(last):
                link.require_open("publisher")
                self._progress.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(progress.seconds_left()):
                        await self._progress.wait()
        finally:
            self._asks -= 1

    async def close(self) -> None:
        """Flush, and leave. Raises :class:`TransportError` when the relay cannot be reached."""
        try:
            if not self._core.link.is_closed:
                await self.flush()
        finally:
            await self._leave()

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
            await self._leave()

    def _require_room(self) -> None:
        asyncio.get_running_loop()  # in another thread nothing is sent, nor numbered
        self._core.link.require_open("publisher")
        if self._session.is_full:
            raise TransportError(
                f"the relay at {self._core.link.path} is too far behind; nothing was sent"
            )

    def _write(self, encoded: bytes) -> int:
        """Write at once what comes alone; collect what comes behind it in the same turn."""
        if self._turn_is_marked or self._writer is None:
            self._core.collected += encoded
            if len(self._core.collected) >= _COLLECTED:
                self._write_collected()
            self._mark_turn()
            return self._session.sequence
        self._mark_turn()
        self._session.keep(encoded, self._session.sequence)
        self._transmit(encoded)
        return self._session.sequence

    def _transmit(self, data: bytes | memoryview) -> None:
        """Write to a relay that is there; what was kept is sent again to the next."""
        if self._writer is None:
            return
        try:
            self._writer.write(data)
        except RuntimeError as error:  # uvloop's: the relay was lost in this very turn
            self._core.link.problem = str(error)

    def _mark_turn(self) -> None:
        if not self._turn_is_marked:
            self._turn_is_marked = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_marked = False
        self._write_collected()

    def _write_collected(self) -> None:
        taken = self._core.take_collected()
        if taken:
            self._transmit(taken)

    async def _leave(self) -> None:
        self._core.leave()
        self._progress.set()
        if self._task is not None:
            self._task.cancel()
            try:
                # Not 'await': a cancellation of ours must not be taken for that of the task.
                if self._task.get_loop() is asyncio.get_running_loop():
                    await asyncio.wait([self._task])
            finally:
                self._hang_up()
        self._hang_up()

    async def _run(self, reader: asyncio.StreamReader) -> None:
        """Take acknowledgements; take a lost connection up again."""
        try:
            while True:
                try:
                    while chunk := await reader.read(_RECEIVE):
                        self._session.receive(chunk)
                        self._progress.set()
                except (OSError, TransportError) as error:
                    self._core.link.problem = str(error)
                    self._hear_the_last_word()
                self._hang_up()
                reader = await self._search()
        finally:
            self._hang_up()  # an event loop that ends cancels its tasks, closed or not

    async def _search(self) -> asyncio.StreamReader:
        """Until the relay is back, however long that takes."""
        while True:
            try:
                await self._wire.perform(self._core.connect())
                return await self._begin()
            except (OSError, TransportError) as error:
                self._core.link.problem = str(error)
                self._hang_up()
            await asyncio.sleep(self._core.link.next_pause())

    async def _begin(self) -> asyncio.StreamReader:
        """Give the greeted socket to a stream; send again what the relay has not got."""
        connection = self._wire.release()
        self._spare = connection.dup()
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        self._writer = writer
        again = self._session.unacknowledged()
        if again or self._asks:
            self._transmit(again + self._session.ask() if self._asks else again)
        self._progress.set()
        return reader

    def _hang_up(self) -> None:
        self._wire.hang_up()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()  # what the relay has not taken, it will not take any more
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def _hear_the_last_word(self) -> None:
        """Take what a relay that is lost had said before; see :mod:`publishing`."""
        try:
            while self._spare is not None and (chunk := self._spare.recv(_RECEIVE)):
                self._session.receive(chunk)
        except BlockingIOError:
            return  # that was all
        except (OSError, TransportError) as error:
            self._core.link.problem = str(error)
        finally:
            self._progress.set()
