"""Coinbase Advanced Trade market data.

Every message of a connection carries ``sequence_num``, one more than the last whatever its
channel: a gap, a repeat or a step back means that book updates may be missing or misplaced.
Source: Coinbase Developer Platform, Advanced Trade WebSocket channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from torq_services.adapters.base import ExchangeAdapter, increment, level
from torq_services.adapters.books import BookDoubtError
from torq_services.adapters.times import rfc3339_nanoseconds
from torq_types import (
    Decimal64,
    InstrumentMeta,
    InvalidationReason,
    Level,
    Quote,
    Side,
    Trade,
    Venue,
)

__all__ = ["CoinbaseAdapter"]

_PRODUCTS = "/api/v3/brokerage/market/products"
_CHANNELS = ("heartbeats", "market_trades", "ticker", "level2")


class _Envelope(msgspec.Struct):
    channel: str = ""
    timestamp: str = ""
    sequence_num: int = -1
    events: msgspec.Raw = msgspec.Raw(b"[]")
    type: str = ""
    message: str = ""


class _Trade(msgspec.Struct):
    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: Literal["BUY", "SELL"]


class _Trades(msgspec.Struct):
    type: Literal["snapshot", "update"]
    trades: list[_Trade]


class _Ticker(msgspec.Struct):
    product_id: str
    best_bid: str
    best_ask: str
    best_bid_quantity: str
    best_ask_quantity: str


class _Tickers(msgspec.Struct):
    tickers: list[_Ticker]


class _LevelUpdate(msgspec.Struct):
    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class _Level2(msgspec.Struct):
    type: Literal["snapshot", "update"]
    product_id: str
    updates: list[_LevelUpdate]


class _Product(msgspec.Struct):
    product_id: str
    base_currency_id: str
    quote_currency_id: str
    price_increment: str
    base_increment: str
    base_min_size: str
    status: str
    trading_disabled: bool


class _Products(msgspec.Struct):
    products: list[_Product]


_envelope = msgspec.json.Decoder(_Envelope)
_trades = msgspec.json.Decoder(list[_Trades])
_tickers = msgspec.json.Decoder(list[_Tickers])
_level2 = msgspec.json.Decoder(list[_Level2])
_products = msgspec.json.Decoder(_Products)

# The feed names the maker's side: trades at the ask come as SELL.
_TAKER_SIDE = {"BUY": Side.SELL, "SELL": Side.BUY}


class CoinbaseAdapter(ExchangeAdapter):
    """Trades, best bid and ask, and whole books of Coinbase's spot products."""

    venue = Venue.COINBASE
    heartbeat_seconds = 1
    _next_sequence = -1

    def metadata_paths(self) -> list[str]:
        """One list of all products."""
        return [_PRODUCTS]

    def read_metadata(self, bodies: Mapping[str, bytes]) -> list[InstrumentMeta]:
        """Currencies and increments of the products that this adapter follows."""
        return [
            InstrumentMeta(
                self.books[product.product_id].book.instrument,
                increment(product.price_increment),
                increment(product.base_increment),
                increment(product.base_min_size),
                1 if product.status == "online" and not product.trading_disabled else 2,
                product.base_currency_id,
                product.quote_currency_id,
            )
            for product in _products.decode(bodies[_PRODUCTS]).products
            if product.product_id in self.books
        ]

    def subscribe_messages(self) -> list[str]:
        """One subscription a channel; heartbeats keep quiet channels open."""
        return [
            msgspec.json.encode(
                {"type": "subscribe", "product_ids": list(self.books), "channel": channel}
            ).decode()
            for channel in _CHANNELS
        ]

    def connected(self) -> None:
        """Sequence numbers begin anew on every connection."""
        self._next_sequence = -1

    def dispatch(self, frame: bytes) -> None:
        """Check the sequence, then map by channel."""
        envelope = _envelope.decode(frame)
        if envelope.type == "error":
            raise BookDoubtError(InvalidationReason.OTHER, f"Coinbase says: {envelope.message}")
        if envelope.sequence_num < 0:
            raise ValueError("a message without sequence_num")
        if self._next_sequence not in (-1, envelope.sequence_num):
            raise BookDoubtError(
                InvalidationReason.SEQUENCE_GAP,
                f"found sequence_num {envelope.sequence_num}, expected {self._next_sequence}",
            )
        self._next_sequence = envelope.sequence_num + 1
        if envelope.channel == "l2_data":
            for event in _level2.decode(envelope.events):
                self._book(event, envelope)
        elif envelope.channel == "market_trades":
            for trades in _trades.decode(envelope.events):
                # A snapshot repeats trades from before the subscription.
                if trades.type == "update":
                    for trade in trades.trades:
                        self._trade(trade)
        elif envelope.channel == "ticker":
            for tickers in _tickers.decode(envelope.events):
                for ticker in tickers.tickers:
                    self._quote(ticker, rfc3339_nanoseconds(envelope.timestamp))
        elif envelope.channel not in ("heartbeats", "subscriptions"):
            self.counters.unknown_messages += 1

    def _book(self, event: _Level2, envelope: _Envelope) -> None:
        book = self.books.get(event.product_id)
        if book is None:
            return
        bids: list[Level] = []
        asks: list[Level] = []
        for update in event.updates:
            side = bids if update.side == "bid" else asks
            side.append(level(update.price_level, update.new_quantity))
        self.counters.book_updates += 1
        publish = book.snapshot if event.type == "snapshot" else book.delta
        publish(
            tuple(bids),
            tuple(asks),
            exchange_sequence=envelope.sequence_num,
            exchange_timestamp_ns=rfc3339_nanoseconds(envelope.timestamp),
        )

    def _trade(self, trade: _Trade) -> None:
        book = self.books.get(trade.product_id)
        if book is None:
            return
        instrument = book.book.instrument
        self.counters.trades += self.publish_exact(
            lambda: Trade(
                instrument,
                Decimal64.parse(trade.price),
                Decimal64.parse(trade.size),
                rfc3339_nanoseconds(trade.time),
                _TAKER_SIDE[trade.side],
                trade.trade_id,
            )
        )

    def _quote(self, ticker: _Ticker, timestamp_ns: int) -> None:
        book = self.books.get(ticker.product_id)
        if book is None:
            return
        instrument = book.book.instrument
        self.counters.quotes += self.publish_exact(
            lambda: Quote(
                instrument,
                Decimal64.parse(ticker.best_bid),
                Decimal64.parse(ticker.best_bid_quantity),
                Decimal64.parse(ticker.best_ask),
                Decimal64.parse(ticker.best_ask_quantity),
                timestamp_ns,
            )
        )
