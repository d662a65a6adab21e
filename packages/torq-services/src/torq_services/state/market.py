"""Everything known of the markets, from the market-data relay's messages alone."""

from __future__ import annotations

from collections.abc import Container, KeysView

from torq_codec import Message
from torq_services.state.order_book import OrderBook
from torq_services.state.pools import POOL_EVENTS, PoolMarket, PoolUpdate
from torq_types import (
    TLV,
    GasPrice,
    Header,
    InstrumentId,
    InstrumentMeta,
    InvalidationReason,
    L2Delta,
    L2Reset,
    L2Snapshot,
    PoolState,
    SequenceGap,
    StateInvalidation,
)

__all__ = ["MarketState"]


_OF_POOLS = (*POOL_EVENTS, PoolState, GasPrice)


class MarketState:
    """Books and metadata of every instrument seen.

    A book is also stale when the source that maintains it has lost messages, has restarted, or
    has not been heard of for ``max_silence_ns`` (adapters report their health every second).

    What changed is told in the order in which it did, never in a set's: that differs from run to
    run, and with it what a strategy would do.
    """

    def __init__(self, max_silence_ns: int = 3_000_000_000) -> None:
        self.books: dict[InstrumentId, OrderBook] = {}
        self.pools = PoolMarket()
        self.rolled_back: KeysView[InstrumentId] = {}.keys()
        """Pools of which the last message abandoned blocks."""
        self.completed: set[int] = set()
        """Chains of which the last message completed a block."""
        self.metas: dict[InstrumentId, InstrumentMeta] = {}
        self.changed_ns: dict[InstrumentId, int] = {}
        """When a book last changed, by its source's clock."""
        self._max_silence_ns = max_silence_ns
        self._maintainer: dict[InstrumentId, int] = {}
        self._last: dict[int, Header] = {}

    def apply(self, message: Message) -> KeysView[InstrumentId]:
        """Take one message; returns the instruments whose book or pool changed or went stale."""
        header = message.header
        changed: dict[InstrumentId, None] = {}
        rolled_back: dict[InstrumentId, None] = {}
        self.rolled_back, self.completed = rolled_back.keys(), set()
        for tlv in message.tlvs:
            if isinstance(tlv, SequenceGap):
                changed |= self._lose(tlv.source, InvalidationReason.SEQUENCE_GAP)
            elif isinstance(tlv, _OF_POOLS) or (
                isinstance(tlv, StateInvalidation) and tlv.instrument in self.pools.entries
            ):
                update = self._pools(tlv, header)
                changed |= update.changed
                rolled_back |= update.rolled_back
            elif isinstance(tlv, InstrumentMeta):
                self.metas[tlv.instrument] = tlv
            elif isinstance(tlv, L2Snapshot | L2Delta | L2Reset | StateInvalidation):
                book = self.books.get(tlv.instrument)
                if book is None:
                    book = self.books[tlv.instrument] = OrderBook(tlv.instrument)
                self._maintainer[tlv.instrument] = header.source
                book.apply(tlv)
                self.changed_ns[tlv.instrument] = header.timestamp_ns
                changed[tlv.instrument] = None
        last = self._last.get(header.source)
        if header.source and last is not None and header.sequence <= last.sequence:
            # The source restarted: what its predecessor maintained, nobody does any more.
            changed |= self._lose(header.source, InvalidationReason.DISCONNECTED, keep=changed)
        if header.source:
            self._last[header.source] = header
        return changed.keys()

    def _pools(self, tlv: TLV, header: Header) -> PoolUpdate:
        update = self.pools.apply(tlv)
        if isinstance(tlv, PoolState):
            self._maintainer[tlv.pool] = header.source
        elif isinstance(tlv, GasPrice):
            self.completed.add(tlv.chain_id)
        for instrument in update.changed:
            self.changed_ns[instrument] = header.timestamp_ns
        return update

    def expire(self, now_ns: int) -> KeysView[InstrumentId]:
        """Mark the books of silent sources stale; returns those that were verified until now."""
        changed: dict[InstrumentId, None] = {}
        for source, header in self._last.items():
            if now_ns - header.timestamp_ns > self._max_silence_ns:
                changed |= self._lose(source, InvalidationReason.SILENT)
        return changed.keys()

    def verified(self, instrument: InstrumentId) -> OrderBook | None:
        """The instrument's book, if it is verified in step."""
        book = self.books.get(instrument)
        return book if book is not None and book.status == "verified" else None

    def _lose(
        self, source: int, reason: InvalidationReason, keep: Container[InstrumentId] = ()
    ) -> dict[InstrumentId, None]:
        """Mark a source's books stale; source 0 (the relay) stands for every source."""
        lost = {
            instrument: None
            for instrument, book in self.books.items()
            if source in (0, self._maintainer[instrument])
            and book.status == "verified"
            and instrument not in keep
        }
        for instrument in lost:
            self.books[instrument].invalidate(reason)
        for instrument, entry in self.pools.entries.items():
            is_meant = source in (0, self._maintainer[instrument])
            if is_meant and entry.status == "verified" and instrument not in keep:
                entry.invalidate(reason)
                lost[instrument] = None
        return lost
