"""What every exchange's feed needs: connect, watch, keep to limits, back off, start over."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import httpx
import msgspec
import structlog
from picows import WSError, WSHandshakeError

from torq_relays import Backoff
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.connection import Connection, open_connection
from torq_services.adapters.exchange.health import FeedHealth, FeedMeter, FeedState
from torq_services.adapters.exchange.limits import CircuitBreaker, TokenBucket
from torq_services.adapters.exchange.requests import Fetch, Send
from torq_types import ConnectionLostError, InvalidationReason

__all__ = ["Feed", "FeedSettings"]

_REST_SECONDS = 10.0
_TOO_MANY = (418, 429)
"""Binance answers 418 to those who went on after 429."""
_FIRST_PAUSE = 60.0
"""After "too many requests" without a word on how long to wait."""
_LONGEST_PAUSE = 3600
"""Whatever an exchange asks for: after that it is asked again."""


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds. The defaults suit real exchanges."""

    repeat: float = 30.0
    """Between two publications of all verified books, for late readers."""
    relist: float = 3600.0
    """Between two readings of the exchange's list of instruments."""
    silence: float | None = None
    """Without any message for so long the connection is given up; by default three heartbeats."""
    open_silence: float = 10.0
    """The same, on top, until all books are in step."""
    keepalive: float | None = None
    """Between two questions to an exchange that only speaks when asked; by default a heartbeat."""
    tick: float = 0.25
    """Between two looks at clocks."""
    audit: float | None = None
    """Between two audits of the same book; by default the exchange's own value."""
    settle: float = 1.0
    """Between an audit's answer and the verdict."""


