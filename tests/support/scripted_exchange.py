"""An exchange that says what a test tells it to say, at a second of virtual time, without sockets.

A real feed follows it through a real :class:`Connection`; only the transport and the HTTP client's
are replaced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from markets import levels
from picows import WSMsgType
from virtual_time import in_virtual_time

from torq_relays import Backoff, CollectingSink
from torq_services.adapters import (
    CircuitBreaker,
    ExchangeAdapter,
    Feed,
    FeedSettings,
    Listed,
    Resynchroniser,
    ResyncPolicy,
    VenueLimits,
)
from torq_services.adapters.exchange import feed as feed_module
from torq_services.adapters.exchange.connection import Connection
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_types import TLV, Decimal64, InvalidationReason, Venue

__all__ = ["Frame", "Highest", "Plain", "ScriptedExchange", "Transport"]


class Frame(msgspec.Struct):
    """As picows hands it over."""

    payload: bytes
    msg_type: WSMsgType = WSMsgType.TEXT
    fin: bool = True
    last_in_buffer: bool = True
    code: int = 1000
    message: bytes | None = None

    def get_payload_as_bytes(self) -> bytes:
        """The content."""
        return self.payload

    def get_close_code(self) -> int:
        """Of a close frame."""
        return self.code

    def get_close_message(self) -> bytes | None:
        """Of a close frame."""
        return self.message


class Transport:
    """Notes what is sent through it."""

    def __init__(self, sent: Callable[[str], None] = lambda text: None) -> None:
        self._sent = sent
        self.connection: Any = None
        self.is_disconnected = False
        self.calls: list[str] = []

    def send(self, kind: WSMsgType, payload: bytes) -> None:
        """A client's message."""
        assert kind is WSMsgType.TEXT
        self._sent(payload.decode())

    def send_close(self, code: int) -> None:
        """The client says goodbye."""
        self.calls.append(f"close {int(code)}")

    def disconnect(self, *, graceful: bool) -> None:
        """The client is gone."""
        self.calls.append("disconnect gracefully" if graceful else "disconnect")
        if not self.is_disconnected:
            self.is_disconnected = True
            if self.connection is not None:
                self.connection.on_ws_disconnected(self)

    async def wait_disconnected(self) -> None:
        """It is gone at once."""
        assert self.is_disconnected
        self.calls.append("waited")


