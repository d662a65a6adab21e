"""Binance spot, simulated."""

from __future__ import annotations

import json
import re

from torq_services.venues.simulated.market import Change, SimulatedBook, SimulatedInstrument
from torq_services.venues.simulated.venue import Client, RestAnswer, SimulatedVenue

__all__ = ["SimulatedBinance"]

_QUANTITY = re.compile(r'(?<=",")[0-9.]+(?="\])')
_FIRST = re.compile(r'(?<="U":)\d+')


class _Client(Client):
    def __init__(self, venue: SimulatedBinance) -> None:
        self._venue = venue
        self._streams: set[str] = set()

    def received(self, text: str) -> list[str]:
        request = json.loads(text)
        result: object = None
        if request["method"] == "SUBSCRIBE":
            self._streams.update(request["params"])
        elif request["method"] == "UNSUBSCRIBE":
            self._streams.difference_update(request["params"])
        elif request["method"] == "LIST_SUBSCRIPTIONS":
            result = sorted(self._streams)
        return [json.dumps({"result": result, "id": request["id"]})]

    def changed(self, change: Change) -> list[str]:
        instrument = change.instrument
        texts = []
        name = f"{instrument.symbol.lower()}@depth@100ms"
        if name in self._streams:
            event = {
                "e": "depthUpdate", "E": self._venue.clock() // 1_000_000, "s": instrument.symbol,
                "U": change.first_update, "u": change.last_update,
                "b": _pairs(instrument, change.bids), "a": _pairs(instrument, change.asks),
            }  # fmt: skip
            texts.append(_message(name, event))
        name = f"{instrument.symbol.lower()}@bookTicker"
        book = self._venue.market.books[instrument.symbol]
        if name in self._streams and _best(book) != _best(change.before):
            texts.append(_message(name, self._ticker(instrument, book, change.last_update)))
        return texts

    def heartbeat(self) -> list[str]:
        return []

    @staticmethod
    def _ticker(
        instrument: SimulatedInstrument, book: SimulatedBook, update: int
    ) -> dict[str, object]:
        (bid, bid_quantity), (ask, ask_quantity) = _best(book)
        return {
            "u": update, "s": instrument.symbol,
            "b": instrument.price(bid), "B": instrument.quantity(bid_quantity),
            "a": instrument.price(ask), "A": instrument.quantity(ask_quantity),
        }  # fmt: skip


def _best(book: SimulatedBook) -> tuple[tuple[int, int], tuple[int, int]]:
    bid, ask = max(book.bids), min(book.asks)
    return (bid, book.bids[bid]), (ask, book.asks[ask])


def _message(stream: str, event: object) -> str:
    return json.dumps({"stream": stream, "data": event}, separators=(",", ":"))


def _pairs(instrument: SimulatedInstrument, levels: object) -> list[list[str]]:
    return [
        [instrument.price(price), instrument.quantity(quantity)]
        for price, quantity in levels  # type: ignore[attr-defined]
    ]


class SimulatedBinance(SimulatedVenue):
    """``/stream`` and ``/api/v3/…``."""

    rest_prefixes = ("/api/",)

    def open(self) -> Client:
        """A connection without streams."""
        return _Client(self)

    def rest(self, path: str, query: dict[str, str]) -> RestAnswer | None:
        """The list of symbols, or a snapshot of a book."""
        if path == "/api/v3/exchangeInfo":
            return 200, json.dumps({"symbols": [self._listed(i) for i in self._instruments]})
        instrument = self.market.instruments.get(query.get("symbol", ""))
        if path != "/api/v3/depth" or instrument is None:
            return 400, '{"code":-1121,"msg":"Invalid symbol."}'
        symbol = instrument.symbol
        bids, asks = self.market.books[symbol].top(int(query.get("limit", "100")))
        snapshot = {
            "lastUpdateId": self.market.updates[symbol],
            "bids": _pairs(instrument, bids), "asks": _pairs(instrument, asks),
        }  # fmt: skip
        return 200, json.dumps(snapshot)

    def is_snapshot(self, text: str) -> bool:
        """Snapshots come over REST: an update stands for one here."""
        return '"depthUpdate"' in text

    def rate_limit(self) -> str:
        """Over the WebSocket, and the next REST request is refused as well."""
        self.refuse_rest += 1
        return '{"error":{"code":2,"msg":"Too many requests"},"id":1}'

    def unknown(self) -> str:
        """A stream that does not exist."""
        return '{"stream":"btcusdt@moonPhase","data":{"e":"moonPhase","s":"BTCUSDT"}}'

    def with_quantity(self, text: str, quantity: str) -> str | None:
        """In an update of a book."""
        changed = _QUANTITY.sub(quantity, text, count=1)
        return None if changed == text or not self.is_snapshot(text) else changed

    def with_sequence_jump(self, text: str) -> str | None:
        """This update begins later than it should."""
        changed = _FIRST.sub(lambda match: str(int(match[0]) + 1), text, count=1)
        return None if changed == text else changed

    @property
    def _instruments(self) -> list[SimulatedInstrument]:
        return list(self.market.instruments.values())

    @staticmethod
    def _listed(instrument: SimulatedInstrument) -> dict[str, object]:
        step = instrument.quantity(1)
        return {
            "symbol": instrument.symbol, "status": "TRADING",
            "baseAsset": instrument.base, "quoteAsset": instrument.quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": instrument.price(1)},
                {"filterType": "LOT_SIZE", "stepSize": step, "minQty": step},
            ],
        }  # fmt: skip
