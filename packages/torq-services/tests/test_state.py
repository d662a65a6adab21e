from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import Source, levels, meta, snapshot
from samples import BTC_USD, BTCUSD

from torq_services.state import MarketState, OrderBook
from torq_types import (
    Decimal64,
    GapCause,
    InstrumentId,
    InvalidationReason,
    L2Delta,
    L2Reset,
    Level,
    SequenceGap,
    Side,
    StaleBookError,
    StateInvalidation,
    SystemHealth,
    Trade,
    Venue,
)


def delta(
    book_sequence: int, bids: tuple[Level, ...] = (), asks: tuple[Level, ...] = ()
) -> L2Delta:
    return L2Delta(BTC_USD, book_sequence, 0, 0, bids, asks)


def verified() -> OrderBook:
    book = OrderBook(BTC_USD)
    book.apply(snapshot(BTC_USD, levels(("99", "1"), ("98.5", "2")), levels(("101", "1"))))
    return book


def test_a_book_is_stale_until_its_first_snapshot() -> None:
    book = OrderBook(BTC_USD)
    assert (book.status, book.sequence) == ("stale", 0)
    for read in (lambda: book.best_bid, lambda: book.best_ask, book.bids, book.asks):
        with pytest.raises(StaleBookError, match="BTC-USD on coinbase is stale"):
            read()
    assert book.last_known() == ((), ())
    assert not book.apply(snapshot(BTCUSD))
    assert book.status == "stale"


def test_best_prices_follow_the_deltas() -> None:
    book = verified()
    assert book.best_bid is not None
    assert book.best_ask is not None
    assert (str(book.best_bid.price), str(book.best_ask.price)) == ("99", "101")
    book.apply(delta(2, levels(("99", "0"), ("98.75", "4.0")), levels(("100.999", "1"))))
    assert (str(book.best_bid.price), str(book.best_ask.price)) == ("98.75", "100.999")
    assert [str(level.price) for _, level in book.bids()] == ["98.75", "98.5"]
    assert book.apply(snapshot(BTC_USD, book_sequence=9))
    assert book.best_bid is None


def status(book: OrderBook) -> str:
    """mypy would otherwise remember the last status that it saw asserted."""
    return book.status