class Plain(ExchangeAdapter):
    """``whole A`` is a snapshot of A, ``odd A`` puts it in doubt, ``bug`` raises."""

    name = "plain"
    venue = Venue.KRAKEN
    limits = VenueLimits(messages_per_second=2, weight_per_minute=60)
    heartbeat_seconds = 1
    question: str | None = None

    def listing_paths(self) -> list[str]:
        """One list."""
        return ["/list"]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        """Symbols behind one another, with a blank between."""
        one = Decimal64(1, 0)
        for symbol in b" ".join(bodies.values()).decode().split():
            if symbol == "?":
                raise KeyError(symbol)
            yield Listed(
                symbol=symbol, base=symbol, quote="USD", price_increment=one,
                quantity_increment=one, minimum_quantity=one,
            )  # fmt: skip

    def subscriptions(self) -> list[Request]:
        """One for all."""
        return [Send("subscribe")]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Over REST."""
        return [Fetch(f"/whole/{symbol}", symbol, "snapshot") for symbol in symbols]

    def keepalive(self) -> str | None:
        """What the test says."""
        return self.question

    def audit_request(self, symbol: str) -> Fetch | None:
        """Over REST."""
        return Fetch(f"/audit/{symbol}", symbol, "audit")

    def read_audit(self, body: bytes) -> tuple[Any, Any]:
        """The price of the bid."""
        return levels((body.decode(), "1")), ()

    def fetched(self, fetch: Fetch, body: bytes) -> None:
        """A snapshot."""
        self.publish_snapshot(self.books[fetch.symbol], levels(("1", "1")), ())

    def dispatch(self, frame: bytes) -> None:
        """See above."""
        word, _, symbol = frame.decode().partition(" ")
        if word == "whole":
            self.publish_snapshot(self.books[symbol], levels(("1", "1")), ())
        elif word == "odd":
            self.in_doubt(InvalidationReason.INCONSISTENT, "odd", [symbol])
        elif word == "slower":
            self.refused("too many", pause_seconds=float(symbol))
        elif word == "bug":
            raise RuntimeError("a bug")


class Highest(random.Random):
    """No jitter: the longest delay each time."""

    def uniform(self, a: float, b: float) -> float:
        return b


class _Sink(CollectingSink):
    """Notes when."""

    def __init__(self) -> None:
        super().__init__()
        self.timed: list[tuple[float, TLV]] = []

    def send(self, *tlvs: TLV) -> None:
        super().send(*tlvs)
        now = asyncio.get_running_loop().time()
        self.timed += [(now, tlv) for tlv in tlvs]


class ScriptedExchange:
    """What it says on each connection, what it answers over REST, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *symbols: str) -> None:
        self._patch = monkeypatch
        self.symbols = symbols or ("A",)
        self.adapter_class: type[ExchangeAdapter] = Plain
        self.script: Callable[[int], list[tuple[float, bytes]]] = lambda number: [
            (0.0, f"whole {symbol}".encode()) for symbol in self.symbols
        ]
        """By connection, from 1: after so many seconds, what it says."""
        self.beat = 0.5
        """Between two heartbeats; 0 for none."""
        self.refusals: list[Exception] = []
        """What the next connections meet in place of an exchange."""
        self.answer: Callable[[str], httpx.Response] = self.usual_answer
        self.settings = FeedSettings(repeat=10_000, audit=0)
        self.breaker = CircuitBreaker()
        self.policy = ResyncPolicy()
        self.sink: _Sink
        self.feed: Feed
        self.adapter: ExchangeAdapter
        self.asked: list[tuple[float, str]] = []
        """Messages, and REST paths."""
        self.connections: list[float] = []
        self.transports: list[Transport] = []

    def usual_answer(self, path: str) -> httpx.Response:
        """Lists what the test follows, and has every book."""
        text = " ".join(self.symbols) if path == "/list" else "1"
        return httpx.Response(200, text=text)

    def times(self, text: str) -> list[float]:
        """When it was asked for this, to the hundredth of a second."""
        return [round(at, 2) for at, found in self.asked if found == text]

    def told(self, kind: type[TLV]) -> list[float]:
        """When such TLVs were published."""
        return [round(at, 2) for at, tlv in self.sink.timed if isinstance(tlv, kind)]

    def follow(self, seconds: float, check: Callable[[], None] = lambda: None) -> None:
        """Let the feed run for so long; ``check`` is called before it is stopped."""
        self._patch.setattr(feed_module, "open_connection", self._open)
        transport = httpx.MockTransport(self._rest)
        # Without certificates: reading them takes longer than everything else.
        client = partial(httpx.AsyncClient, transport=transport, verify=False, trust_env=False)
        self._patch.setattr(httpx, "AsyncClient", client)

        async def main() -> None:
            loop = asyncio.get_running_loop()
            self.sink = _Sink()
            self.adapter = self.adapter_class(
                self.symbols, self.sink, resync=Resynchroniser(self.policy, loop.time, Highest())
            )
            self.feed = Feed(
                self.adapter, url="ws://x", rest_url="http://x/", settings=self.settings,
                backoff=Backoff(first=0.25, most=30.0, chance=Highest()), breaker=self.breaker,
            )  # fmt: skip
            following = asyncio.create_task(self.feed.run())
            try:
                done, _ = await asyncio.wait([following], timeout=seconds)
                check()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            for task in done:
                task.result()

        in_virtual_time(main())

    async def _rest(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append((asyncio.get_running_loop().time(), path))
        return self.answer(path)

    async def _open(
        self, url: str, receive: Callable[[bytes], None], wake: Callable[[], None]
    ) -> Connection:
        loop = asyncio.get_running_loop()
        assert url == "ws://x"
        self.connections.append(round(loop.time(), 2))
        if self.refusals:
            raise self.refusals.pop(0)
        transport = Transport(lambda text: self.asked.append((loop.time(), text)))
        connection: Any = Connection(receive, wake)
        transport.connection = connection
        self.transports.append(transport)
        connection.on_ws_connected(transport)

        def say(payload: bytes) -> None:
            if transport.is_disconnected:
                return
            if payload == b"end":
                transport.disconnect(graceful=True)
            else:
                connection.on_ws_frame(transport, Frame(payload))

        def beat() -> None:
            if not transport.is_disconnected:
                say(b"beat")
                loop.call_later(self.beat, beat)

        for delay, payload in self.script(len(self.connections)):
            loop.call_later(delay, say, payload)
        if self.beat:
            loop.call_later(self.beat, beat)
        found: Connection = connection
        return found
