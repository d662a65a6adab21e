"""One instrument's book: verified in step with its venue, or stale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from sortedcontainers import SortedDict

from torq_types import (
    TLV,
    InstrumentId,
    InvalidationReason,
    L2Delta,
    L2Reset,
    L2Snapshot,
    Level,
    SequenceGap,
    StaleBookError,
    StateInvalidation,
)

__all__ = ["OrderBook"]

_FIRST_EXPONENT = -8


class OrderBook:
    """A book built from snapshots and deltas.

    Every reading of prices raises :class:`StaleBookError` while the book is stale; who wants the
    last known prices of a stale book asks for them by name (:meth:`last_known`). Prices are kept
    with the exchange's digits, and compared as integers of ``10**price_exponent``.
    """

    def __init__(self, instrument: InstrumentId) -> None:
        self.instrument = instrument
        self.status: Literal["verified", "stale"] = "stale"
        self.reason = InvalidationReason.OTHER
        """Why it is stale; of no meaning while it is verified."""
        self.sequence = 0
        """The book sequence of the last TLV applied."""
        self.price_exponent = _FIRST_EXPONENT
        self.quantity_exponent = _FIRST_EXPONENT
        """Every quantity in the book is a whole number of ``10**quantity_exponent``."""
        self._bids: SortedDict = SortedDict()
        self._asks: SortedDict = SortedDict()

    def apply(self, tlv: TLV) -> bool:
        """Take one TLV; returns whether it concerned this book.

        A delta that does not follow the last sequence, or leaves the book crossed, makes it
        stale; only a snapshot makes it verified again.
        """
        if isinstance(tlv, SequenceGap):
            self.invalidate(InvalidationReason.SEQUENCE_GAP)
            return True
        if not isinstance(tlv, L2Snapshot | L2Delta | L2Reset | StateInvalidation):
            return False
        if tlv.instrument != self.instrument:
            return False
        if isinstance(tlv, L2Delta):
            self._apply_delta(tlv)
        elif isinstance(tlv, L2Snapshot):
            self._apply_snapshot(tlv)
        else:
            if isinstance(tlv, L2Reset):
                self._bids.clear()
                self._asks.clear()
                self.sequence = tlv.book_sequence
            self.invalidate(tlv.reason)
        return True

    def invalidate(self, reason: InvalidationReason) -> None:
        """Mark the book stale, whatever it was."""
        self.status = "stale"
        self.reason = reason

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None in an empty book. Raises :class:`StaleBookError`."""
        self._require_verified()
        return self._bids.peekitem(-1)[1] if self._bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None in an empty book. Raises :class:`StaleBookError`."""
        self._require_verified()
        return self._asks.peekitem(0)[1] if self._asks else None

    def bids(self) -> Iterator[tuple[int, Level]]:
        """Best first, each with its price in units of ``10**price_exponent``."""
        self._require_verified()
        return ((key, self._bids[key]) for key in reversed(self._bids))

    def asks(self) -> Iterator[tuple[int, Level]]:
        """Best first, each with its price in units of ``10**price_exponent``."""
        self._require_verified()
        return iter(self._asks.items())

    def last_known(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks, best first, whether or not they can be trusted."""
        return tuple(reversed(self._bids.values())), tuple(self._asks.values())

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        """The ``count`` best bids and asks, best first, whether or not they can be trusted."""
        bids = self._bids.values()[-count:]
        bids.reverse()
        return bids, self._asks.values()[:count]

    def depth(self) -> tuple[int, int]:
        """How many bids and asks there are."""
        return len(self._bids), len(self._asks)

    def evict(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Drop what lies deeper than ``depth`` levels; returns the bids and asks dropped."""
        bids = [self._bids.popitem(0)[1] for _ in range(len(self._bids) - depth)]
        asks = [self._asks.popitem()[1] for _ in range(len(self._asks) - depth)]
        return bids, asks

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is not below the best ask: no exchange's book ever is."""
        return bool(
            self._bids and self._asks and self._bids.peekitem(-1)[0] >= self._asks.peekitem(0)[0]
        )

    def misfit(self, bids: Iterable[Level], asks: Iterable[Level]) -> str | None:
        """What in a delta does not fit this book: a removal of nothing, a change to the same.

        Feeds that number nothing give no better sign of a lost or repeated update.
        """
        for level in (*bids, *asks):
            self._widen(level)
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for level in levels:
                known = side.get(self._key(level))
                if known is None and not level.quantity.mantissa:
                    return f"{level.price} is removed and was not there"
                if known is not None and known.quantity == level.quantity:
                    return f"{level.price} is set to the {level.quantity} that it had"
        return None

    def _apply_snapshot(self, snapshot: L2Snapshot) -> None:
        for level in (*snapshot.bids, *snapshot.asks):
            self._widen(level)
        for name, levels in (("_bids", snapshot.bids), ("_asks", snapshot.asks)):
            # Some feeds list a level with a quantity of zero: there is nothing at that price.
            full = ((self._key(level), level) for level in levels if level.quantity.mantissa)
            setattr(self, name, SortedDict(full))
        self.sequence = snapshot.book_sequence
        if self.is_crossed:
            self.invalidate(InvalidationReason.CROSSED)
        else:
            self.status = "verified"

    def _apply_delta(self, delta: L2Delta) -> None:
        if self.status == "stale":
            return
        if delta.book_sequence != self.sequence + 1:
            self.invalidate(InvalidationReason.SEQUENCE_GAP)
            return
        for level in (*delta.bids, *delta.asks):
            self._widen(level)
        for side, levels in ((self._bids, delta.bids), (self._asks, delta.asks)):
            for level in levels:
                if level.quantity.mantissa:
                    side[self._key(level)] = level
                else:
                    side.pop(self._key(level), None)
        self.sequence = delta.book_sequence
        if self.is_crossed:
            self.invalidate(InvalidationReason.CROSSED)

    def _key(self, level: Level) -> int:
        price = level.price
        return int(price.mantissa * 10 ** (price.exponent - self.price_exponent))

    def _widen(self, level: Level) -> None:
        """Make room for finer digits than seen so far; exact, and rare."""
        self.quantity_exponent = min(self.quantity_exponent, level.quantity.exponent)
        finer = self.price_exponent - level.price.exponent
        if finer > 0:
            self.price_exponent -= finer
            for name in ("_bids", "_asks"):
                side = getattr(self, name)
                setattr(self, name, SortedDict((k * 10**finer, v) for k, v in side.items()))

    def _require_verified(self) -> None:
        if self.status != "verified":
            raise StaleBookError(
                f"the book of {self.instrument.symbol} on {self.instrument.venue.slug} is stale"
                f" ({self.reason.name.lower()}); last_known() gives its last prices all the same"
            )
