"""Coinbase Advanced Trade, simulated."""

from __future__ import annotations

import json
import re
from typing import Any

from torq_services.venues.simulated.market import Change, SimulatedInstrument
from torq_services.venues.simulated.venue import Client, RestAnswer, SimulatedVenue, rfc3339

__all__ = ["SimulatedCoinbase"]

_TIME = "2026-08-09T21:05:48.228568804Z"
_QUANTITY = re.compile(r'(?<="new_quantity":")[0-9.]+(?=")')
_SEQUENCE = re.compile(r'(?<="sequence_num":)\d+')
_JUMP = 7


class _Client(Client):
    def __init__(self, venue: SimulatedCoinbase) -> None:
        self._venue = venue
        self._wanted: dict[str, set[str]] = {}
        self.sequence = 0

    def received(self, text: str) -> list[str]:
        request = json.loads(text)
        channel, products = request["channel"], request["product_ids"]
        wanted = self._wanted.setdefault(channel, set())
        if request["type"] == "unsubscribe":
            wanted.difference_update(products)
            return [self._message("subscriptions", [])]
        wanted.update(products)
        answers = [self._message("subscriptions", [])]
        if channel == "level2":
            answers += [self._snapshot(product) for product in products]
        return answers

    def changed(self, change: Change) -> list[str]:
        symbol = change.instrument.symbol
        if symbol not in self._wanted.get("level2", ()):
            return []
        levels = _levels(change.instrument, change.bids, change.asks)
        return [self._message("l2_data", [_event("update", symbol, levels)])]

    def heartbeat(self) -> list[str]:
        unheard_of = [self._message("weather", [])] if self._venue.take_unknown() else []
        return [*unheard_of, self._message("heartbeats", [{"heartbeat_counter": self.sequence}])]

    def _snapshot(self, symbol: str) -> str:
        bids, asks = self._venue.market.books[symbol].top()
        levels = _levels(self._venue.market.instruments[symbol], bids, asks)
        return self._message("l2_data", [_event("snapshot", symbol, levels)])

    def _message(self, channel: str, events: list[Any]) -> str:
        self.sequence += 1 + self._venue.take_jump()
        envelope = {
            "channel": channel, "timestamp": rfc3339(self._venue.clock()),
            "sequence_num": self.sequence - 1, "events": events,
        }  # fmt: skip
        return json.dumps(envelope, separators=(",", ":"))


def _event(kind: str, symbol: str, levels: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": kind, "product_id": symbol, "updates": levels}


def _levels(instrument: SimulatedInstrument, bids: Any, asks: Any) -> list[dict[str, str]]:
    return [
        {
            "side": side, "event_time": _TIME, "price_level": instrument.price(price),
            "new_quantity": instrument.quantity(quantity),
        }
        for side, levels in (("bid", bids), ("offer", asks))
        for price, quantity in levels
    ]  # fmt: skip


class SimulatedCoinbase(SimulatedVenue):
    """``/`` and ``/api/v3/brokerage/market/products``."""

    rest_prefixes = ("/api/",)
    _jump = 0
    _says_unknown = False

    def open(self) -> Client:
        """A connection with a sequence of its own."""
        return _Client(self)

    def rest(self, path: str, query: dict[str, str]) -> RestAnswer | None:
        """The list of products."""
        products = [
            {
                "product_id": i.symbol, "base_currency_id": i.base, "quote_currency_id": i.quote,
                "price_increment": i.price(1), "base_increment": i.quantity(1),
                "base_min_size": i.quantity(1), "status": "online", "trading_disabled": False,
            }
            for i in self.market.instruments.values()
        ]  # fmt: skip
        return 200, json.dumps({"products": products})

    def is_snapshot(self, text: str) -> bool:
        """By its type."""
        return '"type":"snapshot"' in text

    def rate_limit(self) -> str:
        """An error without a number."""
        return '{"type":"error","message":"rate limit exceeded"}'

    def unknown(self) -> None:
        """It has to be numbered with the others, so it comes with the next heartbeat."""
        self._says_unknown = True

    def with_quantity(self, text: str, quantity: str) -> str | None:
        """In an update of a book."""
        changed = _QUANTITY.sub(quantity, text, count=1)
        return None if changed == text else changed

    def with_sequence_jump(self, text: str) -> str | None:
        """This message and all that follow have later numbers."""
        self._jump = _JUMP
        return _SEQUENCE.sub(lambda match: str(int(match[0]) + _JUMP), text, count=1)

    def take_jump(self) -> int:
        """How far the next number is ahead, once."""
        jump, self._jump = self._jump, 0
        return jump

    def take_unknown(self) -> bool:
        """Whether something unheard of is to be said, once."""
        says, self._says_unknown = self._says_unknown, False
        return says