@pytest.mark.parametrize(
    ("tlv", "reason"),
    [
        (delta(3), InvalidationReason.SEQUENCE_GAP),
        (delta(1), InvalidationReason.SEQUENCE_GAP),
        (delta(2, levels(("101", "1"))), InvalidationReason.CROSSED),
        (
            StateInvalidation(BTC_USD, 1, 1, InvalidationReason.SILENT),
            InvalidationReason.SILENT,
        ),
        (L2Reset(BTC_USD, 5, InvalidationReason.CHECKSUM), InvalidationReason.CHECKSUM),
        (SequenceGap(0, 8, 0, 0, 0, GapCause.LAPPED), InvalidationReason.SEQUENCE_GAP),
        (
            snapshot(BTC_USD, levels(("5", "1")), levels(("5", "1"))),
            InvalidationReason.CROSSED,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_doubt_makes_it_stale_and_only_a_snapshot_verifies_again(
    tlv: Any, reason: InvalidationReason
) -> None:
    book = verified()
    assert book.apply(tlv)
    assert (book.status, book.reason) == ("stale", reason)
    book.apply(delta(2, levels(("97", "1"))))
    book.apply(delta(book.sequence + 1))
    assert status(book) == "stale"
    book.apply(snapshot(BTC_USD, levels(("1", "1")), book_sequence=20))
    assert status(book) == "verified"


prices = st.builds(Decimal64, st.integers(1, 9999), st.integers(-12, 3))
quantities = st.builds(Decimal64, st.integers(0, 50), st.integers(-10, 2))


@given(st.lists(st.lists(st.tuples(prices, quantities), max_size=6), max_size=8))
def test_bids_are_a_sorted_map_of_exact_prices(
    updates: list[list[tuple[Decimal64, Decimal64]]],
) -> None:
    book = OrderBook(BTC_USD)
    book.apply(snapshot(BTC_USD))
    expected: dict[Decimal, Level] = {}
    for number, update in enumerate(updates, 2):
        changes = tuple(Level(price, quantity) for price, quantity in update)
        book.apply(delta(number, changes))
        for level in changes:
            key = level.price.to_decimal()
            if level.quantity.mantissa:
                expected[key] = level
            else:
                expected.pop(key, None)
    assert book.last_known()[0] == tuple(expected[key] for key in sorted(expected, reverse=True))
    for units, level in book.bids():
        assert Decimal(units).scaleb(book.price_exponent) == level.price.to_decimal()


def test_market_state_follows_sources() -> None:
    market = MarketState(max_silence_ns=1000)
    coinbase, gemini = Source(1), Source(4)
    market.apply(coinbase.message(meta(BTC_USD)))
    assert market.apply(coinbase.message(snapshot(BTC_USD))) == {BTC_USD}
    market.apply(gemini.message(snapshot(BTCUSD)))
    assert market.metas[BTC_USD].base == "BTC"
    assert market.verified(BTC_USD)
    hole = coinbase.message(SequenceGap(0, 0, 5, 6, 1, GapCause.SOURCE_HOLE))
    assert market.apply(hole) == {BTC_USD}
    assert not market.verified(BTC_USD)
    assert market.verified(BTCUSD)
    market.apply(coinbase.message(snapshot(BTC_USD)))
    lapped = Source(0).message(SequenceGap(0, 8, 0, 0, 0, GapCause.LAPPED))
    assert market.apply(lapped) == {BTC_USD, BTCUSD}


def test_a_restarted_source_maintains_nothing_of_its_predecessor() -> None:
    market = MarketState()
    first = Source(1)
    market.apply(first.message(meta(BTC_USD)))
    market.apply(first.message(snapshot(BTC_USD)))
    assert market.apply(Source(1).message(SystemHealth(0, 1, "", "{}"))) == {BTC_USD}
    assert not market.verified(BTC_USD)
    again = Source(1)
    market.apply(again.message(snapshot(BTC_USD)))
    assert market.verified(BTC_USD)


def test_a_silent_source_is_not_trusted() -> None:
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=10_000)
    market.apply(source.message(snapshot(BTC_USD)))
    assert market.expire(11_000) == set()
    assert market.expire(11_001) == {BTC_USD}
    assert market.books[BTC_USD].reason is InvalidationReason.SILENT
    assert market.expire(11_002) == set()


def test_a_clock_that_goes_back_makes_no_silence_shorter() -> None:
    hour = 3600 * 10**9
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=hour + 10_000)
    market.apply(source.message(snapshot(BTC_USD)))
    assert market.expire(hour + 10_600) == set()
    # Back by an hour: the 600 that have passed still count.
    assert market.expire(10_000) == set()
    assert market.expire(10_400) == set()
    assert market.expire(10_401) == {BTC_USD}


def test_a_source_whose_time_is_ahead_is_heard_when_it_comes() -> None:
    """A publisher's time does not go back with the clock."""
    hour = 3600 * 10**9
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=hour)
    market.apply(source.message(snapshot(BTC_USD)), 10_000)
    assert market.quiet_ns(BTC_USD, 11_000) == 1000
    assert market.expire(11_000) == set()
    market.apply(source.message(SystemHealth(0, 1, "", "{}")), 11_000)
    assert market.expire(12_000) == set()
    assert market.quiet_ns(BTC_USD, 12_000) == 2000
    assert market.expire(12_001) == {BTC_USD}


def test_clocks_that_differ_are_no_time_that_passes() -> None:
    """Replayed without a time of their own: each says something ten times a second."""
    second = 10**9
    market = MarketState(max_silence_ns=3 * second)
    early, late = Source(1, now_ns=second), Source(4, now_ns=second)
    market.apply(early.message(snapshot(BTC_USD)))
    market.apply(late.message(snapshot(BTCUSD)))
    for step in range(100):
        now_ns = second + step * second // 10
        early.now_ns, late.now_ns = now_ns, now_ns - second
        for source in (early, late):
            market.apply(source.message(SystemHealth(0, 1, "", "{}")))
        if step % 3 == 0:
            assert market.expire(now_ns) == set()
    assert market.quiet_ns(BTC_USD, now_ns) == now_ns - second


