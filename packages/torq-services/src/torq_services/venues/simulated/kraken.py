"""Kraken, WebSocket version 2, simulated: checksums, and a book cut off at the depth asked for."""

from __future__ import annotations

import json
import re
from zlib import crc32

from torq_services.venues.simulated.market import Change, SimulatedBook, SimulatedInstrument
from torq_services.venues.simulated.venue import Client, RestAnswer, SimulatedVenue, rfc3339

__all__ = ["SimulatedKraken"]

_QUANTITY = re.compile(r'(?<="qty":)[0-9.]+(?=\})')
_CHECKSUM = re.compile(r'(?<="checksum":)\d+')
_CHECKED = 10


class _Client(Client):
    def __init__(self, venue: SimulatedKraken) -> None:
        self._venue = venue
        self._depths: dict[str, int] = {}

    def received(self, text: str) -> list[str]:
        request = json.loads(text)
        params = request.get("params", {})
        symbols, channel = params.get("symbol", []), params.get("channel")
        answers = [
            json.dumps({"method": request["method"], "success": True, "result": {
                "channel": channel, "symbol": symbol}}) for symbol in symbols
        ]  # fmt: skip
        if channel == "instrument":
            answers.append(self._venue.pairs())
        if channel == "book":
            for symbol in symbols:
                if request["method"] == "unsubscribe":
                    self._depths.pop(symbol, None)
                else:
                    self._depths[symbol] = params["depth"]
                    answers.append(self._snapshot(symbol))
        return answers

    def changed(self, change: Change) -> list[str]:
        symbol = change.instrument.symbol
        depth = self._depths.get(symbol)
        if depth is None:
            return []
        book = self._venue.market.books[symbol]
        sides = [
            _visible(dict(before), dict(after), whole)
            for before, after, whole in zip(
                change.before.top(depth), book.top(depth), (book.bids, book.asks), strict=True
            )
        ]
        if not any(sides):
            return []
        return [
            _message("update", change.instrument, sides[0], sides[1], book, self._venue.clock())
        ]

    def heartbeat(self) -> list[str]:
        return ['{"channel":"heartbeat"}']

    def _snapshot(self, symbol: str) -> str:
        book, instrument = self._venue.market.books[symbol], self._venue.market.instruments[symbol]
        bids, asks = book.top(self._depths[symbol])
        return _message("snapshot", instrument, bids, asks, book, self._venue.clock())


def _visible(
    before: dict[int, int], after: dict[int, int], whole: dict[int, int]
) -> list[tuple[int, int]]:
    """What a reader of the best levels is told: not that a level fell out of them."""
    return [
        *((price, quantity) for price, quantity in after.items() if before.get(price) != quantity),
        *((price, 0) for price in before if price not in whole),
    ]


def _message(
    kind: str, instrument: SimulatedInstrument, bids: list[tuple[int, int]],
    asks: list[tuple[int, int]], book: SimulatedBook, time_ns: int,
) -> str:  # fmt: skip
    """Numbers stand in it with all their digits, which json.dumps would not leave alone."""
    sides = [
        ",".join(
            f'{{"price":{instrument.price(price)},"qty":{instrument.quantity(quantity)}}}'
            for price, quantity in side
        )
        for side in (bids, asks)
    ]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{instrument.symbol}",'
        f'"bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{_checksum(book)},'
        f'"timestamp":"{rfc3339(time_ns)}"}}]}}'
    )


def _checksum(book: SimulatedBook) -> int:
    bids, asks = book.top(_CHECKED)
    return crc32("".join(f"{price}{quantity}" for price, quantity in (*asks, *bids)).encode())


class SimulatedKraken(SimulatedVenue):
    """``/v2`` and ``/0/public/…``."""

    rest_prefixes = ("/0/",)
    system = "maintenance"

    def open(self) -> Client:
        """A connection without subscriptions."""
        return _Client(self)

    def rest(self, path: str, query: dict[str, str]) -> RestAnswer | None:
        """Assets, pairs, or a whole book."""
        instruments = self.market.instruments.values()
        if path == "/0/public/Assets":
            names = {name for i in instruments for name in (i.base, i.quote)}
            return _result({name: {"altname": name} for name in names})
        if path == "/0/public/AssetPairs":
            return _result({_plain(i): _pair(i) for i in instruments})
        found = [i for i in instruments if _plain(i) == query.get("pair")]
        if path != "/0/public/Depth" or not found:
            return 200, '{"error":["EQuery:Unknown asset pair"]}'
        bids, asks = self.market.books[found[0].symbol].top(int(query.get("count", "100")))
        book = {
            name: [[found[0].price(p), found[0].quantity(q), 0] for p, q in side]
            for name, side in (("bids", bids), ("asks", asks))
        }
        return _result({_plain(found[0]): book})

    def pairs(self) -> str:
        """The instrument channel's snapshot."""
        pairs = [{"symbol": symbol, "status": "online"} for symbol in self.market.instruments]
        message = {"channel": "instrument", "type": "snapshot", "data": {"pairs": pairs}}
        return json.dumps(message)

    def is_snapshot(self, text: str) -> bool:
        """By its type."""
        return text.startswith('{"channel":"book","type":"snapshot"')

    def rate_limit(self) -> str:
        """An answer to a request."""
        return '{"method":"subscribe","success":false,"error":"Exceeded msg rate limit"}'

    def maintenance(self) -> str:
        """The status channel says so."""
        return f'{{"channel":"status","type":"update","data":[{{"system":"{self.system}"}}]}}'

    def unknown(self) -> str:
        """A channel that does not exist."""
        return '{"channel":"weather","type":"update","data":[]}'

    def with_quantity(self, text: str, quantity: str) -> str | None:
        """In an update of a book."""
        changed = _QUANTITY.sub(quantity, text, count=1)
        return None if changed == text else changed

    def with_wrong_checksum(self, text: str) -> str | None:
        """One off."""
        changed = _CHECKSUM.sub(lambda match: str(int(match[0]) ^ 1), text, count=1)
        return None if changed == text else changed

    @property
    def proves_digits(self) -> bool:
        """Within the ten best levels."""
        return True


def _result(result: object) -> RestAnswer:
    return 200, json.dumps({"error": [], "result": result})


def _plain(instrument: SimulatedInstrument) -> str:
    return instrument.base + instrument.quote


def _pair(instrument: SimulatedInstrument) -> dict[str, object]:
    return {
        "altname": _plain(instrument), "wsname": instrument.symbol, "base": instrument.base,
        "quote": instrument.quote, "pair_decimals": -instrument.price_exponent,
        "lot_decimals": -instrument.quantity_exponent, "ordermin": instrument.quantity(1),
        "status": "online", "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]],
    }  # fmt: skip
