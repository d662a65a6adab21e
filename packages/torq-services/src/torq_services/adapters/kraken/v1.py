"""Kraken market data, WebSocket version 1: the frozen one, which recordings speak.

Every book update carries a CRC-32 over the ten best levels a side, on the exchange's own digits.
Levels that drop out of the subscribed depth are not removed by a message: the reader drops them.
Source: Kraken's "Spot WebSockets (v1)" reference and its guide "Book checksum (WebSocket v1)".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from torq_codec import levels
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.books import PublishedBook
from torq_services.adapters.exchange.instruments import Listed
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Request, Send
from torq_services.adapters.exchange.times import unix_nanoseconds
from torq_services.adapters.kraken.listing import ASSETS, PAIRS, read_pairs
from torq_services.state import kraken_checksum
from torq_types import InvalidationReason, Side, Venue

__all__ = ["KrakenV1Adapter"]

_PAUSE = 5.0
"""Seconds without a request after being told of too many."""
_SIDES = {"b": Side.BUY, "s": Side.SELL}


class _Event(msgspec.Struct):
    event: str = ""
    status: str = ""
    errorMessage: str = ""  # noqa: N815 - Kraken's name
    pair: str = ""


_Levels = list[list[str]]
"""Price, volume, time, and "r" where the level was sent again."""


class _Book(msgspec.Struct, gc=False):
    a: _Levels = []
    b: _Levels = []
    whole_asks: _Levels | None = msgspec.field(default=None, name="as")
    whole_bids: _Levels | None = msgspec.field(default=None, name="bs")
    c: str = ""


class _Trade(msgspec.Struct, array_like=True):
    price: str
    volume: str
    time: str
    side: str


class _Ticker(msgspec.Struct):
    a: tuple[str, msgspec.Raw, str]
    b: tuple[str, msgspec.Raw, str]


_event = msgspec.json.Decoder(_Event)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_books = (
    msgspec.json.Decoder(tuple[int, _Book, str, str]),
    # What changes both sides has an object for each; the checksum is in the last.
    msgspec.json.Decoder(tuple[int, _Book, _Book, str, str]),
)
_BOOK = b'"book-'
_TAIL = 60
"""Channel and pair stand within so many bytes of a message's end."""
_trades = msgspec.json.Decoder(list[_Trade])
_ticker = msgspec.json.Decoder(_Ticker)


class KrakenV1Adapter(ExchangeAdapter):
    """Trades, best bid and ask, and books of Kraken's pairs, by their ``wsname``."""

    name = "kraken_v1"
    venue = Venue.KRAKEN
    limits = VenueLimits(messages_per_second=10, weight_per_minute=60)
    heartbeat_seconds = 1
    book_depth = 1000
    book_levels = (10, 25, 100, 500, 1000)
    checksum = staticmethod(kraken_checksum)

    def listing_paths(self) -> list[str]:
        """Currencies and pairs."""
        return [ASSETS, PAIRS]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        """Every pair."""
        return read_pairs(bodies, version=1)

    def subscriptions(self) -> list[Request]:
        """Trades, tickers, books."""
        return [
            self._request("subscribe", {"name": "trade"}, list(self.books)),
            self._request("subscribe", {"name": "ticker"}, list(self.books)),
            self._request("subscribe", self._book_channel, list(self.books)),
        ]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """Unsubscribing and subscribing again brings snapshots."""
        return [
            self._request(verb, self._book_channel, symbols)
            for verb in ("unsubscribe", "subscribe")
        ]

    def dispatch(self, frame: bytes) -> None:
        """Arrays carry market data, objects everything else."""
        if not frame.startswith(b"["):
            self._event(_event.decode(frame))
            return
        if _BOOK in frame[-_TAIL:]:
            message = _books[frame.count(b"{") == 2].decode(frame)
            pair = message[-1]
            book = self.books.get(pair)
            if book is not None:
                self.attempt(pair, self._update, message[1:-2], book)
            return
        parts = _parts.decode(frame)
        if len(parts) < 4:
            raise ValueError(
                f"found an array of {len(parts)}; expected channel, content, name, pair"
            )
        channel, pair = _text.decode(parts[-2]), _text.decode(parts[-1])
        book = self.books.get(pair)
        if book is None:
            return
        if channel == "trade":
            for trade in _trades.decode(parts[1]):
                self._trade(trade, pair)
        elif channel == "ticker":
            self._quote(_ticker.decode(parts[1]), pair)
        else:
            self.unknown(channel)

    @property
    def _book_channel(self) -> dict[str, str | int]:
        return {"name": "book", "depth": self.book_depth}

    @staticmethod
    def _request(verb: str, subscription: Mapping[str, str | int], symbols: list[str]) -> Send:
        request = {"event": verb, "pair": symbols, "subscription": subscription}
        return Send(msgspec.json.encode(request).decode())

    def _event(self, event: _Event) -> None:
        if event.event == "systemStatus":
            if event.status != "online":
                self.in_doubt(InvalidationReason.HALTED, f"Kraken's status is {event.status}")
        elif event.event in ("subscriptionStatus", "error"):
            if event.errorMessage:
                is_limit = "rate limit" in event.errorMessage.lower()
                self.refused(
                    f"Kraken says: {event.errorMessage} {event.pair}".rstrip(),
                    pause_seconds=_PAUSE if is_limit else 0,
                )
        elif event.event not in ("heartbeat", "pong"):
            self.unknown(event.event)

    def _update(self, contents: tuple[_Book, ...], book: PublishedBook) -> None:
        first, last = contents[0], contents[-1]
        if first.whole_asks is not None or first.whole_bids is not None:
            bids, asks = first.whole_bids or [], first.whole_asks or []
            self.publish_snapshot(
                book, levels(bids), levels(asks), exchange_timestamp_ns=_latest(bids, asks)
            )
            return
        bids, asks = first.b or last.b, first.a or last.a
        if not last.c:
            raise ValueError("a book update without its checksum")
        book.delta(levels(bids), levels(asks), exchange_timestamp_ns=_latest(bids, asks),
            checksum=int(last.c),
        )  # fmt: skip

    def _trade(self, trade: _Trade, pair: str) -> None:
        side = _SIDES.get(trade.side, Side.UNKNOWN)
        time_ns = unix_nanoseconds(trade.time)
        self.publish_trade(pair, trade.price, trade.volume, time_ns, side, "")

    def _quote(self, ticker: _Ticker, pair: str) -> None:
        bid, ask = ticker.b, ticker.a
        self.publish_quote(pair, (bid[0], bid[2]), (ask[0], ask[2]))


def _latest(bids: _Levels, asks: _Levels) -> int:
    """When the newest of these levels was set; they have times, and their message has none."""
    entries = bids + asks if bids and asks else bids or asks
    if len(entries) == 1:
        return unix_nanoseconds(entries[0][2])
    return unix_nanoseconds(max([entry[2] for entry in entries], default="0"))
