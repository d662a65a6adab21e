"""The small parts that every feed is made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import levels, snapshot
from samples import BTC_USD

from torq_codec import MessageBuilder
from torq_relays import CollectingSink
from torq_services.adapters import (
    BinanceAdapter,
    CircuitBreaker,
    Resynchroniser,
    ResyncPolicy,
    TokenBucket,
)
from torq_services.adapters.exchange.audit import Audit
from torq_services.adapters.exchange.instruments import increment, pips
from torq_services.adapters.exchange.requests import Fetch
from torq_services.adapters.exchange.sequence import SequenceNumber
from torq_services.adapters.exchange.times import (
    milliseconds,
    rfc3339_nanoseconds,
    unix_nanoseconds,
)
from torq_services.state import OrderBook
from torq_types import Domain, L2Delta


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), min_size=1, max_size=60))
def test_a_bucket_never_lets_more_through_than_is_allowed(spent: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(5, 1.0)
    now, done = 0.0, []
    for wait, cost in spent:
        now += wait
        now += bucket.spend(now, cost)
        done.append((now, cost))
    for start, _ in done:
        within = sum(cost for at, cost in done if start <= at < start + 1 - 1e-9)
        assert within <= 2 * 5, "a full bucket, and what comes in during the second"
    assert sum(cost for _, cost in done) <= 5 + 5 * done[-1][0] + 1e-6


def test_a_breaker_opens_after_failures_and_one_try_decides() -> None:
    breaker = CircuitBreaker(failures=3, open_seconds=10)
    for at in range(2):
        breaker.failed(at)
    assert breaker.state(2) == "closed"
    breaker.failed(2)
    assert (breaker.state(11.9), breaker.remaining(7)) == ("open", 5)
    assert breaker.state(12) == "half open"
    breaker.failed(12)
    assert breaker.state(21) == "open"
    breaker.succeeded()
    assert breaker.state(22) == "closed"
    breaker.pause(30, 60)
    assert breaker.state(89) == "open"
    assert breaker.state(90) == "closed", "the exchange asked for a pause, and no more than that"
    breaker.failed(90)
    assert breaker.state(90) == "closed"


def test_a_snapshot_that_does_not_come_is_asked_for_again_and_then_given_up() -> None:
    clock = [0.0]
    resync = Resynchroniser(
        ResyncPolicy(first=0.5, most=60, patience=10, unanswered=2), lambda: clock[0],
        random.Random(1),
    )  # fmt: skip
    resync.subscribed(["A", "B"])
    assert resync.due() == []
    resync.verified("B")
    asked = []
    for tenth in range(1000):
        clock[0] = tenth / 10
        asked += [(clock[0], symbol) for symbol in resync.due()]
        if resync.is_hopeless:
            break
    assert [symbol for _, symbol in asked] == ["A"] * 3
    assert [round(at) for at, _ in asked] == [10, 20, 30]
    resync.subscribed(["A", "B"])
    assert not resync.is_hopeless
    assert resync.next_due() == 10


def test_a_calm_book_starts_from_the_shortest_delay_again() -> None:
    clock = [0.0]
    resync = Resynchroniser(ResyncPolicy(first=1, calm=60), lambda: clock[0], random.Random(1))
    for _ in range(5):
        resync.doubted("A")
        while not resync.due():
            clock[0] += 0.1
        resync.verified("A")
    clock[0] += 61
    resync.doubted("A")
    assert resync.due() == ["A"]


def book() -> OrderBook:
    found = OrderBook(BTC_USD)
    found.apply(snapshot(BTC_USD, levels(("99", "1"), ("98", "2")), levels(("101", "1.0"))))
    return found


@pytest.mark.parametrize(
    ("bids", "asks", "limit", "expected"),
    [
        ([("99", "1"), ("98", "2")], [("101", "1")], 0, None),
        ([("99", "1.00"), ("98", "2")], [("101", "1")], 0, None),
        ([("99", "5"), ("98", "2")], [("101", "1")], 0, None),  # what came in between
        ([("99", "4"), ("98", "2")], [("101", "1")], 0, "bid 99 has 4"),
        ([("99", "1"), ("98", "2"), ("97", "1")], [("101", "1")], 0, "bid 97 has 1"),
        ([("99", "1")], [("101", "1")], 0, "bid 98 is not there"),
        ([("99", "1")], [("101", "1")], 1, None),  # it shows no more
        ([("98", "2")], [("101", "1")], 1, "bid 99 is not there"),
        ([("99", "1"), ("98", "2")], [], 0, "ask 101 is not there"),
        ([("99", "1"), ("98", "2")], [("102", "3")], 0, None),  # removed and set in between
    ],
)
def test_an_audit_finds_what_never_was(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]], limit: int, expected: str | None
) -> None:
    audit = Audit(book(), limit)
    with pytest.raises(ValueError, match="no answer"):
        audit.difference()
    audit.changed(L2Delta(BTC_USD, 2, 0, 0, levels(("99", "5")), ()))
    if ("102", "3") in asks:
        audit.changed(L2Delta(BTC_USD, 3, 0, 0, (), levels(("101", "0"), ("102", "3"))))
    audit.answered(levels(*bids), levels(*asks))
    found = audit.difference()
    assert found is None if expected is None else expected in (found or "")


@given(st.integers(0, 10**6))
def test_fees_in_per_cent_are_exact(value: int) -> None:
    assert pips(str(Decimal(value).scaleb(-4))) == value


def test_what_is_no_fee_or_increment_or_time_is_said() -> None:
    assert str(increment("1e-8")) == "0.00000001"
    for read, text in ((pips, "0.00001"), (pips, "x"), (pips, "NaN"), (increment, "x")):
        with pytest.raises(ValueError, match="found"):
            read(text)
    assert unix_nanoseconds("1618678142.557535") == 1_618_678_142_557_535_000
    with pytest.raises(ValueError, match="expected seconds"):
        unix_nanoseconds("1e9")


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (milliseconds, -1),
        (milliseconds, 10**30),
        (unix_nanoseconds, "99999999999.5"),
        (unix_nanoseconds, "-1"),
        (rfc3339_nanoseconds, "1969-12-31T23:59:59.9Z"),
        (rfc3339_nanoseconds, "9999-01-01T00:00:00Z"),
    ],
)
def test_a_time_that_does_not_fit_the_wire_is_refused(
    read: Callable[[object], int], found: object
) -> None:
    with pytest.raises(ValueError, match="found"):
        read(found)


def test_numbers_that_do_not_fit_the_wire_cost_one_book_and_no_feed() -> None:
    sink = CollectingSink()
    adapter = BinanceAdapter(["BTCUSDT"], sink)
    adapter.connected()
    fetch = Fetch("/api/v3/depth", "BTCUSDT", "snapshot")
    body = b'{"lastUpdateId":%d,"bids":[["99","1"]],"asks":[["101","1"]]}'
    adapter.answer(fetch, body % 10**19)
    assert not adapter.is_in_step
    adapter.answer(fetch, body % 10)
    assert adapter.is_in_step
    adapter.receive(
        b'{"stream":"btcusdt@depth","data":{"E":%d,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[]}}'
        % 10**18
    )
    assert not adapter.is_in_step
    assert adapter.counters.malformed == 2
    for tlvs in sink.messages:
        builder = MessageBuilder(Domain.MARKET_DATA, 2)
        for tlv in tlvs:
            builder.add(tlv)
        builder.build(sequence=1, timestamp_ns=1)


def test_a_bucket_lets_through_what_was_saved_up_and_then_at_its_rate() -> None:
    """Five in two seconds: five at once, and then one every 0.4 s."""
    bucket = TokenBucket(5, 2.0)
    assert [bucket.spend(100) for _ in range(5)] == [0] * 5
    assert bucket.spend(100) == pytest.approx(0.4)
    assert bucket.spend(100, 2) == pytest.approx(1.2)
    assert bucket.spend(101.2) == pytest.approx(0.4)
    assert [bucket.spend(500) for _ in range(5)] == [0] * 5, "no more than five are saved up"
    assert bucket.spend(500) == pytest.approx(0.4)


def test_what_costs_more_than_everything_waits_for_a_full_bucket() -> None:
    bucket = TokenBucket(5, 1.0)
    assert bucket.spend(0, 50) == 0
    assert bucket.spend(0, 50) == pytest.approx(1.0)
    assert bucket.spend(2, 1) == 0


def test_a_breaker_counts_failures_in_a_row_and_its_trips() -> None:
    breaker = CircuitBreaker()
    for _ in range(7):
        breaker.failed(0)
    breaker.succeeded()
    for _ in range(7):
        breaker.failed(0)
    assert (breaker.state(0), breaker.trips, breaker.remaining(0)) == ("closed", 0, 0)
    breaker.failed(0)
    assert (breaker.state(0), breaker.trips, breaker.remaining(0)) == ("open", 1, 15)
    assert (breaker.state(15), breaker.remaining(15)) == ("half open", 0)
    breaker.failed(15)
    assert (breaker.trips, breaker.remaining(15)) == (2, 15)
    breaker.pause(15, 5)
    assert breaker.remaining(15) == 15, "a shorter pause does not end a longer one"
    breaker.succeeded()
    assert breaker.remaining(20) == 10, "nor does a success"
    assert breaker.state(30) == "closed"
    for _ in range(7):
        breaker.failed(31)
    assert breaker.state(31) == "closed", "counted anew after a pause"


def test_times_are_read_digit_by_digit() -> None:
    """What Python's datetime has for the whole seconds, and the digits behind the point."""
    whole = int(datetime(2026, 8, 9, 21, 5, 48, tzinfo=UTC).timestamp()) * 10**9
    for fraction, expected in (
        ("", 0), (".2", 200_000_000), (".228568804", 228_568_804), (".000000001", 1),
        (".10", 100_000_000),
    ):  # fmt: skip
        assert rfc3339_nanoseconds(f"2026-08-09T21:05:48{fraction}Z") == whole + expected
    for text in (
        "2026-08-09T21:05:48", "2026-08-09T21:05:48.2", "2026-08-09T21:05:48.2285688041Z",
        "2026-08-09T21:05:48,2Z", "2026-08-09T21:05:48.2x", "2026-08-09 21:05:48Z",
        "2026-08-09T21:05:48.²Z", "2026-08-09T21:05:48.-1Z", "2026-08-09T21:05:48ZZ", "Z", ".Z",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected a UTC time"):
            rfc3339_nanoseconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("1", 1_000_000_000), ("1.5", 1_500_000_000), ("0.000001", 1000),
        ("0.000000001", 1), ("0.1234567", 123_456_700), ("0.12345", 123_450_000),
        ("18446744073.709551", 18446744073_709_551_000),
    ],
)  # fmt: skip
def test_seconds_since_1970_are_read_digit_by_digit(text: str, expected: int) -> None:
    assert unix_nanoseconds(text) == expected


