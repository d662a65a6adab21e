"""Crossings whose venues count in other digits: by hand, and by trying every whole lot."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import Source, levels, meta, snapshot
from samples import BTC_USD, BTCUSD

from torq_services.state import MarketState
from torq_services.strategies import Crossing, Leg, best_crossing
from torq_types import Decimal64, Level

PLENTY = Decimal64.parse("1000000000")


def legs(
    asks: tuple[Level, ...],
    bids: tuple[Level, ...],
    *,
    fees: tuple[int, int] = (0, 0),
    lots: tuple[str, str] = ("0.00000001", "0.00000001"),
    minimums: tuple[str, str] = ("0.00000001", "0.00000001"),
) -> tuple[Leg, Leg]:
    """Where to buy, and where to sell; each book has its own digits."""
    market = MarketState()
    market.apply(Source(1).message(snapshot(BTC_USD, (), asks)))
    market.apply(Source(4).message(snapshot(BTCUSD, bids)))
    buy, sell = (
        meta(instrument, lot=lot, minimum=minimum)
        for instrument, lot, minimum in zip((BTC_USD, BTCUSD), lots, minimums, strict=True)
    )
    return Leg(market.books[BTC_USD], buy, fees[0]), Leg(market.books[BTCUSD], sell, fees[1])


def amount(crossing: Crossing, name: str) -> Fraction:
    """In the quote currency."""
    value: int = getattr(crossing, name)
    return value * Fraction(10) ** crossing.exponent


def text(crossing: Crossing) -> tuple[Fraction | int, str, str]:
    return (
        Fraction(crossing.size.to_decimal()), str(crossing.buy_price), str(crossing.sell_price),
    )  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
def test_two_levels_of_other_digits_by_hand(turned: bool) -> None:
    """1 at 100.5 and 0.25 at 101.125, sold at 102 and at 101.75 less fees of 0.1 and 0.2 %."""
    asks = ("100.5", "1"), ("101.125", "3.5")
    bids = ("102", "0.750"), ("101.75", "0.5")
    pair = legs(levels(*asks[:: -1 if turned else 1]), levels(*bids), fees=(1000, 2000))
    found = best_crossing(*pair, PLENTY)
    assert found is not None
    assert text(found) == (Fraction("1.25"), "101.125", "101.75")
    cost = Fraction("100.5") + Fraction("0.25") * Fraction("101.125")
    proceeds = Fraction("0.75") * 102 + Fraction("0.5") * Fraction("101.75")
    assert amount(found, "cost") == cost
    assert amount(found, "gross") == proceeds - cost
    assert amount(found, "fees") == cost / 1000 + proceeds / 500
    assert found.net == found.gross - found.fees


def test_the_pair_of_levels_that_pays_nothing_ends_the_walk() -> None:
    """The second unit costs 101 and a hundredth of it; 103 less a hundredth does not pay that."""
    pair = legs(levels(("100", "1"), ("101", "1")), levels(("103", "5")), fees=(10_000, 10_000))
    found = best_crossing(*pair, PLENTY)
    assert found is not None
    assert text(found) == (1, "100", "103")
    # 103.0404... would be even: by a hundredth more it pays, and by less it does not.
    for bid, size in (("103.0404", 1), ("103.0405", 2)):
        pair = legs(levels(("100", "1"), ("101", "1")), levels((bid, "5")), fees=(10_000, 10_000))
        found = best_crossing(*pair, PLENTY)
        assert found is not None
        assert text(found)[0] == size


def test_the_budget_buys_whole_units_of_the_finest_digit() -> None:
    """300 buys one at 100 and, to eight places, 1.98019801 at 101."""
    pair = legs(levels(("100", "1"), ("101", "5")), levels(("110", "9")))
    found = best_crossing(*pair, Decimal64.parse("300"))
    assert found is not None
    assert text(found) == (Fraction("2.98019801"), "101", "110")
    assert 0 <= 300 - amount(found, "cost") < Fraction("0.00000101")
    # Spent to the last digit on the first level, nothing of the second is taken.
    found = best_crossing(*pair, Decimal64.parse("100"))
    assert found is not None
    assert text(found) == (1, "100", "110")
    found = best_crossing(*pair, Decimal64(1, 2))
    assert found is not None
    assert amount(found, "cost") == 100
    assert best_crossing(*pair, Decimal64(0, 0)) is None
    # A limit with more digits than the amounts is rounded down.
    fine = legs(levels(("1", "3")), levels(("2", "3")), lots=("1", "1"))
    for limit, size in (("2.999999999999", 2), ("3.000000000001", 3)):
        found = best_crossing(*fine, Decimal64.parse(limit))
        assert found is not None
        assert text(found)[0] == size


def test_lots_of_both_venues_are_taken_from_the_end() -> None:
    """Lots of 0.3 and 0.2: of 1.7 units 1.2 are left, and the last 0.5 were the dearest."""
    asks = levels(("100", "1"), ("101", "0.3"), ("102", "0.4"))
    pair = legs(asks, levels(("110", "1.7")), lots=("0.3", "0.2"))
    found = best_crossing(*pair, PLENTY)
    assert found is not None
    assert text(found) == (Fraction("1.2"), "101", "110")
    assert amount(found, "cost") == 100 + Fraction("0.2") * 101
    # Where no whole lot is left there is nothing.
    assert best_crossing(*legs(asks[:1], levels(("110", "1")), lots=("2", "0.2")), PLENTY) is None
    # What is a whole number of lots is left as it is.
    found = best_crossing(*legs(asks[:1], levels(("110", "1")), lots=("0.5", "0.2")), PLENTY)
    assert found is not None
    assert text(found)[0] == 1
    # Without an increment every amount is one.
    found = best_crossing(*legs(asks[:2], levels(("110", "5")), lots=("0", "0")), PLENTY)
    assert found is not None
    assert text(found)[0] == Fraction("1.3")


@pytest.mark.parametrize(
    ("asks", "bids"),
    [
        ((("0.0000000123", "900"), ("0.0000000135", "500")), (("0.00000002", "1000"),)),
        ((("0.00000001", "1000"),), (("0.0000000177", "900"), ("0.0000000165", "300"))),
        ((("100.5", "0.5000000000001"),), (("100.6", "2"),)),
        ((("100.5", "2"),), (("100.6", "0.5000000000001"),)),
    ],
)
def test_more_than_the_eight_places_that_books_begin_with(
    asks: tuple[tuple[str, str], ...], bids: tuple[tuple[str, str], ...]
) -> None:
    """Of a token worth nearly nothing one venue counts prices in finer units, or sizes."""
    lots = ("0.0000000000001",) * 2
    found = best_crossing(*legs(levels(*asks), levels(*bids), lots=lots), PLENTY)
    assert found is not None
    size = min(sum((Fraction(text) for _, text in side), Fraction(0)) for side in (asks, bids))
    cost, proceeds = (worth(list(levels(*side)), size) for side in (asks, bids))
    assert cost is not None
    assert proceeds is not None
    assert Fraction(found.size.to_decimal()) == size
    assert amount(found, "cost") == cost
    assert amount(found, "gross") == amount(found, "net") == proceeds - cost


@pytest.mark.parametrize("side", [0, 1])
def test_either_venue_s_minimum_counts(side: int) -> None:
    for least, is_enough in (("1.2", True), ("1.20000000001", False), ("2", False)):
        minimums = (least, "0.1") if side == 0 else ("0.1", least)
        pair = legs(levels(("100", "1.2")), levels(("110", "3")), minimums=minimums)
        assert (best_crossing(*pair, PLENTY) is not None) is is_enough


tenths = st.builds(Decimal64, st.integers(900, 1100), st.just(-1))
hundredths = st.builds(Decimal64, st.integers(9000, 11000), st.just(-2))
halves = st.builds(lambda n: Decimal64(5 * n, -1), st.integers(1, 6))
wholes = st.builds(Decimal64, st.integers(1, 3), st.just(0))


def side_of(
    prices: st.SearchStrategy[Decimal64], sizes: st.SearchStrategy[Decimal64]
) -> st.SearchStrategy[list[Level]]:
    return st.lists(
        st.builds(Level, prices, sizes), min_size=1, max_size=4, unique_by=lambda level: level.price
    )


def worth(side: list[Level], size: Fraction) -> Fraction | None:
    """What so much of the best levels costs or brings; None where there is not as much."""
    total = Fraction(0)
    for level in side:
        taken = min(size, Fraction(level.quantity.to_decimal()))
        total += taken * Fraction(level.price.to_decimal())
        size -= taken
    return None if size else total


@given(
    side_of(tenths, halves), side_of(hundredths, wholes),
    st.sampled_from([(0, 0), (500, 3000), (10_000, 0), (0, 10_000)]),
    st.sampled_from([("0.5", "0.5"), ("1", "0.5"), ("0.5", "1.5")]),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=150)
def test_no_other_number_of_lots_earns_more(
    asks: list[Level], bids: list[Level], fees: tuple[int, int], lots: tuple[str, str], swap: bool
) -> None:
    """Every multiple of both lots up to what is there, in fractions, without the walk."""
    if swap:
        asks, bids = bids, asks
    pair = legs(tuple(asks), tuple(bids), fees=fees, lots=lots)
    found = best_crossing(*pair, PLENTY)
    lot = {"0.5": Fraction(1, 2), "1": Fraction(1), "1.5": Fraction(3, 2)}
    step = max(lot[lots[0]], lot[lots[1]])
    by_price = sorted(asks, key=lambda level: level.price.to_decimal())
    dearest = sorted(bids, key=lambda level: -level.price.to_decimal())
    profits = {Fraction(0): Fraction(0)}
    for count in range(1, 40):
        size = count * step
        cost, proceeds = worth(by_price, size), worth(dearest, size)
        if cost is not None and proceeds is not None:
            paid = Fraction(cost * fees[0] + proceeds * fees[1], 1_000_000)
            profits[size] = proceeds - cost - paid
    # The walk's size is cut to whole lots: it earns at least what any lots up to it earn.
    if found is None:
        unbound = best_crossing(*legs(tuple(asks), tuple(bids), fees=fees), PLENTY)
        assert unbound is None or text(unbound)[0] < step
        return
    walked = Fraction(found.size.to_decimal())
    assert walked % step == 0
    assert amount(found, "net") == profits[walked]
    assert amount(found, "net") == max(profits[s] for s in profits if s <= walked)
