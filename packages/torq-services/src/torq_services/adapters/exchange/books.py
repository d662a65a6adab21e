"""An adapter's own books: checked before anything is published, repeated for late readers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from torq_relays import MessageSink
from torq_services.adapters.exchange.audit import Audit
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

Levels = tuple[Level, ...]


class BookDoubtError(Exception):
    """Something does not fit: books cannot be trusted until a fresh snapshot.

    ``symbols`` are those meant; None stands for every book of the connection.
    """

    def __init__(
        self, reason: InvalidationReason, detail: str, symbols: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(f"{reason.name.lower()}: {detail}")
        self.reason = reason
        self.detail = detail
        self.symbols = symbols


class PublishedBook:
    """One instrument's book on its way out: the only place that publishes book TLVs.

    An update is applied here first. What leaves the book crossed, or with another checksum than
    the exchange sent, is not published: :class:`BookDoubtError` is raised, and the book is then
    declared stale by a :class:`torq_types.StateInvalidation`.
    """

    def __init__(
        self,
        instrument: InstrumentId,
        sink: MessageSink,
        *,
        depth: int = 0,
        checksum: Callable[[OrderBook], int] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``depth`` levels a side are kept, 0 for all; ``checksum`` is how the exchange does it."""
        self.book = OrderBook(instrument)
        self.symbol = instrument.symbol
        self.snapshots = 0
        self.updates = 0
        self.checked = 0
        """Updates of which the exchange's own checksum was compared."""
        self.doubts: Counter[InvalidationReason] = Counter()
        """How often the book was declared stale, by reason."""
        self.last_doubt = ""
        self.is_trusted = False
        """Whether readers were last told that the book is verified."""
        self.received_ns = 0
        """When the last update came, by our clock."""
        self.exchange_timestamp_ns = 0
        self.audit: Audit | None = None
        """The comparison with a second source that is under way."""
        self.audits = 0
        self._sink = sink
        self._depth = depth
        self._checksum = checksum
        self._clock = clock
        self._exchange_sequence = 0
        self._last_checksum = 0

    @property
    def is_verified(self) -> bool:
        """Whether the book is in step, as far as can be told."""
        return self.book.status == "verified"

    def snapshot(
        self,
        bids: Levels,
        asks: Levels,
        exchange_sequence: int = 0,
        exchange_timestamp_ns: int = 0,
        checksum: int = 0,
    ) -> None:
        """Publish a whole book from the exchange. Raises :class:`BookDoubtError` if unsound."""
        self.received_ns = self._clock()
        tlv = L2Snapshot(
            self.book.instrument, self.book.sequence + 1, exchange_sequence, exchange_timestamp_ns,
            bids, asks, checksum,
        )  # fmt: skip
        self.book.apply(tlv)
        self.audit = None
        self._require_sound(checksum)
        self.snapshots += 1
        self.is_trusted = True
        self._sent(exchange_sequence, exchange_timestamp_ns, checksum)
        self._sink.send(tlv)

    def delta(
        self,
        bids: Levels,
        asks: Levels,
        exchange_sequence: int = 0,
        exchange_timestamp_ns: int = 0,
        checksum: int = 0,
    ) -> None:
        """Publish changed levels. Raises :class:`BookDoubtError` if the book is unsound by them.

        While the book is stale, deltas are left out: they would build on nothing.
        """
        self.received_ns = self._clock()
        book = self.book
        if book.status != "verified":
            return
        tlv = L2Delta(
            book.instrument, book.sequence + 1, exchange_sequence, exchange_timestamp_ns,
            bids, asks, checksum,
        )  # fmt: skip
        book.apply_delta(tlv)
        if self._depth:
            deep_bids, deep_asks = book.evict(self._depth)
            if deep_bids or deep_asks:
                # The exchange leaves it to its reader to drop these: ours need not know the depth.
                tlv = msgspec.structs.replace(
                    tlv,
                    bids=(*bids, *(level.removal for level in deep_bids)),
                    asks=(*asks, *(level.removal for level in deep_asks)),
                )
        if self.audit is not None:
            self.audit.changed(tlv)
        self._require_sound(checksum)
        self.updates += 1
        self._sent(exchange_sequence, exchange_timestamp_ns, checksum)
        self._sink.send(tlv)

    def repeat(self) -> None:
        """Publish the book as it stands once more, so that late readers get in step."""
        if not self.is_verified:
            return
        bids, asks = self.book.last_known()
        tlv = L2Snapshot(
            self.book.instrument, self.book.sequence + 1, self._exchange_sequence,
            self.exchange_timestamp_ns, bids, asks, self._last_checksum,
        )  # fmt: skip
        self.book.sequence += 1
        self._sink.send(tlv)

    def invalidate(self, reason: InvalidationReason, detail: str) -> None:
        """Tell every reader that this book is stale, once."""
        self.book.invalidate(reason)
        self.audit = None
        if not self.is_trusted:
            return
        self.is_trusted = False
        self.doubts[reason] += 1
        self.last_doubt = f"{reason.name.lower()}: {detail}"
        instrument = self.book.instrument
        self._sink.send(
            StateInvalidation(instrument, self.book.sequence, instrument.venue, reason, detail)
        )

    def _sent(self, exchange_sequence: int, exchange_timestamp_ns: int, checksum: int) -> None:
        self._exchange_sequence = exchange_sequence
        self.exchange_timestamp_ns = exchange_timestamp_ns
        self._last_checksum = checksum

    def _require_sound(self, checksum: int) -> None:
        if self.book.status != "verified":
            raise BookDoubtError(
                InvalidationReason.CROSSED,
                f"{self.symbol}: best bid >= best ask",
                (self.symbol,),
            )
        if checksum and self._checksum is not None:
            found = self._checksum(self.book)
            self.checked += 1
            if found != checksum:
                self.book.invalidate(InvalidationReason.CHECKSUM)
                raise BookDoubtError(
                    InvalidationReason.CHECKSUM,
                    f"{self.symbol}: our book's checksum is {found}, the exchange's {checksum}",
                    (self.symbol,),
                )