@pytest.mark.parametrize("text", ["0.0000000001", "-0.1", "x", "", "18446744073.709552"])
def test_seconds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        unix_nanoseconds(text)


def test_the_last_moment_that_fits_the_wire() -> None:
    assert milliseconds(2**64 // 10**6) == 2**64 // 10**6 * 10**6
    assert milliseconds(0) == 0
    with pytest.raises(ValueError, match="found"):
        milliseconds(2**64 // 10**6 + 1)
    moment = datetime.fromtimestamp(2**64 // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert rfc3339_nanoseconds(f"{moment}.{(2**64 - 1) % 10**9}Z") == 2**64 - 1
    for text in (f"{moment}.{2**64 % 10**9}Z", "1969-12-31T23:59:59.999999999Z"):
        with pytest.raises(ValueError, match="expected one from 1970 to 2554"):
            rfc3339_nanoseconds(text)


def test_numbers_of_the_exchange_fit_63_bits() -> None:
    for value in (0, 2**63 - 1):
        assert msgspec.convert(value, SequenceNumber) == value
    for value in (-1, 2**63):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, SequenceNumber)


@pytest.mark.parametrize(
    ("text", "expected"), [("0.26", 2600), ("0.0001", 1), ("0", 0), ("100", 10**6), ("1e-2", 100)]
)
def test_a_fee_of_a_hundredth_of_a_per_cent_is_a_hundred_pips(text: str, expected: int) -> None:
    assert pips(text) == expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0", None), ("3", "bid 98 is not there and was here all the time")],
)
def test_a_level_that_was_removed_in_between_may_be_missing(
    quantity: str, expected: str | None
) -> None:
    audit = Audit(book(), 0)
    audit.changed(L2Delta(BTC_USD, 2, 0, 0, levels(("98", quantity)), ()))
    audit.answered(levels(("99", "1")), levels(("101", "1")))
    assert audit.difference() == expected


@pytest.mark.parametrize(
    ("limit", "bids", "asks", "is_sound"),
    [
        (2, [("99", "1"), ("98", "2")], [("101", "1")], True),
        (1, [("99", "1")], [("101", "1")], True),
        (2, [("99", "1")], [("101", "1")], False),  # fewer than it shows at most: all there are
        (1, [("99", "1")], [], False),
        (1, [("98", "2")], [("101", "1")], False),
    ],
)
def test_an_answer_is_cut_off_when_it_is_as_long_as_can_be(
    limit: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]], is_sound: bool
) -> None:
    audit = Audit(book(), limit)
    assert not audit.is_answered
    audit.answered(levels(*bids), levels(*asks))
    assert audit.is_answered
    assert (audit.difference() is None) is is_sound


def test_an_answer_s_deeper_asks_are_beyond_it_too() -> None:
    deep = OrderBook(BTC_USD)
    deep.apply(snapshot(BTC_USD, (), levels(("101", "1"), ("102", "1"), ("103", "1"))))
    for shown, is_sound in (
        ((("101", "1"), ("102", "1")), True), ((("101", "1"), ("103", "1")), False),
    ):  # fmt: skip
        audit = Audit(deep, 2)
        audit.answered((), levels(*shown))
        assert (audit.difference() is None) is is_sound


def test_a_level_is_named_that_is_there_and_never_was_here() -> None:
    audit = Audit(book(), 0)
    audit.changed(L2Delta(BTC_USD, 2, 0, 0, (), levels(("102", "3"))))
    audit.answered(levels(("99", "1"), ("98", "2")), levels(("101", "1"), ("102", "4")))
    assert audit.difference() == "ask 102 has 4 there and never had here"
    audit.answered(levels(("99", "1"), ("98", "2")), levels(("101", "1")))
    assert audit.difference() is None, "102 may have come later"
