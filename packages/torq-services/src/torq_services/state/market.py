"""Everything known of the markets, from the market-data relay's messages alone."""

from __future__ import annotations

from torq_codec import Message
from torq_services.state.order_book import OrderBook
from torq_types import (
    Header,
    InstrumentId,
    InstrumentMeta,
    InvalidationReason,
    L2Delta,
    L2Reset,
    L2Snapshot,
    SequenceGap,
    StateInvalidation,
)

__all__ = ["MarketState"]


class MarketState:
    """Books and metadata of every instrument seen.

    A book is also stale when the source that maintains it has lost messages, has restarted, or
    has not been heard of for ``max_silence_ns`` (adapters report their health every second).
    """

    def __init__(self, max_silence_ns: int = 3_000_000_000) -> None:
        self.books: dict[InstrumentId, OrderBook] = {}
        self.metas: dict[InstrumentId, InstrumentMeta] = {}
        self.changed_ns: dict[InstrumentId, int] = {}
        """When a book last changed, by its source's clock."""
        self._max_silence_ns = max_silence_ns
        self._maintainer: dict[InstrumentId, int] = {}
        self._last: dict[int, Header] = {}

    def apply(self, message: Message) -> set[InstrumentId]:
        """Take one message; returns the instruments whose book changed or went stale."""
        header = message.header
        changed: set[InstrumentId] = set()
        for tlv in message.tlvs:
            if isinstance(tlv, SequenceGap):
                changed |= self._lose(tlv.source, InvalidationReason.SEQUENCE_GAP)
            elif isinstance(tlv, InstrumentMeta):
                self.metas[tlv.instrument] = tlv
            elif isinstance(tlv, L2Snapshot | L2Delta | L2Reset | StateInvalidation):
                book = self.books.get(tlv.instrument)
                if book is None:
                    book = self.books[tlv.instrument] = OrderBook(tlv.instrument)
                self._maintainer[tlv.instrument] = header.source
                book.apply(tlv)
                self.changed_ns[tlv.instrument] = header.timestamp_ns
                changed.add(tlv.instrument)
        last = self._last.get(header.source)
        if header.source and last is not None and header.sequence <= last.sequence:
            # The source restarted: what its predecessor maintained, nobody does any more.
            changed |= self._lose(header.source, InvalidationReason.DISCONNECTED, keep=changed)
        if header.source:
            self._last[header.source] = header
        return changed

    def expire(self, now_ns: int) -> set[InstrumentId]:
        """Mark the books of silent sources stale; returns those that were verified until now."""
        changed: set[InstrumentId] = set()
        for source, header in self._last.items():
            if now_ns - header.timestamp_ns > self._max_silence_ns:
                changed |= self._lose(source, InvalidationReason.SILENT)
        return changed

    def verified(self, instrument: InstrumentId) -> OrderBook | None:
        """The instrument's book, if it is verified in step."""
        book = self.books.get(instrument)
        return book if book is not None and book.status == "verified" else None

    def _lose(
        self, source: int, reason: InvalidationReason, keep: set[InstrumentId] | None = None
    ) -> set[InstrumentId]:
        """Mark a source's books stale; source 0 (the relay) stands for every source."""
        lost = {
            instrument
            for instrument, book in self.books.items()
            if source in (0, self._maintainer[instrument])
            and book.status == "verified"
            and instrument not in (keep or ())
        }
        for instrument in lost:
            self.books[instrument].invalidate(reason)
        return lost