class Feed:
    """Runs one adapter against its exchange until cancelled."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        *,
        url: str,
        rest_url: str,
        settings: FeedSettings | None = None,
        backoff: Backoff | None = None,
        breaker: CircuitBreaker | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._adapter = adapter
        self._url = url
        self._rest_url = rest_url.rstrip("/")
        self._settings = settings or FeedSettings()
        self._backoff = backoff or Backoff(first=0.25, most=30.0)
        self._breaker = breaker or CircuitBreaker()
        self._sleep = sleep
        self._messages = TokenBucket(adapter.limits.messages_per_second, 1.0)
        self._weight = TokenBucket(adapter.limits.weight_per_minute, 60.0)
        self._log = structlog.get_logger().bind(venue=adapter.name)
        self._news = asyncio.Event()
        self._is_listed = False
        self._proved = False
        """Whether this connection's books were all in step once."""
        self.state: FeedState = "connecting"
        self.connects = 0
        self._meter = FeedMeter(adapter)
        self._connected: Connection | None = None

    def health(self) -> FeedHealth:
        """For the console, metrics and ``torq status``."""
        age = None if self._connected is None else int(self._connected.age() * 1000)
        return self._meter.measure(self.state, self.connects, self._breaker.trips, age)

    async def run(self) -> None:
        """Follow the exchange for ever; on cancellation declare the books stale."""
        async with httpx.AsyncClient(timeout=_REST_SECONDS) as client:
            repeating = asyncio.create_task(self._repeat(client), name="repeat-books")
            try:
                while True:
                    await self._attempt(client)
                    now = asyncio.get_running_loop().time()
                    delay = max(self._backoff.next_delay(), self._breaker.remaining(now))
                    self.state = "waiting"
                    self._log.info("reconnecting", in_seconds=f"{delay:.2f}")
                    await self._sleep(delay)
            finally:
                repeating.cancel()
                with suppress(asyncio.CancelledError):
                    await repeating
                self._adapter.in_doubt(InvalidationReason.SHUTDOWN, "the adapter stops")

    async def _attempt(self, client: httpx.AsyncClient) -> None:
        """One connection from beginning to end; every way out leaves the books stale."""
        loop = asyncio.get_running_loop()
        self.state = "connecting"
        reason, detail = InvalidationReason.DISCONNECTED, ""
        self._proved = False
        try:
            if not self._is_listed:
                await self._list(client)
            self._adapter.connected()
            async with self._connection() as connection:
                await self._follow(connection, client)
        except TimeoutError:
            reason, detail = InvalidationReason.SILENT, "nothing was heard for too long"
        except WSHandshakeError as error:
            detail = f"the exchange refused the connection: {error}"
            if error.response is not None and error.response.status in _TOO_MANY:
                self._pause(_FIRST_PAUSE, detail)
        except httpx.HTTPStatusError as error:
            detail = f"HTTP {error.response.status_code} from {error.request.url.path}"
            self._heed(error.response)
        except ConnectionLostError as error:
            detail = str(error)
        except (OSError, WSError, httpx.HTTPError) as error:
            detail = f"{type(error).__name__}: {error}"
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            detail = f"the list of instruments cannot be read: {type(error).__name__}: {error}"
        if not self._proved:
            self._breaker.failed(loop.time())
        self._log.warning("books in doubt", reason=reason.name.lower(), detail=detail)
        self._adapter.in_doubt(reason, detail)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await open_connection(self._url, self._adapter.receive, self._news.set)
        self._connected = connection
        try:
            yield connection
        finally:
            self._connected = None
            await connection.close()

    async def _follow(self, connection: Connection, client: httpx.AsyncClient) -> None:
        """Serve a connection until it ends, which is an error too.

        Raises TimeoutError when nothing is heard, :class:`ConnectionLostError` otherwise.
        """
        adapter, loop = self._adapter, asyncio.get_running_loop()
        self.connects += 1
        self.state = "synchronising"
        silence = self._settings.silence or 3 * adapter.heartbeat_seconds + 2
        pending: set[asyncio.Task[None]] = set()
        audit = self._settings.audit
        keepalive_seconds = self._settings.keepalive or adapter.heartbeat_seconds
        next_keepalive = loop.time() + keepalive_seconds
        next_audit, turns = loop.time(), itertools.cycle(list(adapter.books))
        auditing: asyncio.Task[None] | None = None
        sending = asyncio.create_task(self._serve(connection, client, pending))
        try:
            while not connection.ended:
                # Not wait_for: before CPython 3.12 it may forget that it was cancelled.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.tick):
                        await self._news.wait()
                self._news.clear()
                is_in_step = self._look()
                if sending.done():
                    await sending
                now = loop.time()
                if not self._breaker.remaining(now):  # what cannot be sent yet would pile up
                    adapter.ask_for_snapshots()
                if adapter.resync.is_hopeless:
                    raise ConnectionLostError("snapshots were asked for again and again in vain")
                allowed = silence if is_in_step else silence + self._settings.open_silence
                if connection.age() > allowed:
                    raise TimeoutError
                keepalive = adapter.keepalive()
                if keepalive is not None and now >= next_keepalive:
                    next_keepalive = now + keepalive_seconds
                    self._spawn(pending, self._keep_alive(connection, keepalive))
                every = adapter.audit_seconds if audit is None else audit
                # One at a time: limits may make it wait longer than until the next is due.
                is_free = auditing is None or auditing.done()
                is_free = is_free and not self._breaker.remaining(now)
                if every and adapter.books and now >= next_audit and is_free:
                    next_audit = now + every / len(adapter.books)
                    auditing = self._spawn(pending, self._audit(next(turns), client))
        finally:
            for task in (sending, *pending):
                task.cancel()
            await asyncio.gather(sending, *pending, return_exceptions=True)
        if connection.failure is not None:
            raise connection.failure
        raise ConnectionLostError(connection.ended)

    def _look(self) -> bool:
        """Note whether all books are in step, and what the exchange asked for."""
        adapter = self._adapter
        if adapter.pause_seconds:
            self._pause(adapter.pause_seconds, adapter.last_doubt)
            adapter.pause_seconds = 0.0
        if not adapter.is_in_step:
            self.state = "synchronising"
        elif self.state == "synchronising":
            self.state = "in step"
            self._proved = True
            # Only a connection that got in step proves that trying again is harmless.
            self._backoff.reset()
            self._breaker.succeeded()
            self._log.info("in step", books=len(adapter.books))
        return self.state == "in step"

    async def _serve(
        self, connection: Connection, client: httpx.AsyncClient, pending: set[asyncio.Task[None]]
    ) -> None:
        """Carry out the adapter's requests one after the other, no faster than allowed."""
        loop, requests = asyncio.get_running_loop(), self._adapter.requests
        while True:
            if not requests:
                await asyncio.sleep(self._settings.tick / 10)
                continue
            request = requests.popleft()
            await self._until_closed()
            if isinstance(request, Send):
                await asyncio.sleep(self._messages.spend(loop.time()))
                await self._until_closed()
                connection.send(request.text)
            else:
                await asyncio.sleep(self._weight.spend(loop.time(), request.weight))
                await self._until_closed()
                self._spawn(pending, self._fetch(request, client))

    async def _until_closed(self) -> None:
        """Wait while nothing should be tried, however often that is prolonged."""
        loop = asyncio.get_running_loop()
        remaining = self._breaker.remaining(loop.time())
        while remaining:
            await asyncio.sleep(remaining)
            remaining = self._breaker.remaining(loop.time())

    async def _keep_alive(self, connection: Connection, text: str) -> None:
        """It passes a pause: without it the exchange, or this side, would end the connection."""
        await asyncio.sleep(self._messages.spend(asyncio.get_running_loop().time()))
        connection.send(text)

    async def _fetch(self, fetch: Fetch, client: httpx.AsyncClient) -> None:
        """One REST request. When it fails, patience runs out and it is made again."""
        try:
            response = await client.get(self._rest_url + fetch.path)
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            self._heed(error.response)
            detail = f"HTTP {error.response.status_code}"
            self._log.warning("request refused", path=fetch.path, detail=detail)
            self._adapter.fetch_failed(fetch, detail)
        except httpx.HTTPError as error:
            self._log.warning("request failed", path=fetch.path, detail=str(error))
            self._adapter.fetch_failed(fetch, f"{type(error).__name__}: {error}")
        else:
            self._adapter.answer(fetch, response.content)
            self._news.set()

    async def _audit(self, symbol: str, client: httpx.AsyncClient) -> None:
        await asyncio.sleep(self._weight.spend(asyncio.get_running_loop().time()))
        await self._until_closed()
        fetch = self._adapter.begin_audit(symbol)
        if fetch is not None:
            await self._fetch(fetch, client)
            await asyncio.sleep(self._settings.settle)
            self._adapter.judge_audit(symbol)
            self._news.set()

    @staticmethod
    def _spawn(
        pending: set[asyncio.Task[None]], work: Coroutine[None, None, None]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        pending.add(task)
        task.add_done_callback(pending.discard)
        return task

    def _heed(self, response: httpx.Response) -> None:
        if response.status_code in _TOO_MANY:
            asked = response.headers.get("Retry-After", "")
            seconds: float = _FIRST_PAUSE
            if asked.isascii() and asked.isdigit():  # at most ten digits: more are no int to Python
                seconds = int(asked) if len(asked) <= 10 else _LONGEST_PAUSE
            self._pause(seconds, f"HTTP {response.status_code}")

    def _pause(self, seconds: float, detail: str) -> None:
        seconds = min(seconds, _LONGEST_PAUSE)
        self._breaker.pause(asyncio.get_running_loop().time(), seconds)
        self._log.warning("the exchange asks for a pause", seconds=seconds, detail=detail)

    async def _list(self, client: httpx.AsyncClient) -> None:
        """Read the exchange's list of instruments, and publish those that are followed."""
        loop, bodies = asyncio.get_running_loop(), {}
        for path in self._adapter.listing_paths():
            await asyncio.sleep(self._weight.spend(loop.time()))
            await self._until_closed()
            response = await client.get(self._rest_url + path)
            if response.status_code == 404 and len(self._adapter.listing_paths()) > 1:
                continue  # one symbol of several is not listed: said below
            response.raise_for_status()
            bodies[path] = response.content
        delisted = self._adapter.use_listing(self._adapter.read_listing(bodies))
        for name, problem in self._adapter.unlisted.items():
            self._log.error("not listed by the exchange", symbol=name, detail=problem)
        if delisted:
            self._log.warning("left out", symbols=delisted)
        for symbol in self._adapter.books:
            self._adapter.publish_meta(symbol)
        self._is_listed = True

    async def _repeat(self, client: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        next_list = loop.time() + self._settings.relist
        while True:
            await self._sleep(self._settings.repeat)
            self._adapter.repeat()
            is_closed = not self._breaker.remaining(loop.time())
            if self._is_listed and is_closed and loop.time() >= next_list:
                next_list = loop.time() + self._settings.relist
                try:
                    await self._list(client)
                except (httpx.HTTPError, msgspec.DecodeError, ValueError, KeyError) as error:
                    if isinstance(error, httpx.HTTPStatusError):
                        self._heed(error.response)
                    self._log.warning("the list of instruments stays as it was", detail=str(error))
