"""Estimates: in closed form exactly, over many ranges nearly, and never bounded by too little."""

from __future__ import annotations

import random
from decimal import Decimal, localcontext
from math import isqrt

import pytest
from amm_pools import TOKENS, around, by_instrument, pair, profit, ranged, size, stable, weighted

from torq_amm import Pool
from torq_amm.arbitrage import Cycle, Hop, best_input, estimate, refine


@pytest.mark.parametrize("seed", range(10))
def test_the_closed_form_of_two_and_three_pools(seed: int) -> None:
    """``(sqrt(a) - sqrt(b))**2 / c`` at ``(sqrt(a b) - b) / c``, composed by hand."""
    draw = random.Random(seed)
    hops = draw.choice([2, 3])
    pools, a, b, c = [], 1, 1, 0
    for number in range(hops):
        ends = (0, 1) if hops == 2 else (number, (number + 1) % 3)
        reserves = 10 ** draw.randrange(8, 20), 10 ** draw.randrange(8, 20)
        fee = draw.randrange(4)
        pools.append(pair(number + 1, ends, reserves, fee))
        given, taken = reserves if (hops, number) != (2, 1) else reserves[::-1]
        kept = 1000 - fee
        a, b, c = a * kept * taken, b * 1000 * given, 1000 * given * c + kept * a
    found = estimate(around(*pools), by_instrument(pools))
    with localcontext() as context:
        context.prec = 200
        best = (Decimal(a) * b).sqrt()
        amount = (best - b) / c
        most = (Decimal(a).sqrt() - Decimal(b).sqrt()) ** 2 / c
    if a <= b:
        assert found is None
        return
    assert found is not None
    assert found.is_exact
    assert found.amount_in == max(1, int(amount))
    assert found.bound in (int(most), int(most) + 1)
    assert found.bound == (a + b - isqrt(4 * a * b)) // c
    assert found.profit <= found.bound
    assert most - found.profit <= 2 + most / 10**9 or found.amount_in < 100


def wide(number: int, tick: int) -> Pool:
    """Many positions, so that a swap meets many ranges."""
    positions = [(-10 * n, 10 * n, 10**20 * n) for n in range(1, 40)]
    return ranged(number, (0, 1), tick, positions, 100)


@pytest.mark.parametrize(
    "pools",
    [
        (wide(1, 300), wide(2, -350)), (wide(1, 300), pair(2, (0, 1), (10**23, 10**23), 0)),
        (pair(2, (0, 1), (10**22, 102 * 10**20), 0), wide(1, 20)),
        (ranged(1, (0, 1), 250, [(-9000, 9000, 10**24)]), wide(2, -200)),
    ],
)  # fmt: skip
def test_over_many_ranges_the_profit_is_nearly_the_best(pools: tuple[Pool, ...]) -> None:
    cycle, best = size(*pools)
    found = estimate(cycle, by_instrument(pools))
    assert best is not None
    assert found is not None
    assert not found.is_exact
    assert abs(found.profit - best.profit) <= 200
    assert abs(found.amount_in - best.amount_in) <= best.amount_in // 10**6
    assert found.bound == 2 * found.profit
    assert abs(profit(cycle, pools, found.amount_in) - found.profit) <= 200


def test_within_one_range_the_bound_is_the_formula_s() -> None:
    pools = (
        ranged(1, (0, 1), 1307, [(1200, 1400, 10**24)]),
        ranged(2, (0, 1), 1290, [(1200, 1400, 10**24)]),
    )
    cycle, best = size(*pools)
    found = estimate(cycle, by_instrument(pools))
    assert best is not None
    assert found is not None
    assert found.is_exact
    assert 0 <= found.bound - best.profit <= 5
    assert abs(found.amount_in - best.amount_in) <= 10**10


