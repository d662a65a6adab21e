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

    Silence is measured by a time of its own: it advances with the times that the market is told,
    and stands still when they go back. So a clock that is set back makes no silence shorter.

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
        self._first_ns: int | None = None
        """The first time of all."""
        self._told: tuple[int, int] | None = None
        """What was told last, and how far the market's own time had advanced then."""
        self._passed_ns = 0
        """How far the times that were told have advanced, without their steps back."""
        self._changed_ns: dict[InstrumentId, int] = {}
        """When a book or pool last changed; as the next, on the scale of ``_passed_ns``."""
        self._heard_ns: dict[int, int] = {}
        """When each source was last heard."""
        self._max_silence_ns = max_silence_ns
        self._maintainer: dict[InstrumentId, int] = {}
        self._last: dict[int, Header] = {}

    def apply(self, message: Message, now_ns: int | None = None) -> KeysView[InstrumentId]:
        """Take one message; returns the instruments whose book or pool changed or went stale.

        It came at ``now_ns``. What was sent earlier was said earlier; a source whose clock is ahead
        says it now. Without ``now_ns`` each says it now, and it is as late as the latest of them
        says: that the clocks of two differ is no time that passes.
        """
        header = message.header
        if now_ns is None:
            self._reach(header.timestamp_ns)
            said_ns = self._passed_ns
        else:
            self.tell_time(now_ns)
            said_ns = self._passed_ns - max(0, now_ns - header.timestamp_ns)
        changed: dict[InstrumentId, None] = {}
        rolled_back: dict[InstrumentId, None] = {}
        self.rolled_back, self.completed = rolled_back.keys(), set()
        for tlv in message.tlvs:
            if isinstance(tlv, SequenceGap):
                changed |= self._lose(tlv.source, InvalidationReason.SEQUENCE_GAP)
            elif isinstance(tlv, _OF_POOLS) or (
                isinstance(tlv, StateInvalidation) and tlv.instrument in self.pools.entries
            ):
                update = self._pools(tlv, header, said_ns)
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
                self._changed_ns[tlv.instrument] = said_ns
                changed[tlv.instrument] = None
        last = self._last.get(header.source)
        if header.source and last is not None and header.sequence <= last.sequence:
            # The source restarted: what its predecessor maintained, nobody does any more.
            changed |= self._lose(header.source, InvalidationReason.DISCONNECTED, keep=changed)
        if header.source:
            self._last[header.source] = header
            self._heard_ns[header.source] = said_ns
        return changed.keys()

    def _pools(self, tlv: TLV, header: Header, said_ns: int) -> PoolUpdate:
        update = self.pools.apply(tlv)
        if isinstance(tlv, PoolState):
            self._maintainer[tlv.pool] = header.source
        elif isinstance(tlv, GasPrice):
            self.completed.add(tlv.chain_id)
        for instrument in update.changed:
            self._changed_ns[instrument] = said_ns
        return update

    def tell_time(self, now_ns: int) -> None:
        """It is ``now_ns``."""
        if self._told is None:
            self._reach(now_ns)
        else:
            before_ns, passed_ns = self._told
            self._passed_ns = max(self._passed_ns, passed_ns + max(0, now_ns - before_ns))
        self._told = now_ns, self._passed_ns

    def _reach(self, time_ns: int) -> None:
        """At least so much has passed since the first time of all."""
        if self._first_ns is None:
            self._first_ns = time_ns
        self._passed_ns = max(self._passed_ns, time_ns - self._first_ns)

    def quiet_ns(self, instrument: InstrumentId, now_ns: int) -> int:
        """For how long a book or pool has not changed."""
        self.tell_time(now_ns)
        return self._passed_ns - self._changed_ns[instrument]

    def expire(self, now_ns: int) -> KeysView[InstrumentId]:
        """Mark the books of silent sources stale; returns those that were verified until now."""
        self.tell_time(now_ns)
        changed: dict[InstrumentId, None] = {}
        for source, heard_ns in self._heard_ns.items():
            if self._passed_ns - heard_ns > self._max_silence_ns:
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
