"""Gemini market data, version 2.

The feed numbers nothing. What can be seen of a lost, repeated or misplaced book update is that it
does not fit the book: a level removed that was not there, set to the quantity that it had, or a
bid at or above an ask. Each puts the books in doubt; docs/architecture.md says what stays unseen.
Source: Gemini's WebSocket Market Data version 2 reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from torq_services.adapters.base import ExchangeAdapter, increment, level
from torq_services.adapters.books import BookDoubtError, PublishedBook
from torq_services.adapters.times import milliseconds
from torq_types import (
    Decimal64,
    InstrumentMeta,
    InvalidationReason,
    Level,
    Side,
    Trade,
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


class GeminiAdapter(ExchangeAdapter):
    """Trades and whole books of Gemini's pairs."""

    venue = Venue.GEMINI
    heartbeat_seconds = 5

    def metadata_paths(self) -> list[str]:
        """One request a symbol."""
        return [f"/v1/symbols/details/{symbol.lower()}" for symbol in self.books]

    def read_metadata(self, bodies: Mapping[str, bytes]) -> list[InstrumentMeta]:
        """Currencies and increments of the symbols that this adapter follows."""
        metas = []
        for body in bodies.values():
            details = _details.decode(body)
            metas.append(
                InstrumentMeta(
                    self.books[details.symbol].book.instrument,
                    increment(bytes(details.quote_increment).decode()),
                    increment(bytes(details.tick_size).decode()),
                    increment(details.min_order_size),
                    1 if details.status == "open" else 2,
                    details.base_currency,
                    details.quote_currency,
                )
            )
        return metas

    def subscribe_messages(self) -> list[str]:
        """The l2 subscription brings trades as well."""
        subscription = {"name": "l2", "symbols": list(self.books)}
        return [
            msgspec.json.encode({"type": "subscribe", "subscriptions": [subscription]}).decode()
        ]

    def connected(self) -> None:
        """Nothing: a connection has no state of its own."""

    def dispatch(self, frame: bytes) -> None:
        """Map by type."""
        message = _message.decode(frame)
        if message.result == "error":
            raise BookDoubtError(InvalidationReason.OTHER, f"Gemini says: {message.reason}")
        book = self.books.get(message.symbol)
        if message.type == "l2_updates":
            if book is not None:
                self._book(message, book)
        elif message.type == "trade":
            if book is not None:
                self._trade(message, book)
        elif message.type != "heartbeat":
            self.counters.unknown_messages += 1

    def _book(self, message: _Message, book: PublishedBook) -> None:
        bids: list[Level] = []
        asks: list[Level] = []
        for side, price, quantity in message.changes:
            (bids if side == "buy" else asks).append(level(price, quantity))
        self.counters.book_updates += 1
        # Only the first message of a subscription brings recent trades along: the snapshot.
        if message.trades is not msgspec.UNSET:
            book.snapshot(tuple(bids), tuple(asks))
            return
        if book.is_verified:
            misfit = book.book.misfit(bids, asks)
            if misfit is not None:
                raise BookDoubtError(InvalidationReason.INCONSISTENT, f"{message.symbol}: {misfit}")
        book.delta(tuple(bids), tuple(asks))

    def _trade(self, message: _Message, book: PublishedBook) -> None:
        self.counters.trades += self.publish_exact(
            lambda: Trade(
                book.book.instrument,
                Decimal64.parse(message.price),
                Decimal64.parse(message.quantity),
                milliseconds(message.timestamp),
                _SIDES[message.side],
                str(message.tid),
            )
        )