def test_where_the_walk_ends_a_pool_runs_dry() -> None:
    """The only position of the shallow pool ends before prices meet: all of it is taken."""
    shallow = ranged(1, (0, 1), 1300, [(1290, 1310, 10**20)], 100)
    deep = pair(2, (0, 1), (10**24, 10**25), 0)
    for hops in (
        (Hop(deep.instrument, TOKENS[0], TOKENS[1]), Hop(shallow.instrument, TOKENS[1], TOKENS[0])),
        (Hop(shallow.instrument, TOKENS[1], TOKENS[0]), Hop(deep.instrument, TOKENS[0], TOKENS[1])),
    ):  # fmt: skip
        cycle = Cycle(hops)
        pools = by_instrument([shallow, deep])
        found = estimate(cycle, pools)
        assert found is not None
        best = refine(found, pools)
        assert best is not None
        whole = shallow.swap_exact_in(TOKENS[1], 10**30)
        place = 1 if hops[0].pool == deep.instrument else 0
        # Within a thousand millionth of all that it takes, and never more.
        assert 0 <= whole.amount_in - best.amounts[place] <= whole.amount_in // 10**9
        assert not found.is_exact


def test_of_prices_that_meet_there_is_no_estimate() -> None:
    even = pair(1, (0, 1), (10**9, 10**9), 0), pair(2, (0, 1), (10**9, 10**9), 0)
    assert estimate(around(*even), by_instrument(even)) is None
    ticks = wide(1, 100), wide(2, 100)
    assert estimate(around(*ticks), by_instrument(ticks)) is None
    empty = ranged(1, (0, 1), 0, []), pair(2, (0, 1), (10**9, 5 * 10**9), 0)
    assert estimate(around(*empty), by_instrument(empty)) is None
    assert estimate(around(*empty[::-1]), by_instrument(empty)) is None


@pytest.mark.parametrize(
    "other", [stable(2, (10**24, 3 * 10**24)), weighted(2, (5 * 10**24, 10**24))]
)
def test_a_bracketed_estimate_is_bounded_by_what_rounding_takes(other: Pool) -> None:
    for pools in ((pair(1, (0, 1), (10**24, 10**24)), other),
                  (other, pair(1, (0, 1), (10**24, 10**24)))):  # fmt: skip
        cycle, best = size(*pools)
        found = estimate(cycle, by_instrument(pools))
        assert found is not None
        assert not found.is_exact
        if best is not None:
            # A unit of each of the three amounts, the coarsest one's worth in the first.
            amounts = cycle.amounts(by_instrument(pools), found.amount_in)
            assert found.bound - found.profit == 3 * (1 + amounts[0] // min(amounts))
            assert best.profit >= found.profit


def test_what_is_asked_for_is_compared_with_the_bound_first() -> None:
    pools = pair(1, (0, 1), (10**6, 2 * 10**6), 0), pair(2, (0, 1), (10**6, 10**6), 0)
    cycle = around(*pools)
    found = estimate(cycle, by_instrument(pools))
    best = best_input(cycle, by_instrument(pools))
    assert found is not None
    assert best is not None
    assert best_input(cycle, by_instrument(pools), at_least=best.profit) == best
    for at_least in (best.profit + 1, found.bound, found.bound + 1):
        if at_least > best.profit:
            assert best_input(cycle, by_instrument(pools), at_least=at_least) is None


@pytest.mark.parametrize("coarsest", [0, 1, 2])
def test_the_coarsest_of_three_tokens_wherever_it_stands(coarsest: int) -> None:
    """By trying every input. Of one token there are dozens, of the others thousands."""
    units = [300 if place == coarsest else 30_000 + 7 * place for place in range(3)]
    pools = [
        pair(place + 1, (place, (place + 1) % 3),
             (units[place], units[(place + 1) % 3] * (130 if place == 1 else 101) // 100), 1)
        for place in range(3)
    ]  # fmt: skip
    cycle, best = size(*pools, window=64)
    most = max(profit(cycle, pools, amount) for amount in range(1, units[0] // 2))
    assert best is not None
    assert best.profit == most
    assert min(best.amounts[:3]) == best.amounts[coarsest]


def test_a_stable_pool_near_its_end_has_a_last_unit() -> None:
    """Less than a unit at the coarsest hop: the search begins at none and finds the first."""
    pools = pair(1, (0, 1), (10**12, 3), 0), pair(2, (0, 1), (4 * 10**12, 3), 0)
    cycle, best = size(*pools)
    most = max(
        profit(cycle, pools, pools[0].swap_exact_out(TOKENS[1], units).amount_in - less)
        for units in (1, 2)
        for less in (0, 1)
    )
    assert best is not None
    assert best.profit == most
