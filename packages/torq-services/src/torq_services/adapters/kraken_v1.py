"""Kraken market data, WebSocket version 1: the frozen one, which recordings speak.

Every book update carries a CRC-32 over the ten best levels a side, on the exchange's own digits.
Levels that drop out of the subscribed depth are not removed by a message: the reader drops them.
Source: Kraken's "Spot WebSockets (v1)" reference and its guide "Book checksum (WebSocket v1)".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from torq_services.adapters.base import ExchangeAdapter, Request, Send, level
from torq_services.adapters.books import PublishedBook
from torq_services.adapters.instruments import Listed
from torq_services.adapters.kraken_listing import ASSETS, PAIRS, read_pairs
from torq_services.adapters.limits import VenueLimits
from torq_services.adapters.times import unix_nanoseconds
from torq_services.state import kraken_checksum
from torq_types import Decimal64, InvalidationReason, Level, Quote, Side, Trade, Venue

__all__ = ["KrakenV1Adapter"]

_PAUSE = 5.0
"""Seconds without a request after being told of too many."""
_SIDES = {"b": Side.BUY, "s": Side.SELL}


class _Event(msgspec.Struct):
    event: str = ""
    status: str = ""
    errorMessage: str = ""  # noqa: N815 - Kraken's name
    pair: str = ""


class _Level(msgspec.Struct, array_like=True, gc=False):
    price: str
    volume: str
    timestamp: str = ""


class _Book(msgspec.Struct, gc=False):
    a: list[_Level] = []
    b: list[_Level] = []
    whole_asks: list[_Level] | None = msgspec.field(default=None, name="as")
    whole_bids: list[_Level] | None = msgspec.field(default=None, name="bs")
    c: str = ""


class _Trade(msgspec.Struct, array_like=True):
    price: str
    volume: str
    time: str
    side: str


class _Ticker(msgspec.Struct):
    a: tuple[str, msgspec.Raw, str]
    b: tuple[str, msgspec.Raw, str]


_event = msgspec.json.Decoder(_Event)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_book = msgspec.json.Decoder(_Book)
_trades = msgspec.json.Decoder(list[_Trade])
_ticker = msgspec.json.Decoder(_Ticker)


class KrakenV1Adapter(ExchangeAdapter):
    """Trades, best bid and ask, and books of Kraken's pairs, by their ``wsname``."""

    name = "kraken_v1"
    venue = Venue.KRAKEN
    limits = VenueLimits(messages_per_second=10, weight_per_minute=60)
    heartbeat_seconds = 1
    book_depth = 1000
    book_levels = (10, 25, 100, 500, 1000)
    checksum = staticmethod(kraken_checksum)

    def listing_paths(self) -> list[str]:
        """Currencies and pairs."""
        return [ASSETS, PAIRS]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        """Every pair."""
        return read_pairs(bodies, version=1)

    def subscriptions(self) -> list[Request]:
        """Trades, tickers, books."""
        return [
            self._request("subscribe", {"name": "trade"}, list(self.books)),
            self._request("subscribe", {"name": "ticker"}, list(self.books)),
            self._request("subscribe", self._book_channel, list(self.books)),
        ]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Unsubscribing and subscribing again brings snapshots."""
        return [
            self._request(verb, self._book_channel, symbols)
            for verb in ("unsubscribe", "subscribe")
        ]

    def dispatch(self, frame: bytes) -> None:
        """Arrays carry market data, objects everything else."""
        if not frame.startswith(b"["):
            self._event(_event.decode(frame))
            return
        parts = _parts.decode(frame)
        if len(parts) < 4:
            raise ValueError(
                f"found an array of {len(parts)}; expected channel, content, name, pair"
            )
        channel, pair = _text.decode(parts[-2]), _text.decode(parts[-1])
        book = self.books.get(pair)
        if book is None:
            return
        if channel.startswith("book-"):
            self.attempt(pair, self._update, parts[1:-2], book)
        elif channel == "trade":
            for trade in _trades.decode(parts[1]):
                self._trade(trade, book)
        elif channel == "ticker":
            self._quote(_ticker.decode(parts[1]), book)
        else:
            self.unknown(channel)

    @property
    def _book_channel(self) -> dict[str, str | int]:
        return {"name": "book", "depth": self.book_depth}

    @staticmethod
    def _request(verb: str, subscription: Mapping[str, str | int], symbols: list[str]) -> Send:
        request = {"event": verb, "pair": symbols, "subscription": subscription}
        return Send(msgspec.json.encode(request).decode())

    def _event(self, event: _Event) -> None:
        if event.event == "systemStatus":
            if event.status != "online":
                self.in_doubt(InvalidationReason.HALTED, f"Kraken's status is {event.status}")
        elif event.event in ("subscriptionStatus", "error"):
            if event.errorMessage:
                is_limit = "rate limit" in event.errorMessage.lower()
                self.refused(
                    f"Kraken says: {event.errorMessage} {event.pair}".rstrip(),
                    pause_seconds=_PAUSE if is_limit else 0,
                )
        elif event.event not in ("heartbeat", "pong"):
            self.unknown(event.event)

    def _update(self, contents: list[msgspec.Raw], book: PublishedBook) -> None:
        # A message that changes both sides has an object for each; the checksum is in the last.
        first, *others = [_book.decode(part) for part in contents]
        if first.whole_asks is not None or first.whole_bids is not None:
            self.publish_snapshot(
                book, _levels(first.whole_bids or []), _levels(first.whole_asks or []),
                exchange_timestamp_ns=_latest(first.whole_bids or [], first.whole_asks or []),
            )  # fmt: skip
            return
        bids, asks, checksum = first.b, first.a, first.c
        for other in others:
            bids, asks, checksum = bids + other.b, asks + other.a, other.c
        if not checksum:
            raise ValueError("a book update without its checksum")
        self.publish_delta(
            book, _levels(bids), _levels(asks), exchange_timestamp_ns=_latest(bids, asks),
            checksum=int(checksum),
        )  # fmt: skip

    def _trade(self, trade: _Trade, book: PublishedBook) -> None:
        self.counters.trades += self.publish_exact(
            lambda: Trade(
                book.book.instrument,
                Decimal64.parse(trade.price),
                Decimal64.parse(trade.volume),
                unix_nanoseconds(trade.time),
                _SIDES.get(trade.side, Side.UNKNOWN),
                "",
            )
        )

    def _quote(self, ticker: _Ticker, book: PublishedBook) -> None:
        self.counters.quotes += self.publish_exact(
            lambda: Quote(
                book.book.instrument,
                Decimal64.parse(ticker.b[0]),
                Decimal64.parse(ticker.b[2]),
                Decimal64.parse(ticker.a[0]),
                Decimal64.parse(ticker.a[2]),
                0,
            )
        )


def _levels(entries: list[_Level]) -> tuple[Level, ...]:
    return tuple([level(entry.price, entry.volume) for entry in entries])


def _latest(bids: list[_Level], asks: list[_Level]) -> int:
    """When the newest of these levels was set; they have times, and their message has none."""
    return unix_nanoseconds(max([entry.timestamp for entry in bids + asks], default="0"))
