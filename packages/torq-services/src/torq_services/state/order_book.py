"""One instrument's book: verified in step with its venue, or stale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from torq_codec import BookSide
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

_OF_BOOKS = (L2Delta, L2Snapshot, L2Reset, StateInvalidation)


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
        self._bids, self._asks = BookSide(1), BookSide(-1)

    @property
    def price_exponent(self) -> int:
        """Every price that was ever in the book is a whole number of ``10**price_exponent``."""
        return self._bids.exponent

    @property
    def quantity_exponent(self) -> int:
        """Every quantity in the book is a whole number of ``10**quantity_exponent``."""
        return min(self._bids.quantity_exponent, self._asks.quantity_exponent)

    def apply(self, tlv: TLV) -> bool:
        """Take one TLV; returns whether it concerned this book.

        A delta that does not follow the last sequence, or leaves the book crossed, makes it
        stale; only a snapshot makes it verified again.
        """
        if isinstance(tlv, SequenceGap):
            self.invalidate(InvalidationReason.SEQUENCE_GAP)
            return True
        if not isinstance(tlv, _OF_BOOKS) or tlv.instrument != self.instrument:
            return False
        if isinstance(tlv, L2Delta):
            self.apply_delta(tlv)
        elif isinstance(tlv, L2Snapshot):
            self._apply_snapshot(tlv)
        else:
            if isinstance(tlv, L2Reset):
                self._bids, self._asks = BookSide(1), BookSide(-1)
                self.sequence = tlv.book_sequence
            self.invalidate(tlv.reason)
        return True

    def apply_delta(self, delta: L2Delta) -> None:
        """Take a delta of this very instrument, as :meth:`apply` does."""
        if self.status == "stale":
            return
        if delta.book_sequence != self.sequence + 1:
            self.invalidate(InvalidationReason.SEQUENCE_GAP)
            return
        self.sequence = delta.book_sequence
        bids, asks = self._bids, self._asks
        if delta.bids:
            bids.put_all(delta.bids)
        if delta.asks:
            asks.put_all(delta.asks)
        if bids.exponent != asks.exponent:
            self._align()
        if bids.crosses(asks):
            self.invalidate(InvalidationReason.CROSSED)

    def invalidate(self, reason: InvalidationReason) -> None:
        """Mark the book stale, whatever it was."""
        self.status = "stale"
        self.reason = reason

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None in an empty book. Raises :class:`StaleBookError`."""
        self._require_verified()
        return self._bids.best

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None in an empty book. Raises :class:`StaleBookError`."""
        self._require_verified()
        return self._asks.best

    def bids(self) -> Iterator[tuple[int, Level]]:
        """Best first, each with its price in units of ``10**price_exponent``."""
        self._require_verified()
        return self._bids.items()

    def asks(self) -> Iterator[tuple[int, Level]]:
        """Best first, each with its price in units of ``10**price_exponent``."""
        self._require_verified()
        return self._asks.items()

    def last_known(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks, best first, whether or not they can be trusted."""
        deepest = max(self.depth())
        return tuple(self._bids.top(deepest)), tuple(self._asks.top(deepest))

    def top_digits(self, count: int) -> bytes:
        """The digits of the ``count`` best asks, then bids: what checksums are made of."""
        return self._asks.top_digits(count) + self._bids.top_digits(count)

    def depth(self) -> tuple[int, int]:
        """How many bids and asks there are."""
        return len(self._bids), len(self._asks)

    def evict(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Drop what lies deeper than ``depth`` levels; returns the bids and asks dropped."""
        return self._bids.evict(depth), self._asks.evict(depth)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is not below the best ask: no exchange's book ever is."""
        return self._bids.crosses(self._asks)

    def misfit(self, bids: Iterable[Level], asks: Iterable[Level]) -> str | None:
        """What in a delta does not fit this book: a removal of nothing, a change to the same.

        Feeds that number nothing give no better sign of a lost or repeated update.
        """
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for level in levels:
                known = side.get(level)
                if known is None and not level.quantity.mantissa:
                    return f"{level.price} is removed and was not there"
                if known is not None and known.quantity == level.quantity:
                    return f"{level.price} is set to the {level.quantity} that it had"
        return None

    def _apply_snapshot(self, snapshot: L2Snapshot) -> None:
        self._bids = BookSide(1, snapshot.bids)
        self._asks = BookSide(-1, snapshot.asks)
        self._align()
        self.sequence = snapshot.book_sequence
        if self.is_crossed:
            self.invalidate(InvalidationReason.CROSSED)
        else:
            self.status = "verified"

    def _align(self) -> None:
        """Both sides count prices alike: in the finer unit of the two."""
        finest = min(self._bids.exponent, self._asks.exponent)
        self._bids.rescale(finest)
        self._asks.rescale(finest)

    def _require_verified(self) -> None:
        if self.status != "verified":
            raise StaleBookError(
                f"the book of {self.instrument.symbol} on {self.instrument.venue.slug} is stale"
                f" ({self.reason.name.lower()}); last_known() gives its last prices all the same"
            )
