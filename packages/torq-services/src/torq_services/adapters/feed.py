"""What every exchange's feed needs: connect, watch, back off, start over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import httpx
import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from torq_relays import Backoff
from torq_services.adapters.base import AdapterCounters, ExchangeAdapter
from torq_services.adapters.books import BookDoubtError
from torq_types import InstrumentMeta, InvalidationReason

__all__ = ["BookHealth", "Feed", "FeedHealth"]

_MAX_FRAME = 64 * 1024 * 1024
_OPEN_SECONDS = 10

FeedState = Literal["connecting", "synchronising", "in step", "waiting"]


class BookHealth(msgspec.Struct):
    """One book, as its adapter sees it."""

    status: str
    sequence: int
    snapshots: int
    invalidations: int


class FeedHealth(msgspec.Struct):
    """A feed's account of itself, in its SystemHealth's counters."""

    venue: str
    state: FeedState
    connects: int
    last_doubt: str
    counters: AdapterCounters
    books: dict[str, BookHealth]


class Feed:
    """Runs one adapter against its exchange until cancelled."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        *,
        url: str,
        rest_url: str,
        repeat_seconds: float = 30.0,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._adapter = adapter
        self._url = url
        self._rest_url = rest_url.rstrip("/")
        self._repeat_seconds = repeat_seconds
        self._backoff = backoff or Backoff(first=0.25, most=30.0)
        self._sleep = sleep
        self._log = structlog.get_logger().bind(venue=adapter.venue.slug)
        self._metas: list[InstrumentMeta] = []
        self.state: FeedState = "connecting"
        self.connects = 0

    def health(self) -> FeedHealth:
        """For the console and ``torq status``."""
        books = {
            symbol: BookHealth(
                book.book.status, book.book.sequence, book.snapshots, book.invalidations
            )
            for symbol, book in self._adapter.books.items()
        }
        return FeedHealth(
            self._adapter.venue.slug,
            self.state,
            self.connects,
            self._adapter.last_doubt,
            self._adapter.counters,
            books,
        )

    async def run(self) -> None:
        """Follow the exchange for ever; on cancellation declare the books stale."""
        repeating = asyncio.create_task(self._repeat(), name="repeat-books")
        try:
            while True:
                await self._attempt()
                delay = self._backoff.next_delay()
                self.state = "waiting"
                self._log.info("reconnecting", in_seconds=f"{delay:.2f}")
                await self._sleep(delay)
        finally:
            repeating.cancel()
            self._adapter.in_doubt(InvalidationReason.SHUTDOWN, "the adapter stops")

    async def _attempt(self) -> None:
        """One connection from beginning to end; every way out leaves the books stale."""
        self.state = "connecting"
        reason, detail = InvalidationReason.DISCONNECTED, "the exchange closed the connection"
        try:
            if not self._metas:
                self._metas = await self._load_metadata()
            for meta in self._metas:
                self._adapter.sink.send(meta)
            async with connect(
                self._url, max_size=_MAX_FRAME, open_timeout=_OPEN_SECONDS, compression=None
            ) as connection:
                await self._follow(connection)
        except BookDoubtError as doubt:
            reason, detail = doubt.reason, doubt.detail
        except TimeoutError:
            reason, detail = InvalidationReason.SILENT, "nothing was heard for too long"
        except (OSError, WebSocketException, httpx.HTTPError, msgspec.DecodeError) as error:
            detail = f"{type(error).__name__}: {error}"
        self._log.warning("books in doubt", reason=reason.name.lower(), detail=detail)
        self._adapter.in_doubt(reason, detail)

    async def _follow(self, connection: ClientConnection) -> None:
        adapter = self._adapter
        adapter.connected()
        self.connects += 1
        self.state = "synchronising"
        for message in adapter.subscribe_messages():
            await connection.send(message)
        silence = 3 * adapter.heartbeat_seconds + _OPEN_SECONDS
        while True:
            async with asyncio.timeout(silence):
                frame = await connection.recv(decode=False)
            adapter.receive(bytes(frame))
            if self.state == "synchronising" and adapter.is_in_step:
                self.state = "in step"
                # Only a connection that got in step proves that trying again is harmless.
                self._backoff.reset()
                silence = 3 * adapter.heartbeat_seconds + 2
                self._log.info("in step", books=len(adapter.books))

    async def _load_metadata(self) -> list[InstrumentMeta]:
        bodies: dict[str, bytes] = {}
        async with httpx.AsyncClient(timeout=_OPEN_SECONDS) as client:
            for path in self._adapter.metadata_paths():
                response = await client.get(self._rest_url + path)
                response.raise_for_status()
                bodies[path] = response.content
        metas = self._adapter.read_metadata(bodies)
        missing = set(self._adapter.books) - {meta.instrument.symbol for meta in metas}
        if missing:
            self._log.error("symbols not listed by the exchange", symbols=sorted(missing))
        return metas

    async def _repeat(self) -> None:
        while True:
            await self._sleep(self._repeat_seconds)
            for meta in self._metas:
                self._adapter.sink.send(meta)
            self._adapter.repeat_books()
