"""A feed's account of itself: per feed and per instrument, in its SystemHealth."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.counters import AdapterCounters
from torq_types import InvalidationReason

__all__ = ["BookHealth", "FeedHealth", "FeedMeter", "FeedState"]

FeedState = Literal["connecting", "synchronising", "in step", "waiting"]
_MILLION = 1_000_000
_HOUR_NS = 3_600_000 * _MILLION


class BookHealth(msgspec.Struct):
    """One book, as its adapter sees it."""

    status: str
    sequence: int
    snapshots: int
    invalidations: int
    rate: int = 0
    """Book updates a second."""
    age_ms: int | None = None
    """Since the last update; None before any."""
    latency_ms: int | None = None
    """From the exchange's timestamp in the last update to our taking it, which contains the
    difference of the two clocks; None when it gives none, or one from another hour (a recording).
    """
    gaps: int = 0
    """How often it was stale for a hole in the exchange's numbers."""
    checksum_failures: int = 0
    checked: int = 0
    """Updates of which the exchange's checksum was compared."""
    audits: int = 0
    resyncs: int = 0
    """Snapshots after the first."""
    last_doubt: str = ""


class FeedHealth(msgspec.Struct):
    """A feed as a whole."""

    venue: str
    state: FeedState
    connects: int
    last_doubt: str
    counters: AdapterCounters
    books: dict[str, BookHealth]
    rate: int = 0
    """Messages a second."""
    age_ms: int | None = None
    """Since the last message; None while there is no connection."""
    pauses: int = 0
    """How often the circuit breaker opened."""
    resyncs: int = 0
    """Snapshots asked for."""
    unlisted: list[str] = []
    """Symbols asked for that the exchange does not list."""

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self.connects - 1)

    @property
    def errors(self) -> int:
        """Messages that could not be used, and requests that the exchange refused."""
        return self.counters.malformed + self.counters.precision_errors + self.counters.refusals


class FeedMeter:
    """Turns counts into rates, between one look and the next."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._adapter = adapter
        self._clock = clock
        self._at_ns = clock()
        self._frames = 0
        self._updates: dict[str, int] = {}

    def measure(
        self, state: FeedState, connects: int, pauses: int, age_ms: int | None
    ) -> FeedHealth:
        """The account at this moment."""
        adapter, now_ns = self._adapter, self._clock()
        elapsed_ns = max(1, now_ns - self._at_ns)
        frames = adapter.counters.frames
        rate = (frames - self._frames) * 1000 * _MILLION // elapsed_ns
        books = {symbol: self._book(symbol, now_ns, elapsed_ns) for symbol in adapter.books}
        self._at_ns, self._frames = now_ns, frames
        return FeedHealth(
            adapter.venue.slug,
            state,
            connects,
            adapter.last_doubt,
            adapter.counters,
            books,
            rate,
            age_ms,
            pauses,
            adapter.resync.requests,
            sorted(adapter.unlisted),
        )

    def _book(self, symbol: str, now_ns: int, elapsed_ns: int) -> BookHealth:
        book = self._adapter.books[symbol]
        before = self._updates.get(symbol, 0)
        self._updates[symbol] = book.updates
        latency_ns = book.received_ns - book.exchange_timestamp_ns
        return BookHealth(
            book.book.status,
            book.book.sequence,
            book.snapshots,
            sum(book.doubts.values()),
            rate=(book.updates - before) * 1000 * _MILLION // elapsed_ns,
            age_ms=(now_ns - book.received_ns) // _MILLION if book.received_ns else None,
            latency_ms=latency_ns // _MILLION if abs(latency_ns) < _HOUR_NS else None,
            gaps=book.doubts[InvalidationReason.SEQUENCE_GAP],
            checksum_failures=book.doubts[InvalidationReason.CHECKSUM],
            checked=book.checked,
            audits=book.audits,
            resyncs=max(0, book.snapshots - 1),
            last_doubt=book.last_doubt,
        )
