"""A feed's account in numbers, on a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from markets import levels
from scripted_exchange import Plain

from torq_relays import CollectingSink
from torq_services.adapters import BookHealth, FeedHealth
from torq_services.adapters.exchange.counters import AdapterCounters
from torq_services.adapters.exchange.health import FeedMeter
from torq_types import InvalidationReason

MS = 1_000_000
SECOND = 1000 * MS
HOUR = 3600 * SECOND
START = 1_700_000_000 * SECOND


class Metered:
    """An adapter and its meter, on one clock."""

    def __init__(self) -> None:
        self.now_ns = START
        clock: Callable[[], int] = lambda: self.now_ns  # noqa: E731
        self.adapter = Plain(["A", "B"], CollectingSink(), clock=clock)
        self.meter = FeedMeter(self.adapter, clock)

    def measure(self) -> FeedHealth:
        return self.meter.measure("in step", 3, 2, 17)


def test_before_anything_came() -> None:
    health = Metered().measure()
    assert (health.venue, health.state, health.connects, health.pauses) == (
        "kraken", "in step", 3, 2,
    )  # fmt: skip
    assert (health.rate, health.age_ms, health.resyncs, health.unlisted) == (0, 17, 0, [])
    book = health.books["A"]
    assert (book.status, book.sequence, book.snapshots, book.invalidations) == ("stale", 0, 0, 0)
    assert (book.rate, book.age_ms, book.latency_ms, book.resyncs) == (0, None, 0, 0)
    assert list(health.books) == ["A", "B"]


def test_rates_are_between_one_look_and_the_next() -> None:
    metered = Metered()
    book = metered.adapter.books["A"]
    book.snapshot(levels(("1", "1")), ())
    for number in range(30):
        metered.adapter.receive(b"beat")
        if number % 3 == 0:
            book.delta(levels(("1", f"{number + 2}")), ())
    metered.now_ns += 4 * SECOND
    first = metered.measure()
    assert (first.rate, first.books["A"].rate, first.books["B"].rate) == (7, 2, 0)
    for _ in range(5):
        metered.adapter.receive(b"beat")
    book.delta(levels(("1", "99")), ())
    metered.now_ns += SECOND // 2
    second = metered.measure()
    assert (second.rate, second.books["A"].rate) == (10, 2)
    metered.now_ns += SECOND
    third = metered.measure()
    assert (third.rate, third.books["A"].rate) == (0, 0)


def test_age_and_delay_are_whole_milliseconds() -> None:
    metered = Metered()
    book = metered.adapter.books["A"]
    book.snapshot((), (), 0, START - 1_999_999)
    metered.now_ns += 5 * MS - 1
    found = metered.measure().books["A"]
    assert (found.age_ms, found.latency_ms) == (4, 1)
    book.delta((), (), 0, metered.now_ns + 3 * MS)
    assert metered.measure().books["A"].latency_ms == -3, "its clock may be ahead of ours"


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(HOUR - 1, 3_599_999), (HOUR, None), (-HOUR, None), (1 - HOUR, -3_600_000), (START, None)],
)
def test_a_time_of_another_hour_is_no_delay(delay: int, expected: int | None) -> None:
    metered = Metered()
    metered.adapter.books["A"].snapshot((), (), 0, START - delay)
    assert metered.measure().books["A"].latency_ms == expected


def test_each_book_has_its_own_counts() -> None:
    metered = Metered()
    adapter = metered.adapter
    book = adapter.books["A"]
    for reason in (
        InvalidationReason.SEQUENCE_GAP, InvalidationReason.CHECKSUM,
        InvalidationReason.SEQUENCE_GAP, InvalidationReason.CROSSED,
    ):  # fmt: skip
        book.snapshot((), ())
        adapter.in_doubt(reason, "odd", ["A"])
    adapter.publish_snapshot(book, (), ())
    book.checked, book.audits = 8, 9
    health = metered.measure()
    found = health.books["A"]
    assert (found.status, found.sequence, found.snapshots) == ("verified", 5, 5)
    assert (found.gaps, found.checksum_failures, found.invalidations) == (2, 1, 4)
    assert (found.checked, found.audits, found.resyncs) == (8, 9, 4)
    assert found.last_doubt == "crossed: odd"
    assert health.books["B"].invalidations == 0
    assert health.counters == AdapterCounters(doubts=4, sequence_gaps=2, checksum_failures=1)
    assert health.last_doubt == "crossed: odd"
    adapter.ask_for_snapshots()
    adapter.in_doubt(InvalidationReason.CROSSED, "odd", ["B"])
    adapter.ask_for_snapshots()
    adapter.use_listing([])
    after = metered.measure()
    assert (after.resyncs, after.unlisted) == (1, ["A", "B"])


def test_what_an_account_leaves_out_is_nothing() -> None:
    book = BookHealth("stale", 0, 0, 0)
    assert msgspec.structs.astuple(book) == (
        "stale", 0, 0, 0, 0, None, None, 0, 0, 0, 0, 0, "",
    )  # fmt: skip
    feed = FeedHealth("kraken", "waiting", 0, "", AdapterCounters(), {})
    assert msgspec.structs.astuple(feed)[6:] == (0, None, 0, 0, [])
    assert set(msgspec.structs.astuple(AdapterCounters())) == {0}


def test_connections_after_the_first_and_errors_of_all_kinds() -> None:
    health = Metered().measure()
    assert health.reconnects == 2
    health.connects = 0
    assert health.reconnects == 0
    health.counters.malformed, health.counters.precision_errors = 1, 10
    health.counters.refusals, health.counters.doubts = 100, 1000
    assert health.errors == 111
