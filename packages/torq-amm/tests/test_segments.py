"""Pieces of ``a * x / (b + c * x)``: composed, moved on, inverted, and taken from pools."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from amm_pools import TOKENS, pair, ranged, stable, weighted
from hypothesis import given
from hypothesis import strategies as st

from torq_amm.arbitrage import Hop
from torq_amm.arbitrage.segments import Piece, segments_of
from torq_amm.concentrated import get_sqrt_ratio_at_tick

number = st.integers(1, 10**30)
piece = st.builds(Piece, number, number, number)


def real(piece: Piece, amount_in: Fraction | int) -> Fraction:
    """Without any rounding."""
    return Fraction(piece.a) * amount_in / (piece.b + piece.c * Fraction(amount_in))


@given(piece, number)
def test_a_piece_rounds_down_once(one: Piece, amount: int) -> None:
    assert one(amount) == real(one, amount).numerator // real(one, amount).denominator


@given(piece, piece, number)
def test_one_after_the_other_is_one(first: Piece, second: Piece, amount: int) -> None:
    assert real(first.then(second), amount) == real(second, real(first, amount))


@given(piece, st.integers(0, 10**30), number)
def test_after_an_amount_comes_what_more_buys(one: Piece, before: int, more: int) -> None:
    assert real(one.after(before), more) == real(one, before + more) - real(one, before)


def test_after_nothing_a_piece_is_itself() -> None:
    one = Piece(3, 5, 7)
    assert one.after(0) is one


@given(piece, number)
def test_the_cost_is_the_least_input(one: Piece, amount: int) -> None:
    cost = one.cost(amount)
    if cost is None:
        # However much comes in, less than a / c goes out.
        assert amount >= Fraction(one.a, one.c)
    else:
        assert real(one, cost) >= amount
        assert cost == 0 or real(one, cost - 1) < amount


def test_costs_by_hand() -> None:
    """100 * x / (100 + x): 50 costs 100, 99 costs 9900, and 100 are never paid out."""
    one = Piece(100, 100, 1)
    assert [one.cost(amount) for amount in (0, 1, 50, 99)] == [0, 2, 100, 9900]
    assert (one.cost(100), one.cost(101)) == (None, None)


@given(piece)
def test_the_optimum_is_where_the_slope_is_one(one: Piece) -> None:
    with localcontext() as context:
        context.prec = 120
        best = ((Decimal(one.a) * one.b).sqrt() - one.b) / one.c
    # The root is rounded down to a whole, which is a c-th of an input at most.
    assert one.optimum() == (max(0, int(best)) if one.a > one.b else 0)


def test_an_optimum_by_hand() -> None:
    """400 * x / (100 + x) - x: its slope 40000 / (100 + x)**2 is 1 at 100."""
    assert Piece(400, 100, 1).optimum() == 100
    assert Piece(100, 100, 1).optimum() == 0
    assert Piece(99, 100, 1).optimum() == 0
    assert Piece(102, 100, 1).optimum() == 0
    assert Piece(103, 100, 1).optimum() == 1
    # Without a bend there is no optimum: it would have no end.
    assert Piece(400, 100, 0).optimum() == 0


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("fee", [0, 3, 25])
def test_a_constant_product_pool_is_one_piece(side: int, fee: int) -> None:
    pool = pair(1, (0, 1), (7 * 10**9, 3 * 10**12), fee)
    ways = segments_of(pool, Hop(pool.instrument, TOKENS[side], TOKENS[1 - side]))
    assert ways is not None
    (segment,) = ways
    assert segment.capacity is None
    for amount in (10**4, 10**6 + 1, 10**13 + 7):
        assert segment.piece(amount) == pool.amount_out(TOKENS[side], amount)


def test_other_pools_have_no_pieces() -> None:
    for pool in (stable(1, (5, 5)), weighted(2, (5, 5))):
        assert segments_of(pool, Hop(pool.instrument, TOKENS[0], TOKENS[1])) is None


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("tick", [1270, 1300, 1307, 1340])
def test_a_concentrated_pool_is_a_piece_for_every_range(side: int, tick: int) -> None:
    """A range ends where the pool's own swap to its tick's price ends, to the unit.

    All ticks are in one word of the bitmap: at a word's end the swap would round once more.
    """
    pool = ranged(
        1, (0, 1), tick,
        [(1200, 1400, 10**15), (1250, 1320, 4 * 10**15), (1300, 1360, 10**16)], 3000,
    )  # fmt: skip
    ways = segments_of(pool, Hop(pool.instrument, TOKENS[side], TOKENS[1 - side]))
    assert ways is not None
    order = (1200, 1250, 1300, 1320, 1360, 1400)
    ahead = [t for t in order if (t < tick if side == 0 else t > tick)]
    expected = sorted(ahead, reverse=side == 0)
    segments = list(ways)
    assert len(segments) == len(expected)
    now = pool
    for segment, boundary in zip(segments, expected, strict=True):
        price = get_sqrt_ratio_at_tick(boundary)
        whole = now.swap_exact_in(TOKENS[side], 10**30, sqrt_price_limit_x96=price)
        assert segment.capacity == whole.amount_in
        # Input and fee are both rounded up.
        assert 0 <= segment.piece(whole.amount_in) - whole.amount_out <= 2
        half = now.swap_exact_in(TOKENS[side], whole.amount_in // 2)
        assert 0 <= segment.piece(half.amount_in) - half.amount_out <= 2
        now = whole.pool_after


def test_where_there_is_no_liquidity_there_is_no_piece() -> None:
    """Two positions with a gap between: the walk goes over it."""
    pool = ranged(1, (0, 1), 0, [(-10, 10, 10**15), (40, 50, 10**15)])
    ways = segments_of(pool, Hop(pool.instrument, TOKENS[1], TOKENS[0]))
    assert ways is not None
    assert len(list(ways)) == 2
    empty = segments_of(ranged(1, (0, 1), 0, []), Hop(pool.instrument, TOKENS[1], TOKENS[0]))
    assert list(empty or [1]) == []
    # At the very price of a tick the range behind it has no width.
    ways = segments_of(ranged(1, (0, 1), 10, [(-10, 10, 5), (10, 20, 7)]),
                       Hop(pool.instrument, TOKENS[0], TOKENS[1]))  # fmt: skip
    assert len(list(ways or [])) == 1
