"""Kraken market data, WebSocket version 2.

Snapshots and updates carry a CRC-32 over the ten best levels a side, on the digits as they are
sent: prices and quantities are JSON numbers, and are read as text. Levels that drop out of the
subscribed depth are not removed by a message: the reader drops them. What lies deeper than ten
levels is compared with the whole book over REST every five minutes.
Source: Kraken's "Spot WebSockets (v2)" reference and its guide "Book checksum (WebSocket v2)".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from torq_codec import levels
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.books import Levels
from torq_services.adapters.exchange.instruments import Listed
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_services.adapters.exchange.times import rfc3339_nanoseconds
from torq_services.adapters.kraken.listing import ASSETS, PAIRS, STATUS, read_pairs
from torq_services.state import kraken_checksum
from torq_types import InvalidationReason, Side, UnknownSymbolError, Venue

__all__ = ["KrakenAdapter"]

_PAUSE = 5.0
"""Seconds without a request after being told of too many."""
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


class _Level(msgspec.Struct, gc=False):
    price: msgspec.Raw
    qty: msgspec.Raw


class _Book(msgspec.Struct, gc=False):
    symbol: str
    checksum: int
    bids: list[_Level] = []
    asks: list[_Level] = []
    timestamp: str = ""


class _Trade(msgspec.Struct):
    symbol: str
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: str


class _Ticker(msgspec.Struct):
    symbol: str
    bid: msgspec.Raw
    bid_qty: msgspec.Raw
    ask: msgspec.Raw
    ask_qty: msgspec.Raw
    timestamp: str = ""


class _Pair(msgspec.Struct):
    symbol: str
    status: str


class _Pairs(msgspec.Struct):
    pairs: list[_Pair] = []


class _Status(msgspec.Struct):
    system: str = ""


class _Books(msgspec.Struct, tag_field="channel", tag="book", gc=False):
    type: Literal["snapshot", "update"]
    data: list[_Book]


class _Trades(msgspec.Struct, tag_field="channel", tag="trade"):
    type: Literal["snapshot", "update"]
    data: list[_Trade]


class _Tickers(msgspec.Struct, tag_field="channel", tag="ticker"):
    data: list[_Ticker]


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat"):
    pass


class _Instruments(msgspec.Struct, tag_field="channel", tag="instrument"):
    type: Literal["snapshot", "update"]
    data: _Pairs


class _Statuses(msgspec.Struct, tag_field="channel", tag="status"):
    data: list[_Status] = []


class _Other(msgspec.Struct):
    """An answer to a request, or a channel that this adapter does not know."""

    channel: str = ""
    method: str = ""
    success: bool = True
    error: str = ""
    symbol: str = ""


_message = msgspec.json.Decoder(_Books | _Trades | _Tickers | _Heartbeat | _Instruments | _Statuses)
_other = msgspec.json.Decoder(_Other)
_KNOWN = ("book", "trade", "ticker", "heartbeat", "instrument", "status")


class _WholeLevel(msgspec.Struct, array_like=True):
    price: str
    volume: str


class _WholeBook(msgspec.Struct):
    asks: list[_WholeLevel]
    bids: list[_WholeLevel]


class _WholeBooks(msgspec.Struct):
    result: dict[str, _WholeBook] = {}
    error: list[str] = []


_whole_books = msgspec.json.Decoder(_WholeBooks)


class KrakenAdapter(ExchangeAdapter):
    """Trades, best bid and ask, and books of Kraken's pairs."""

    name = "kraken"
    venue = Venue.KRAKEN
    limits = VenueLimits(messages_per_second=10, weight_per_minute=60)
    heartbeat_seconds = 1
    book_depth = 1000
    book_levels = (10, 25, 100, 500, 1000)
    audit_seconds = 300
    audit_levels = 500
    checksum = staticmethod(kraken_checksum)

    def listing_paths(self) -> list[str]:
        """Currencies and pairs."""
        return [ASSETS, PAIRS]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        """Every pair."""
        return read_pairs(bodies, version=2)

    def subscriptions(self) -> list[Request]:
        """Trading status, trades, best prices, books."""
        symbols = list(self.books)
        return [
            self._request("subscribe", {"channel": "instrument"}),
            self._request("subscribe", {"channel": "trade", "symbol": symbols, "snapshot": False}),
            self._request(
                "subscribe", {"channel": "ticker", "symbol": symbols, "event_trigger": "bbo"}
            ),
            self._request("subscribe", self._books(symbols)),
        ]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Unsubscribing and subscribing again brings snapshots."""
        return [self._request(verb, self._books(symbols)) for verb in ("unsubscribe", "subscribe")]

    def audit_request(self, symbol: str) -> Fetch:
        """The best 500 levels a side over REST."""
        try:
            name = self.listing.find(symbol).other_names[0]
        except (UnknownSymbolError, IndexError):
            name = symbol
        return Fetch(f"/0/public/Depth?pair={name}&count={self.audit_levels}", symbol, "audit")

    def read_audit(self, body: bytes) -> tuple[Levels, Levels]:
        """Levels with prices and volumes as texts."""
        answer = _whole_books.decode(body)
        for problem in answer.error:
            raise ValueError(f"Kraken says: {problem}")
        (book,) = answer.result.values()
        return levels(book.bids), levels(book.asks)

    def dispatch(self, frame: bytes) -> None:
        """Map by channel."""
        try:
            message = _message.decode(frame)
        except msgspec.ValidationError:
            self._answer(_other.decode(frame))
            return
        if isinstance(message, _Books):
            is_whole = message.type == "snapshot"
            for book in message.data:
                self.attempt(book.symbol, self._update, book, is_whole)
        elif isinstance(message, _Trades):
            if message.type == "update":
                for trade in message.data:
                    self._trade(trade)
        elif isinstance(message, _Tickers):
            for ticker in message.data:
                self._quote(ticker)
        elif isinstance(message, _Instruments):
            self._instruments(message)
        elif isinstance(message, _Statuses):
            for status in message.data:
                if status.system not in ("online", ""):
                    self.in_doubt(InvalidationReason.HALTED, f"Kraken's status is {status.system}")

    @staticmethod
    def _request(method: str, params: Mapping[str, object]) -> Send:
        return Send(msgspec.json.encode({"method": method, "params": params}).decode())

    def _books(self, symbols: list[str]) -> dict[str, object]:
        return {"channel": "book", "symbol": symbols, "depth": self.book_depth}

    def _answer(self, other: _Other) -> None:
        if other.channel in _KNOWN:
            raise ValueError(f"a message of channel {other.channel} in an unknown form")
        if other.channel:
            self.unknown(other.channel)
        elif other.error or not other.success:
            is_limit = "rate limit" in other.error.lower()
            self.refused(
                f"Kraken says: {other.error} {other.symbol}".rstrip(),
                pause_seconds=_PAUSE if is_limit else 0,
            )
        elif not other.method:
            self.unknown("")

    def _update(self, update: _Book, is_whole: bool) -> None:
        book = self.books.get(update.symbol)
        if book is None:
            return
        bids, asks = levels(update.bids), levels(update.asks)
        timestamp_ns = rfc3339_nanoseconds(update.timestamp) if update.timestamp else 0
        if is_whole:
            self.publish_snapshot(book, bids, asks, 0, timestamp_ns, update.checksum)
        else:
            book.delta(bids, asks, 0, timestamp_ns, update.checksum)

    def _trade(self, trade: _Trade) -> None:
        self.publish_trade(
            trade.symbol,
            trade.price,
            trade.qty,
            rfc3339_nanoseconds(trade.timestamp),
            _SIDES.get(trade.side, Side.UNKNOWN),
            str(trade.trade_id),
        )

    def _quote(self, ticker: _Ticker) -> None:
        self.publish_quote(
            ticker.symbol,
            (ticker.bid, ticker.bid_qty),
            (ticker.ask, ticker.ask_qty),
            rfc3339_nanoseconds(ticker.timestamp) if ticker.timestamp else 0,
        )

    def _instruments(self, message: _Instruments) -> None:
        for pair in message.data.pairs:
            if pair.symbol in self.books:
                self.status_changed(pair.symbol, STATUS.get(pair.status))
