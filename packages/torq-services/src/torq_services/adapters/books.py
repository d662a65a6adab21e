"""An adapter's own books: checked before anything is published, repeated for late readers."""

from __future__ import annotations

from torq_relays import MessageSink
from torq_services.state import OrderBook
from torq_types import (
    InstrumentId,
    InvalidationReason,
    L2Delta,
    L2Snapshot,
    Level,
    StateInvalidation,
)

__all__ = ["BookDoubtError", "PublishedBook"]


class BookDoubtError(Exception):
    """Something does not fit: the books it names cannot be trusted until a fresh snapshot."""

    def __init__(self, reason: InvalidationReason, detail: str) -> None:
        super().__init__(f"{reason.name.lower()}: {detail}")
        self.reason = reason
        self.detail = detail


class PublishedBook:
    """One instrument's book on its way out: the only place that publishes book TLVs.

    An update is applied here first. What leaves the book crossed is not published: the book is
    declared stale instead, by a :class:`torq_types.StateInvalidation`.
    """

    def __init__(self, instrument: InstrumentId, sink: MessageSink) -> None:
        self.book = OrderBook(instrument)
        self.snapshots = 0
        self.invalidations = 0
        self.is_trusted = False
        """Whether readers were last told that the book is verified."""
        self._sink = sink
        self._exchange_sequence = 0
        self._exchange_timestamp_ns = 0

    @property
    def is_verified(self) -> bool:
        """Whether the book is in step, as far as can be told."""
        return self.book.status == "verified"

    def snapshot(
        self,
        bids: tuple[Level, ...],
        asks: tuple[Level, ...],
        *,
        exchange_sequence: int = 0,
        exchange_timestamp_ns: int = 0,
    ) -> None:
        """Publish a whole book from the exchange. Raises :class:`BookDoubtError` if crossed."""
        tlv = L2Snapshot(
            self.book.instrument,
            self.book.sequence + 1,
            exchange_sequence,
            exchange_timestamp_ns,
            bids,
            asks,
        )
        self.book.apply(tlv)
        self._require_sound()
        self.snapshots += 1
        self.is_trusted = True
        self._exchange_sequence = exchange_sequence
        self._exchange_timestamp_ns = exchange_timestamp_ns
        self._sink.send(tlv)

    def delta(
        self,
        bids: tuple[Level, ...],
        asks: tuple[Level, ...],
        *,
        exchange_sequence: int = 0,
        exchange_timestamp_ns: int = 0,
    ) -> None:
        """Publish changed levels. Raises :class:`BookDoubtError` if the book is crossed by them.

        While the book is stale, deltas are left out: they would build on nothing.
        """
        if not self.is_verified:
            return
        tlv = L2Delta(
            self.book.instrument,
            self.book.sequence + 1,
            exchange_sequence,
            exchange_timestamp_ns,
            bids,
            asks,
        )
        self.book.apply(tlv)
        self._require_sound()
        self._exchange_sequence = exchange_sequence
        self._exchange_timestamp_ns = exchange_timestamp_ns
        self._sink.send(tlv)

    def repeat(self) -> None:
        """Publish the book as it stands once more, so that late readers get in step."""
        if not self.is_verified:
            return
        bids, asks = self.book.last_known()
        tlv = L2Snapshot(
            self.book.instrument,
            self.book.sequence + 1,
            self._exchange_sequence,
            self._exchange_timestamp_ns,
            bids,
            asks,
        )
        self.book.sequence += 1
        self._sink.send(tlv)

    def invalidate(self, reason: InvalidationReason, detail: str) -> None:
        """Tell every reader that this book is stale, once."""
        self.book.invalidate(reason)
        if not self.is_trusted:
            return
        self.is_trusted = False
        self.invalidations += 1
        instrument = self.book.instrument
        self._sink.send(
            StateInvalidation(instrument, self.book.sequence, instrument.venue, reason, detail)
        )

    def _require_sound(self) -> None:
        if not self.is_verified:
            raise BookDoubtError(
                InvalidationReason.CROSSED, f"{self.book.instrument.symbol}: best bid >= best ask"
            )
