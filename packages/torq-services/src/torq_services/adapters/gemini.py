"""Gemini market data, version 2.

The feed numbers nothing. What can be seen of a lost, repeated or misplaced book update is that it
does not fit the book: a level removed that was not there, set to the quantity that it had, or a
bid at or above an ask. Each puts the book in doubt. What stays unseen is found by comparing with
the whole book over REST, once a minute (:mod:`torq_services.adapters.exchange.audit`).
Source: Gemini's WebSocket Market Data version 2 reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from torq_codec import levels, sides
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.books import BookDoubtError, Levels, PublishedBook
from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, increment
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_services.adapters.exchange.times import milliseconds
from torq_types import (
    InvalidationReason,
    Level,
    Quote,
    Side,
    Venue,
)

__all__ = ["GeminiAdapter"]


class _Message(msgspec.Struct):
    type: str = ""
    symbol: str = ""
    changes: list[tuple[Literal["buy", "sell"], str, str]] = []
    trades: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    price: str = ""
    quantity: str = ""
    side: Literal["buy", "sell"] = "buy"
    tid: int = 0
    timestamp: int = 0
    result: str = ""
    reason: str = ""


class _Details(msgspec.Struct):
    symbol: str
    base_currency: str
    quote_currency: str
    tick_size: msgspec.Raw
    """Gemini's word for the smallest step of a quantity."""
    quote_increment: msgspec.Raw
    min_order_size: str
    status: str


_message = msgspec.json.Decoder(_Message)
_details = msgspec.json.Decoder(_Details)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_STATUS = {"open": InstrumentStatus.TRADING, "closed": InstrumentStatus.DELISTED}
_PAUSE = 10.0
"""Seconds without a request after being told of too many."""


class _BookLevel(msgspec.Struct):
    price: str
    amount: str


class _WholeBook(msgspec.Struct):
    bids: list[_BookLevel]
    asks: list[_BookLevel]


_whole_book = msgspec.json.Decoder(_WholeBook)


class GeminiAdapter(ExchangeAdapter):
    """Trades, best bid and ask, and whole books of Gemini's pairs."""

    name = "gemini"
    venue = Venue.GEMINI
    limits = VenueLimits(messages_per_second=5, weight_per_minute=120)
    heartbeat_seconds = 5
    audit_seconds = 60

    def forget_connection(self) -> None:
        """The best prices are told anew."""
        self._best: dict[str, tuple[Level | None, Level | None]] = {}

    def listing_paths(self) -> list[str]:
        """One request a symbol: the list of symbols alone says nothing of currencies."""
        return [f"/v1/symbols/details/{symbol.lower()}" for symbol in self.books]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterator[Listed]:
        """The symbols that this adapter follows."""
        for body in bodies.values():
            details = _details.decode(body)
            yield Listed(
                symbol=details.symbol.upper(),
                base=details.base_currency,
                quote=details.quote_currency,
                price_increment=increment(bytes(details.quote_increment).decode()),
                quantity_increment=increment(bytes(details.tick_size).decode()),
                minimum_quantity=increment(details.min_order_size),
                status=_STATUS.get(details.status, InstrumentStatus.HALTED),
            )

    def subscriptions(self) -> list[Request]:
        """The l2 subscription brings trades as well."""
        return [self._request("subscribe", list(self.books))]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Unsubscribing and subscribing again brings snapshots."""
        return [self._request(verb, symbols) for verb in ("unsubscribe", "subscribe")]

    def audit_request(self, symbol: str) -> Fetch:
        """The whole book over REST."""
        return Fetch(f"/v1/book/{symbol.lower()}?limit_bids=0&limit_asks=0", symbol, "audit")

    def read_audit(self, body: bytes) -> tuple[Levels, Levels]:
        """Levels with prices and amounts as texts."""
        book = _whole_book.decode(body)
        return levels(book.bids), levels(book.asks)

    def dispatch(self, frame: bytes) -> None:
        """Map by type."""
        message = _message.decode(frame)
        if message.result == "error":
            is_limit = "ratelimit" in message.reason.lower()
            self.refused(f"Gemini says: {message.reason}", pause_seconds=_PAUSE if is_limit else 0)
            return
        book = self.books.get(message.symbol)
        if message.type == "l2_updates":
            if book is not None:
                self.attempt(message.symbol, self._update, message, book)
        elif message.type == "trade":
            self._trade(message)
        elif message.type != "heartbeat":
            self.unknown(message.type)

    @staticmethod
    def _request(verb: str, symbols: list[str]) -> Send:
        request = {"type": verb, "subscriptions": [{"name": "l2", "symbols": symbols}]}
        return Send(msgspec.json.encode(request).decode())

    def _update(self, message: _Message, book: PublishedBook) -> None:
        bids, asks = sides(message.changes, "buy")
        # Only the first message of a subscription brings recent trades along: the snapshot.
        if message.trades is not msgspec.UNSET:
            self.publish_snapshot(book, bids, asks)
            self._quote(book)
            return
        if book.is_verified:
            misfit = book.book.misfit(bids, asks)
            if misfit is not None:
                raise BookDoubtError(InvalidationReason.INCONSISTENT, f"{message.symbol}: {misfit}")
        book.delta(bids, asks)
        self._quote(book)

    def _quote(self, book: PublishedBook) -> None:
        """The best bid and ask, which the feed does not send by themselves, when they change."""
        if not book.is_verified:
            return
        bid, ask = book.book.best_bid, book.book.best_ask
        told_bid, told_ask = self._best.get(book.symbol, (None, None))
        # A level that was set again is another object: that is quicker to see than to compare.
        if bid is None or ask is None or (bid is told_bid and ask is told_ask):
            return
        self._best[book.symbol] = bid, ask
        self.counters.quotes += 1
        self.sink.send(
            Quote(book.book.instrument, bid.price, bid.quantity, ask.price, ask.quantity, 0)
        )

    def _trade(self, message: _Message) -> None:
        self.publish_trade(
            message.symbol,
            message.price,
            message.quantity,
            milliseconds(message.timestamp),
            _SIDES[message.side],
            str(message.tid),
        )
