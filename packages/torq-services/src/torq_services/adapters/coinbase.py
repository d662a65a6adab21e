"""Coinbase Advanced Trade market data.

Every message of a connection carries ``sequence_num``, one more than the last whatever its
channel: a gap, a repeat or a step back means that book updates may be missing or misplaced.
Source: Coinbase Developer Platform, Advanced Trade WebSocket channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from torq_services.adapters.base import ExchangeAdapter, Request, Send, level
from torq_services.adapters.instruments import InstrumentStatus, Listed, increment
from torq_services.adapters.limits import VenueLimits
from torq_services.adapters.times import rfc3339_nanoseconds
from torq_types import (
    Decimal64,
    InvalidationReason,
    Level,
    Quote,
    Side,
    Trade,
    Venue,
)

__all__ = ["CoinbaseAdapter"]

_PRODUCTS = "/api/v3/brokerage/market/products"
_PAUSE = 5.0
"""Seconds without a request after being told of too many."""
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


def _status(product: _Product) -> InstrumentStatus:
    if product.status == "delisted":
        return InstrumentStatus.DELISTED
    is_open = product.status == "online" and not product.trading_disabled
    return InstrumentStatus.TRADING if is_open else InstrumentStatus.HALTED


class CoinbaseAdapter(ExchangeAdapter):
    """Trades, best bid and ask, and whole books of Coinbase's spot products."""

    name = "coinbase"
    venue = Venue.COINBASE
    limits = VenueLimits(messages_per_second=8, weight_per_minute=600)
    heartbeat_seconds = 1
    _next_sequence = -1

    def listing_paths(self) -> list[str]:
        """One list of all products."""
        return [_PRODUCTS]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterator[Listed]:
        """Every spot product."""
        for product in _products.decode(bodies[_PRODUCTS]).products:
            yield Listed(
                symbol=product.product_id,
                base=product.base_currency_id,
                quote=product.quote_currency_id,
                price_increment=increment(product.price_increment),
                quantity_increment=increment(product.base_increment),
                minimum_quantity=increment(product.base_min_size),
                status=_status(product),
            )

    def subscriptions(self) -> list[Request]:
        """One subscription a channel; heartbeats keep quiet channels open."""
        return [self._request("subscribe", channel, list(self.books)) for channel in _CHANNELS]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Leaving the books' channel and joining it again brings snapshots."""
        return [self._request(verb, "level2", symbols) for verb in ("unsubscribe", "subscribe")]

    def forget_connection(self) -> None:
        """Sequence numbers begin anew on every connection."""
        self._next_sequence = -1

    def dispatch(self, frame: bytes) -> None:
        """Check the sequence, then map by channel."""
        envelope = _envelope.decode(frame)
        if envelope.type == "error":
            is_limit = "limit" in envelope.message.lower()
            self.refused(
                f"Coinbase says: {envelope.message}", pause_seconds=_PAUSE if is_limit else 0
            )
            return
        number = envelope.sequence_num
        if number < 0:
            raise ValueError("a message without sequence_num")
        expected, self._next_sequence = self._next_sequence, number + 1
        if expected not in (-1, number):
            # Any product's update may be among those missing; this message is one of the rest.
            self.in_doubt(
                InvalidationReason.SEQUENCE_GAP, f"found sequence_num {number}, expected {expected}"
            )
        if envelope.channel == "l2_data":
            for event in _level2.decode(envelope.events):
                self.attempt(event.product_id, self._update, event, envelope)
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
            self.unknown(envelope.channel)

    @staticmethod
    def _request(verb: str, channel: str, symbols: list[str]) -> Send:
        request = {"type": verb, "product_ids": symbols, "channel": channel}
        return Send(msgspec.json.encode(request).decode())

    def _update(self, event: _Level2, envelope: _Envelope) -> None:
        book = self.books.get(event.product_id)
        if book is None:
            return
        bids: list[Level] = []
        asks: list[Level] = []
        for update in event.updates:
            side = bids if update.side == "bid" else asks
            side.append(level(update.price_level, update.new_quantity))
        publish = self.publish_snapshot if event.type == "snapshot" else self.publish_delta
        publish(
            book,
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
