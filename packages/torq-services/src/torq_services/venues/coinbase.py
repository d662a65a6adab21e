"""Coinbase Advanced Trade, from the session of August 2026."""

from __future__ import annotations

import re

import msgspec

from torq_services.venues.base import LoopbackVenue, VenueConnection
from torq_services.venues.session import Frame

__all__ = ["CoinbaseVenue"]

_SEQUENCE = re.compile(r'"sequence_num":\d+')


class _Subscribe(msgspec.Struct):
    type: str
    channel: str
    product_ids: list[str] = []


class _Event(msgspec.Struct):
    product_id: str = ""


class _Envelope(msgspec.Struct):
    channel: str
    events: list[_Event]


_subscribe = msgspec.json.Decoder(_Subscribe)
_envelope = msgspec.json.Decoder(_Envelope)
_NAMES = {"l2_data": "level2"}
"""The level2 channel calls its messages l2_data."""


class _Connection(VenueConnection):
    def __init__(self) -> None:
        self._wanted: dict[str, set[str]] = {}
        self._sequence = 0
        self._has_left = False

    def subscribe(self, text: str) -> bool:
        try:
            request = _subscribe.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        products = self._wanted.setdefault(request.channel, set())
        if request.type != "subscribe":
            products.difference_update(request.product_ids)
            self._has_left = True
            return False
        products.update(request.product_ids)
        begins_anew, self._has_left = self._has_left, False
        return begins_anew

    def render(self, frame: Frame) -> str | None:
        envelope = _envelope.decode(frame.text)
        channel = _NAMES.get(envelope.channel, envelope.channel)
        if channel != "subscriptions":
            products = self._wanted.get(channel)
            if products is None:
                return None
            named = {event.product_id for event in envelope.events if event.product_id}
            if named and not named & products:
                return None
        # The one thing that is not verbatim: a connection's messages are numbered as it gets them.
        text = _SEQUENCE.sub(f'"sequence_num":{self._sequence}', frame.text, count=1)
        self._sequence += 1
        return text


class CoinbaseVenue(LoopbackVenue):
    """``ws://…/coinbase`` and ``http://…/coinbase/api/v3/…``."""

    prefix = "/coinbase"
    websocket_path = ""

    def open(self) -> VenueConnection:
        """A connection with a sequence of its own."""
        return _Connection()

    def refusal(self, detail: str) -> str:
        """Coinbase's error message."""
        return msgspec.json.encode({"type": "error", "message": detail}).decode()
