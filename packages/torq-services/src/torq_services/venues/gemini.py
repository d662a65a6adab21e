"""Gemini market data version 2, from the session of August 2026."""

from __future__ import annotations

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


_subscribe = msgspec.json.Decoder(_Subscribe)
_message = msgspec.json.Decoder(_Message)


class _Connection(VenueConnection):
    def __init__(self) -> None:
        self._symbols: set[str] = set()
        self._has_left = False

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
        symbol = _message.decode(frame.text).symbol
        return frame.text if not symbol or symbol in self._symbols else None


class GeminiVenue(LoopbackVenue):
    """``ws://…/gemini/v2/marketdata`` and ``http://…/gemini/v1/…``."""

    prefix = "/gemini"
    websocket_path = "/v2/marketdata"

    def open(self) -> VenueConnection:
        """A connection that has subscribed to nothing yet."""
        return _Connection()

    def refusal(self, detail: str) -> str:
        """Gemini's error message."""
        return msgspec.json.encode({"result": "error", "reason": detail}).decode()
