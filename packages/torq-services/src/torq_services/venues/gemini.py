"""Gemini market data version 2, from the session of August 2026."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from torq_services.venues.base import LoopbackVenue, VenueConnection
from torq_services.venues.session import Frame

__all__ = ["GeminiVenue"]


class _Subscription(msgspec.Struct):
    name: str
    symbols: list[str]


class _Subscribe(msgspec.Struct):
    type: str
    subscriptions: list[_Subscription]


class _Message(msgspec.Struct):
    symbol: str = ""
    changes: list[tuple[Literal["buy", "sell"], str, str]] = []
    trades: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_subscribe = msgspec.json.Decoder(_Subscribe)
_message = msgspec.json.Decoder(_Message)


class _Connection(VenueConnection):
    def __init__(self) -> None:
        self._symbols: set[str] = set()
        self._has_left = False
        self.books: dict[str, dict[str, dict[str, str]]] = {}
        """By symbol and side, what this client has been told: quantities by price."""

    def subscribe(self, text: str) -> bool:
        try:
            request = _subscribe.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        symbols = {symbol for part in request.subscriptions for symbol in part.symbols}
        if request.type != "subscribe":
            self._symbols -= symbols
            self._has_left = True
            return False
        self._symbols |= symbols
        begins_anew, self._has_left = self._has_left, False
        return begins_anew

    def render(self, frame: Frame) -> str | None:
        message = _message.decode(frame.text)
        if message.symbol and message.symbol not in self._symbols:
            return None
        if message.changes:
            self._keep(message)
        return frame.text

    def _keep(self, message: _Message) -> None:
        # Only the first message of a subscription brings recent trades along: the snapshot.
        if message.trades is not msgspec.UNSET:
            self.books[message.symbol] = {"buy": {}, "sell": {}}
        book = self.books.setdefault(message.symbol, {"buy": {}, "sell": {}})
        for side, price, quantity in message.changes:
            if quantity.strip("0.") == "":
                book[side].pop(price, None)
            else:
                book[side][price] = quantity


class GeminiVenue(LoopbackVenue):
    """``ws://…/gemini/v2/marketdata`` and ``http://…/gemini/v1/…``."""

    prefix = "/gemini"
    websocket_path = "/v2/marketdata"

    def open(self) -> VenueConnection:
        """A connection that has subscribed to nothing yet."""
        return _Connection()

    def answer(self, path: str) -> str | None:
        """What was recorded; and a whole book, which was not, as the replay has it now.

        Every client has a replay of its own, and nothing in a request says whose it is: the
        longest open one is the adapter's, for it was there first.
        """
        front, _, symbol = path.rpartition("/")
        if front != "/v1/book":
            return super().answer(path)
        for connection in self.connections:
            book = connection.books.get(symbol.upper())  # type: ignore[attr-defined]
            if book is not None:
                return _whole(book)
        return None

    def refusal(self, detail: str) -> str:
        """Gemini's error message."""
        return msgspec.json.encode({"result": "error", "reason": detail}).decode()


def _whole(book: dict[str, dict[str, str]]) -> str:
    """Gemini's answer to /v1/book: the best first."""
    body = {}
    for name, side, is_descending in (("bids", "buy", True), ("asks", "sell", False)):
        ordered = sorted(book[side].items(), key=lambda e: Decimal(e[0]), reverse=is_descending)
        body[name] = [{"price": p, "amount": q, "timestamp": "0"} for p, q in ordered]
    return msgspec.json.encode(body).decode()
