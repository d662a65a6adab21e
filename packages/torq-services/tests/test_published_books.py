"""A book on its way out: what is published of it, and what is not."""

from __future__ import annotations

import pytest
from markets import levels
from samples import BTC_USD

from torq_relays import CollectingSink
from torq_services.adapters import BookDoubtError, PublishedBook
from torq_services.adapters.exchange.audit import Audit
from torq_services.state import kraken_checksum
from torq_types import InvalidationReason, L2Delta, L2Snapshot, StateInvalidation

BID, ASK = levels(("99", "1")), levels(("101", "1"))


class Published:
    """A book whose clock is set by hand."""

    def __init__(self, depth: int = 0, *, is_checked: bool = False) -> None:
        self.now_ns = 0
        self.sink = CollectingSink()
        self.book = PublishedBook(
            BTC_USD, self.sink, depth=depth, clock=lambda: self.now_ns,
            checksum=kraken_checksum if is_checked else None,
        )  # fmt: skip


def test_numbers_and_times_are_the_last_message_s() -> None:
    published = Published()
    book = published.book
    assert (book.received_ns, book.snapshots, book.updates, book.checked) == (0, 0, 0, 0)
    published.now_ns = 5
    book.snapshot(BID, ASK, 70, 80, 90)
    assert (book.received_ns, book.exchange_timestamp_ns, book.snapshots) == (5, 80, 1)
    published.now_ns = 6
    book.delta(levels(("98", "2")), (), 71, 81, 91)
    assert (book.received_ns, book.exchange_timestamp_ns, book.updates) == (6, 81, 1)
    book.repeat()
    assert published.sink.tlvs == [
        L2Snapshot(BTC_USD, 1, 70, 80, BID, ASK, 90),
        L2Delta(BTC_USD, 2, 71, 81, levels(("98", "2")), (), 91),
        L2Snapshot(BTC_USD, 3, 71, 81, levels(("99", "1"), ("98", "2")), ASK, 91),
    ]
    assert (book.snapshots, book.updates, book.checked) == (1, 1, 0)
    book.snapshot(BID, ASK)
    again = published.sink.tlvs[-1]
    assert again == L2Snapshot(BTC_USD, 4, 0, 0, BID, ASK)
    assert book.snapshots == 2


def test_a_stale_book_is_neither_changed_nor_repeated() -> None:
    published = Published()
    published.now_ns = 3
    published.book.delta(BID, ())
    published.book.repeat()
    assert published.sink.tlvs == []
    assert (published.book.received_ns, published.book.updates) == (3, 0)
    assert published.book.book.sequence == 0


def test_levels_that_fall_out_of_the_depth_are_told_as_removed() -> None:
    published = Published(depth=2)
    book = published.book
    book.snapshot(levels(("99", "1"), ("98", "1")), levels(("101", "1"), ("102", "5.5")))
    book.delta(levels(("99.5", "1")), ())
    book.delta((), levels(("101.5", "1")))
    book.delta(levels(("99.5", "2")), ())
    deltas = [tlv for tlv in published.sink.tlvs if isinstance(tlv, L2Delta)]
    changes = [
        ([(str(e.price), str(e.quantity)) for e in delta.bids],
         [(str(e.price), e.quantity.mantissa) for e in delta.asks])
        for delta in deltas
    ]  # fmt: skip
    assert changes == [
        ([("99.5", "1"), ("98", "0")], []),
        ([], [("101.5", 1), ("102", 0)]),
        ([("99.5", "2")], []),
    ]


def test_a_crossed_snapshot_is_not_published() -> None:
    published = Published()
    with pytest.raises(BookDoubtError, match=r"crossed: BTC-USD: best bid >= best ask") as doubt:
        published.book.snapshot(levels(("101", "1")), ASK)
    assert doubt.value.symbols == ("BTC-USD",)
    assert published.sink.tlvs == []
    assert (published.book.is_trusted, published.book.is_verified) == (False, False)
    assert published.book.snapshots == 0


def test_a_doubt_is_told_once_to_those_who_were_told_of_the_book() -> None:
    published = Published()
    book = published.book
    book.invalidate(InvalidationReason.SILENT, "before anything")
    assert (published.sink.tlvs, book.last_doubt) == ([], "")
    book.snapshot(BID, ASK)
    assert book.is_trusted
    book.delta(levels(("98", "1")), ())
    for _ in range(2):
        book.invalidate(InvalidationReason.SILENT, "no word")
    assert published.sink.tlvs[2:] == [
        StateInvalidation(BTC_USD, 2, BTC_USD.venue, InvalidationReason.SILENT, "no word")
    ]
    assert not book.is_trusted
    assert book.doubts == {InvalidationReason.SILENT: 1}
    assert book.last_doubt == "silent: no word"


def test_a_book_with_another_checksum_than_the_exchange_s_is_not_published() -> None:
    """The checksums are those of zlib over "1011" + "991", and of this with "981" behind it."""
    published = Published(is_checked=True)
    book = published.book
    book.snapshot(BID, ASK, checksum=926165848)
    assert (book.checked, book.is_verified) == (1, True)
    with pytest.raises(BookDoubtError, match="our book's checksum is 2815544623, the") as doubt:
        book.delta(levels(("98", "1")), (), checksum=5)
    assert (doubt.value.reason, doubt.value.symbols) == (
        InvalidationReason.CHECKSUM, ("BTC-USD",),
    )  # fmt: skip
    assert (book.checked, book.is_verified, book.updates) == (2, False, 0)
    assert len(published.sink.tlvs) == 1


def test_without_a_checksum_there_is_nothing_to_compare() -> None:
    published = Published(is_checked=True)
    published.book.snapshot(BID, ASK)
    published.book.delta(BID, ())
    assert (published.book.checked, published.book.is_verified) == (0, True)


def test_an_audit_ends_with_the_book_that_it_was_of() -> None:
    published = Published()
    book = published.book
    book.snapshot(BID, ASK)
    book.audit = Audit(book.book)
    book.snapshot(BID, ASK)
    assert audit_of(book) is None
    book.audit = Audit(book.book)
    book.invalidate(InvalidationReason.SILENT, "")
    assert audit_of(book) is None


def audit_of(book: PublishedBook) -> Audit | None:
    """mypy would otherwise remember the last one that it saw assigned."""
    return book.audit


def test_an_audit_knows_what_came_between() -> None:
    published = Published(depth=1)
    book = published.book
    book.snapshot(BID, ASK)
    book.audit = Audit(book.book)
    book.delta(levels(("99.5", "4")), ())  # 99 falls out of the depth
    book.audit.answered(levels(("99.5", "4")), ASK)
    assert book.audit.difference() is None


def test_a_doubt_of_a_whole_connection_names_no_symbol() -> None:
    doubt = BookDoubtError(InvalidationReason.SEQUENCE_GAP, "a hole")
    assert (str(doubt), doubt.symbols) == ("sequence_gap: a hole", None)
