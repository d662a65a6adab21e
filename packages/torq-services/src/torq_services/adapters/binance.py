"""Binance spot market data.

Book updates carry the first and last update id that they cover (``U``, ``u``); a book starts from
a REST snapshot (``lastUpdateId``) to which the updates held back meanwhile are joined without a
hole. The snapshot shows so many levels a side: what lies beyond is never published, and a new one
is asked for before the best prices come near its end. ``bookTicker`` names the update id of its
prices, and is compared with the book whenever both stand at the same one.
Source: Binance's spot WebSocket streams, "How to manage a local order book correctly".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from torq_codec import levels
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.books import BookDoubtError, Levels, PublishedBook
from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, increment
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_services.adapters.exchange.sequence import SequenceNumber
from torq_services.adapters.exchange.times import milliseconds
from torq_types import InvalidationReason, Side, Venue

__all__ = ["BinanceAdapter"]

_INFO = "/api/v3/exchangeInfo"
_STREAMS = ("depth@100ms", "bookTicker", "trade")
_MOST_HELD_BACK = 5000
_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
"""What a snapshot of so many levels costs."""
_PAUSE = 10.0
"""Seconds without a request after being told of too many."""
_EXPONENT = -8


class _Envelope(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    id: int | None = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int = 0
    msg: str = ""


class _Depth(msgspec.Struct, gc=False):
    first: SequenceNumber = msgspec.field(name="U")
    last: SequenceNumber = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Ticker(msgspec.Struct, gc=False):
    update: SequenceNumber = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    bid_quantity: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_quantity: str = msgspec.field(name="A")


class _Trade(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    time_ms: int = msgspec.field(name="T")
    is_buyer_maker: bool = msgspec.field(name="m")
    trade_id: int = msgspec.field(name="t", default=0)
    aggregate_id: int = msgspec.field(name="a", default=0)


class _Snapshot(msgspec.Struct):
    last_update: SequenceNumber = msgspec.field(name="lastUpdateId")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    base: str = msgspec.field(name="baseAsset")
    quote: str = msgspec.field(name="quoteAsset")
    filters: list[dict[str, Any]]


class _Info(msgspec.Struct):
    symbols: list[_Symbol]


_envelope = msgspec.json.Decoder(_Envelope)
_depth = msgspec.json.Decoder(_Depth)
_ticker = msgspec.json.Decoder(_Ticker)
_trade = msgspec.json.Decoder(_Trade)
_snapshot = msgspec.json.Decoder(_Snapshot)
_info = msgspec.json.Decoder(_Info)

_STATUS = {
    "TRADING": InstrumentStatus.TRADING,
    "HALT": InstrumentStatus.HALTED,
    "BREAK": InstrumentStatus.HALTED,
    "END_OF_DAY": InstrumentStatus.HALTED,
}


class _Follow:
    """Where one symbol stands between its updates and its snapshot."""

    def __init__(self) -> None:
        self.held_back: deque[_Depth] = deque()
        self.last = 0
        """The last update id in the book, or the last one held back; 0 before any."""
        self.is_joined = True
        """False right after a snapshot: the next update may begin before its end."""
        self.horizon: tuple[int | None, int | None] = (None, None)
        """The outermost bid and ask of a snapshot that was cut off, in units of 10**-8."""
        self.ticker: _Ticker | None = None

    def hold_back(self, update: _Depth) -> None:
        if self.held_back and update.first != self.last + 1:
            self.held_back.clear()  # a hole: what lies before it joins nothing
        if len(self.held_back) >= _MOST_HELD_BACK:
            self.held_back.popleft()
        self.held_back.append(update)
        self.last = update.last


class BinanceAdapter(ExchangeAdapter):
    """Trades, best bid and ask, and books of Binance's spot pairs."""

    name = "binance"
    venue = Venue.BINANCE
    limits = VenueLimits(messages_per_second=4, weight_per_minute=5000)
    heartbeat_seconds = 10
    book_levels = (100, 500, 1000, 5000)
    snapshot_levels = 5000
    """A side. Fewer cost less of the exchange's request weight."""

    def listing_paths(self) -> list[str]:
        """One list of all symbols."""
        return [_INFO]

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterator[Listed]:
        """Every spot symbol. The list names no fees: they are an account's."""
        for symbol in _info.decode(bodies[_INFO]).symbols:
            filters = {entry.get("filterType"): entry for entry in symbol.filters}
            price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
            yield Listed(
                symbol=symbol.symbol,
                base=symbol.base,
                quote=symbol.quote,
                price_increment=increment(price.get("tickSize", "0")),
                quantity_increment=increment(lot.get("stepSize", "0")),
                minimum_quantity=increment(lot.get("minQty", "0")),
                status=_STATUS.get(symbol.status, InstrumentStatus.HALTED),
            )

    def subscriptions(self) -> list[Request]:
        """Every stream of every symbol, and a snapshot each."""
        streams = [f"{symbol.lower()}@{name}" for symbol in self.books for name in _STREAMS]
        subscribe = {"method": "SUBSCRIBE", "params": streams, "id": 1}
        return [
            Send(msgspec.json.encode(subscribe).decode()),
            *self.resynchronisation(list(self.books)),
        ]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """The updates go on: a snapshot is all that is missing."""
        limit = self.snapshot_levels
        weight = next((cost for most, cost in _WEIGHTS if limit <= most), _WEIGHTS[-1][1])
        return [
            Fetch(f"/api/v3/depth?symbol={symbol}&limit={limit}", symbol, "snapshot", weight)
            for symbol in symbols
        ]

    def forget_connection(self) -> None:
        """Update ids go on, but those between two connections are missing."""
        self._follows = {symbol: _Follow() for symbol in self.books}

    def ask_for_levels(self, levels: int) -> None:
        """Of the snapshot: updates come for all of them."""
        super().ask_for_levels(levels)
        self.book_depth, self.snapshot_levels = 0, levels

    def keepalive(self) -> str:
        """An answer proves that the stream's server is there, however quiet the market."""
        return '{"method":"LIST_SUBSCRIPTIONS","id":2}'

    def dispatch(self, frame: bytes) -> None:
        """Map by stream."""
        envelope = _envelope.decode(frame)
        stream = envelope.stream.partition("@")[2]
        if stream.startswith("depth"):
            update = _depth.decode(envelope.data)
            self.attempt(update.symbol, self._update, update)
        elif stream == "bookTicker":
            ticker = _ticker.decode(envelope.data)
            self.attempt(ticker.symbol, self._best, ticker)
        elif stream in ("trade", "aggTrade"):
            self._trade(_trade.decode(envelope.data))
        elif envelope.error is not msgspec.UNSET or envelope.code or envelope.msg:
            error = b"" if envelope.error is msgspec.UNSET else bytes(envelope.error)
            detail = error.decode(errors="replace") or envelope.msg
            is_limit = "too many" in detail.lower()
            self.refused(f"Binance says: {detail}", pause_seconds=_PAUSE if is_limit else 0)
        elif stream or envelope.id is None:
            self.unknown(stream or self._event_name(frame))

    def fetched(self, fetch: Fetch, body: bytes) -> None:
        """Join the snapshot and what was held back, if they fit."""
        symbol = fetch.symbol
        book, follow = self.books.get(symbol), self._follows.get(symbol)
        if book is None or follow is None or book.is_verified:
            return
        snapshot = _snapshot.decode(body)
        held_back = [update for update in follow.held_back if update.last > snapshot.last_update]
        if held_back and held_back[0].first > snapshot.last_update + 1:
            raise BookDoubtError(
                InvalidationReason.SEQUENCE_GAP,
                f"{symbol}: the snapshot ends at {snapshot.last_update}, and the updates begin at"
                f" {held_back[0].first}",
                (symbol,),
            )
        bids, asks = levels(snapshot.bids), levels(snapshot.asks)
        follow.horizon = self._outermost(bids), self._outermost(asks)
        follow.held_back.clear()
        follow.last, follow.is_joined = snapshot.last_update, False
        self.publish_snapshot(book, bids, asks, exchange_sequence=snapshot.last_update)
        for update in held_back:
            self._update(update)

    def in_doubt(self, reason: InvalidationReason, detail: str, symbols: Any = None) -> None:
        """What was held back for a snapshot may have a hole now too, unless a snapshot is all
        that did not fit."""
        if reason is InvalidationReason.MALFORMED and symbols is None:
            for follow in self._follows.values():
                follow.held_back.clear()
        super().in_doubt(reason, detail, symbols)

    _follows: dict[str, _Follow] = {}  # noqa: RUF012 - replaced on every connection

    def _update(self, update: _Depth) -> None:
        symbol = update.symbol
        book, follow = self.books.get(symbol), self._follows.get(symbol)
        if book is None or follow is None:
            return
        if not book.is_verified:
            follow.hold_back(update)
            return
        expected = follow.last + 1
        if not follow.is_joined:
            if update.last < expected:
                return  # all of it is in the snapshot
            fits = update.first <= expected
        else:
            fits = update.first == expected
        if not fits:
            follow.held_back.clear()
            follow.hold_back(update)
            raise BookDoubtError(
                InvalidationReason.SEQUENCE_GAP,
                f"{symbol}: found an update from {update.first}, expected {expected}",
                (symbol,),
            )
        follow.is_joined, follow.last = True, update.last
        bids, asks = levels(update.b), levels(update.a)
        bid_horizon, ask_horizon = follow.horizon
        if bid_horizon is not None:
            bids = tuple(entry for entry in bids if entry.price.scaled(_EXPONENT) >= bid_horizon)
        if ask_horizon is not None:
            asks = tuple(entry for entry in asks if entry.price.scaled(_EXPONENT) <= ask_horizon)
        book.delta(bids, asks, exchange_sequence=update.last,
            exchange_timestamp_ns=milliseconds(update.event_ms),
        )  # fmt: skip
        if bid_horizon is not None or ask_horizon is not None:
            self._require_depth(book, follow)
        if follow.ticker is not None and follow.ticker.update == update.last:
            self._compare(book, follow.ticker)

    def _best(self, ticker: _Ticker) -> None:
        book, follow = self.books.get(ticker.symbol), self._follows.get(ticker.symbol)
        if book is None or follow is None:
            return
        follow.ticker = ticker
        bid, ask = (ticker.bid, ticker.bid_quantity), (ticker.ask, ticker.ask_quantity)
        self.publish_quote(ticker.symbol, bid, ask)
        if book.is_verified and follow.last == ticker.update:
            self._compare(book, ticker)

    def _compare(self, book: PublishedBook, ticker: _Ticker) -> None:
        """Both stand at the same update: they must agree."""
        expected = levels(
            ((ticker.bid, ticker.bid_quantity), (ticker.ask, ticker.ask_quantity))
        )  # fmt: skip
        if not book.is_verified or (book.book.best_bid, book.book.best_ask) == expected:
            return
        raise BookDoubtError(
            InvalidationReason.INCONSISTENT,
            f"{ticker.symbol}: at update {ticker.update} the ticker has {ticker.bid} and"
            f" {ticker.ask}, and the book something else",
            (ticker.symbol,),
        )

    def _require_depth(self, book: PublishedBook, follow: _Follow) -> None:
        least = self.snapshot_levels // 10
        bids, asks = book.book.depth()
        bid_horizon, ask_horizon = follow.horizon
        if (bid_horizon is not None and bids < least) or (ask_horizon is not None and asks < least):
            raise BookDoubtError(
                InvalidationReason.OVERFLOW,
                f"{book.symbol}: the best prices have come near the end of the snapshot",
                (book.symbol,),
            )

    def _outermost(self, levels: Levels) -> int | None:
        if len(levels) < self.snapshot_levels:
            return None  # the whole side was shown
        return levels[-1].price.scaled(_EXPONENT)

    def _trade(self, trade: _Trade) -> None:
        self.publish_trade(
            trade.symbol,
            trade.price,
            trade.quantity,
            milliseconds(trade.time_ms),
            Side.SELL if trade.is_buyer_maker else Side.BUY,
            str(trade.trade_id or trade.aggregate_id),
        )

    @staticmethod
    def _event_name(frame: bytes) -> str:
        return frame[:40].decode(errors="replace")