def test_time_goes_on_without_messages() -> None:
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=10_000)
    market.apply(source.message(snapshot(BTC_USD)))
    assert market.quiet_ns(BTC_USD, 10_000) == 0
    source.now_ns = 10_800
    market.apply(source.message(SystemHealth(0, 1, "", "{}")))
    assert market.quiet_ns(BTC_USD, 10_900) == 900
    assert market.expire(11_800) == set()
    assert market.expire(11_801) == {BTC_USD}


def test_what_was_said_long_ago_is_silence_already() -> None:
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=10_000)
    market.apply(source.message(snapshot(BTC_USD)), 11_001)
    assert market.quiet_ns(BTC_USD, 11_001) == 1001
    assert market.expire(11_001) == {BTC_USD}


def test_what_changed_is_told_in_its_own_order() -> None:
    """Not in a set's, which differs from run to run: a replay would decide in another order."""
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=10_000)
    books = [InstrumentId.pair(Venue.COINBASE, f"{number}-USD") for number in range(20)]
    taken = market.apply(source.message(*(snapshot(book) for book in books)))
    assert list(taken) == books
    assert list(market.expire(11_001)) == books
    market.apply(source.message(*(snapshot(book) for book in books)))
    lapped = Source(0).message(SequenceGap(0, 8, 0, 0, 0, GapCause.LAPPED))
    assert list(market.apply(lapped)) == books


def test_other_tlvs_do_not_concern_a_book() -> None:
    trade = Trade(BTC_USD, Decimal64(1, 0), Decimal64(1, 0), 0, Side.BUY)
    assert not OrderBook(BTC_USD).apply(trade)


def test_a_reset_empties_the_book() -> None:
    book = verified()
    book.apply(L2Reset(BTC_USD, 5, InvalidationReason.CHECKSUM))
    assert book.last_known() == ((), ())
    assert book.sequence == 5
    book.apply(snapshot(BTC_USD, levels(("1", "1"), ("2", "1")), levels(("4", "1"), ("3", "1"))))
    bids, asks = book.last_known()
    assert [str(level.price) for level in (*bids, *asks)] == ["2", "1", "3", "4"]


@pytest.mark.parametrize(
    ("bid", "ask"),
    [("99.25", "101"), ("99", "101.25"), ("99.0000000005", "101"), ("99", "101.00000000005")],
)
def test_both_sides_count_prices_in_the_finer_unit(bid: str, ask: str) -> None:
    book = OrderBook(BTC_USD)
    book.apply(snapshot(BTC_USD, levels((bid, "1.0123456789")), levels((ask, "1"))))
    for side, price in ((book.bids(), bid), (book.asks(), ask)):
        ((units, level),) = side
        assert Decimal(units).scaleb(book.price_exponent) == Decimal(price)
        assert str(level.price) == price
    assert book.quantity_exponent == -10
    book.apply(delta(2, (), levels(("100.12500000000025", "0.012345678912"))))
    assert [Decimal(units).scaleb(book.price_exponent) for units, _ in book.asks()] == [
        Decimal("100.12500000000025"), Decimal(ask),
    ]  # fmt: skip
    assert [Decimal(units).scaleb(book.price_exponent) for units, _ in book.bids()] == [
        Decimal(bid)
    ]
    assert book.quantity_exponent == -12


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ((("99", "0"), ("98.5", "3"), ("97", "1")), (("101", "0"), ("102", "1")), None),
        ((("97", "0"),), (), "97 is removed and was not there"),
        ((("98.5", "2"),), (), "98.5 is set to the 2 that it had"),
        ((("98.5", "3"),), (("100", "0"),), "100 is removed and was not there"),
        ((), (("101", "1"),), "101 is set to the 1 that it had"),
    ],
)
def test_what_does_not_fit_is_named(
    bids: tuple[tuple[str, str], ...], asks: tuple[tuple[str, str], ...], expected: str | None
) -> None:
    assert verified().misfit(levels(*bids), levels(*asks)) == expected


def test_what_lies_too_deep_is_dropped_and_told() -> None:
    book = verified()
    assert book.depth() == (2, 1)
    assert book.evict(2) == ([], [])
    assert book.evict(1) == ([levels(("98.5", "2"))[0]], [])
    assert book.depth() == (1, 1)
