"""Gemini market data version 2, simulated."""

from __future__ import annotations

import json
import re

from torq_services.venues.simulated.market import Change, SimulatedInstrument
from torq_services.venues.simulated.venue import Client, RestAnswer, SimulatedVenue

__all__ = ["SimulatedGemini"]

_QUANTITY = re.compile(r'(?<=",")[0-9.]+(?="\])')


class _Client(Client):
    def __init__(self, venue: SimulatedGemini) -> None:
        self._venue = venue
        self._wanted: set[str] = set()

    def received(self, text: str) -> list[str]:
        request = json.loads(text)
        symbols = [symbol for part in request["subscriptions"] for symbol in part["symbols"]]
        if request["type"] == "unsubscribe":
            self._wanted.difference_update(symbols)
            return []
        self._wanted.update(symbols)
        return [self._snapshot(symbol) for symbol in symbols]

    def changed(self, change: Change) -> list[str]:
        symbol = change.instrument.symbol
        if symbol not in self._wanted:
            return []
        changes = _changes(change.instrument, change.bids, change.asks)
        if not changes:
            return []
        message = {"type": "l2_updates", "symbol": symbol, "changes": changes}
        return [json.dumps(message, separators=(",", ":"))]

    def heartbeat(self) -> list[str]:
        return ['{"type":"heartbeat","timestamp":1786313195331}']

    def _snapshot(self, symbol: str) -> str:
        bids, asks = self._venue.market.books[symbol].top()
        changes = _changes(self._venue.market.instruments[symbol], bids, asks)
        message = {
            "type": "l2_updates", "symbol": symbol, "changes": changes, "trades": [],
            "auction_events": [],
        }  # fmt: skip
        return json.dumps(message, separators=(",", ":"))


def _changes(instrument: SimulatedInstrument, bids: object, asks: object) -> list[list[str]]:
    return [
        [side, instrument.price(price), instrument.quantity(quantity) if quantity else "0"]
        for side, levels in (("buy", bids), ("sell", asks))
        for price, quantity in levels  # type: ignore[attr-defined]
    ]


class SimulatedGemini(SimulatedVenue):
    """``/v2/marketdata`` and ``/v1/…``."""

    rest_prefixes = ("/v1/",)

    def open(self) -> Client:
        """A connection that has subscribed to nothing yet."""
        return _Client(self)

    def rest(self, path: str, query: dict[str, str]) -> RestAnswer | None:
        """Details of a symbol, or its whole book."""
        instrument = self.market.instruments.get(path.rpartition("/")[2].upper())
        if instrument is None:
            return None
        if path.startswith("/v1/book/"):
            bids, asks = self.market.books[instrument.symbol].top()
            book = {
                name: [
                    {"price": instrument.price(p), "amount": instrument.quantity(q),
                     "timestamp": "0"} for p, q in side
                ]
                for name, side in (("bids", bids), ("asks", asks))
            }  # fmt: skip
            return 200, json.dumps(book)
        details = {
            "symbol": instrument.symbol, "base_currency": instrument.base,
            "quote_currency": instrument.quote, "min_order_size": instrument.quantity(1),
            "status": "open",
        }  # fmt: skip
        numbers = (
            f',"tick_size":1e{instrument.quantity_exponent}'
            f',"quote_increment":1e{instrument.price_exponent}}}'
        )
        return 200, json.dumps(details)[:-1] + numbers

    def is_snapshot(self, text: str) -> bool:
        """Only a snapshot brings trades along."""
        return '"trades":[' in text

    def rate_limit(self) -> str:
        """An error message."""
        return '{"result":"error","reason":"RateLimitExceeded"}'

    def unknown(self) -> str:
        """A type that does not exist."""
        return '{"type":"candles_7m_updates","symbol":"","changes":[]}'

    def with_quantity(self, text: str, quantity: str) -> str | None:
        """In an update of a book."""
        changed = _QUANTITY.sub(quantity, text, count=1)
        return None if changed == text else changed
