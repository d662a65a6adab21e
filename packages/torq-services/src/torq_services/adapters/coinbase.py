"""Coinbase Advanced Trade market data.

Every message of a connection carries ``sequence_num``, one more than the last whatever its
channel: a gap, a repeat or a step back means that book updates may be missing or misplaced.
Source: Coinbase Developer Platform, Advanced Trade WebSocket channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from torq_codec import sides
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, increment
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Request, Send
from torq_services.adapters.exchange.sequence import SequenceNumber
from torq_services.adapters.exchange.times import rfc3339_nanoseconds
from torq_types import (
    InvalidationReason,
    Side,
    Venue,
)

__all__ = ["CoinbaseAdapter"]

_PRODUCTS = "/api/v3/brokerage/market/products"
_PAUSE = 5.0
"""Seconds without a request after being told of too many."""
_CHANNELS = ("heartbeats", "market_trades", "ticker", "level2")


class _Trade(msgspec.Struct):
    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: Literal["BUY", "SELL"]


class _TradesEvent(msgspec.Struct):
    type: Literal["snapshot", "update"]
    trades: list[_Trade]


class _Ticker(msgspec.Struct):
    product_id: str
    best_bid: str
    best_ask: str
    best_bid_quantity: str
    best_ask_quantity: str


class _TickerEvent(msgspec.Struct):
    tickers: list[_Ticker]


class _LevelUpdate(msgspec.Struct, gc=False):
    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class _BookEvent(msgspec.Struct):
    type: Literal["snapshot", "update"]
    product_id: str
    updates: list[_LevelUpdate]


class _Numbered(msgspec.Struct, tag_field="channel"):
    """What every message of a channel has."""

    sequence_num: SequenceNumber
    timestamp: str


class _Books(_Numbered, tag="l2_data"):
    events: list[_BookEvent]


class _Trades(_Numbered, tag="market_trades"):
    events: list[_TradesEvent]


class _Tickers(_Numbered, tag="ticker"):
    events: list[_TickerEvent]


class _Heartbeats(_Numbered, tag="heartbeats"):
    pass


class _Subscriptions(_Numbered, tag="subscriptions"):
    pass


class _Other(msgspec.Struct):
    """An error, or a channel that this adapter does not know."""

    channel: str = ""
    sequence_num: int = -1
    type: str = ""
    message: str = ""


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


_message = msgspec.json.Decoder(_Books | _Trades | _Tickers | _Heartbeats | _Subscriptions)
_other = msgspec.json.Decoder(_Other)
_KNOWN = ("l2_data", "market_trades", "ticker", "heartbeats", "subscriptions")
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
        try:
            message = _message.decode(frame)
        except msgspec.ValidationError as error:
            self._answer(_other.decode(frame), error)
            return
        self._follow(message.sequence_num)
        if isinstance(message, _Books):
            timestamp_ns = rfc3339_nanoseconds(message.timestamp)
            for event in message.events:
                self.attempt(
                    event.product_id, self._update, event, message.sequence_num, timestamp_ns
                )
        elif isinstance(message, _Trades):
            for trades in message.events:
                # A snapshot repeats trades from before the subscription.
                if trades.type == "update":
                    for trade in trades.trades:
                        self._trade(trade)
        elif isinstance(message, _Tickers):
            for tickers in message.events:
                for ticker in tickers.tickers:
                    self._quote(ticker, rfc3339_nanoseconds(message.timestamp))

    def _follow(self, number: int) -> None:
        expected, self._next_sequence = self._next_sequence, number + 1
        if expected not in (-1, number):
            # Any product's update may be among those missing; this message is one of the rest.
            self.in_doubt(
                InvalidationReason.SEQUENCE_GAP, f"found sequence_num {number}, expected {expected}"
            )

    def _answer(self, other: _Other, error: msgspec.ValidationError) -> None:
        if other.type == "error":
            is_limit = "limit" in other.message.lower()
            self.refused(f"Coinbase says: {other.message}", pause_seconds=_PAUSE if is_limit else 0)
            return
        if other.sequence_num >= 0:
            self._follow(other.sequence_num)
        if other.sequence_num < 0 or other.channel in _KNOWN:
            raise error
        self.unknown(other.channel)

    @staticmethod
    def _request(verb: str, channel: str, symbols: list[str]) -> Send:
        request = {"type": verb, "product_ids": symbols, "channel": channel}
        return Send(msgspec.json.encode(request).decode())

    def _update(self, event: _BookEvent, number: int, timestamp_ns: int) -> None:
        book = self.books.get(event.product_id)
        if book is None:
            return
        bids, asks = sides(event.updates, "bid")
        if event.type == "snapshot":
            self.publish_snapshot(book, bids, asks, number, timestamp_ns)
        else:
            book.delta(bids, asks, number, timestamp_ns)

    def _trade(self, trade: _Trade) -> None:
        self.publish_trade(
            trade.product_id,
            trade.price,
            trade.size,
            rfc3339_nanoseconds(trade.time),
            _TAKER_SIDE[trade.side],
            trade.trade_id,
        )

    def _quote(self, ticker: _Ticker, timestamp_ns: int) -> None:
        self.publish_quote(
            ticker.product_id,
            (ticker.best_bid, ticker.best_bid_quantity),
            (ticker.best_ask, ticker.best_ask_quantity),
            timestamp_ns,
        )
