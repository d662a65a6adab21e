"""The best input against every input, where all can be tried, and against all its neighbours."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from amm_pools import TOKENS, around, by_instrument, pair, profit, ranged, size, stable, weighted

from torq_amm import Pool
from torq_amm.arbitrage import Cycle, Sizing, estimate, refine
from torq_types import SwapError

FAMILIES = ("constant product", "concentrated", "stable", "weighted")


def small_pools(family: str, seed: int) -> list[Pool]:
    """Two pools of some dozen units whose prices differ, one of them of the family."""
    draw = random.Random(f"{family} {seed}")
    pools: list[Pool] = []
    for number, kind, percent in (
        (1, family, draw.randrange(50, 90)),
        (2, draw.choice(FAMILIES), draw.randrange(110, 200)),
    ):
        depth = draw.randrange(30, 90)
        other = depth * percent // 100
        if kind == "constant product":
            pools.append(pair(number, (0, 1), (depth, other), draw.randrange(4)))
        elif kind == "stable":
            pools.append(stable(number, (depth, other**2 // depth)))
        elif kind == "weighted":
            pools.append(weighted(number, (4 * depth, other)))
        else:
            ends = sorted(draw.sample(range(-300, 300), 4))
            positions = [(10 * ends[0], 10 * ends[2], 500), (10 * ends[1], 10 * ends[3], 900)]
            tick = 3000 * (1 if percent > 100 else -1)
            pools.append(ranged(number, (0, 1), tick, [*positions, (-9000, 9000, 200)]))
    return pools


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(8))
def test_no_input_at_all_is_better(family: str, seed: int) -> None:
    pools = small_pools(family, seed)
    for order in (pools, pools[::-1]):
        cycle, best = size(*order, window=250)
        most = max(profit(cycle, order, amount) for amount in range(1, 300))
        assert (0 if best is None else best.profit) == max(0, most)


@pytest.mark.parametrize("family", FAMILIES)
def test_many_of_them_earn_one_way_round(family: str) -> None:
    """Where nothing ever earned, the test above would see nothing."""
    earned = 0
    for seed in range(8):
        pools = small_pools(family, seed)
        found = [size(*order, window=20)[1] for order in (pools, pools[::-1])]
        earned += any(sizing is not None for sizing in found)
    assert earned >= 4


def all_within(cycle: Cycle, pools: Sequence[Pool], best: Sizing, window: int) -> range:
    """All inputs that reach one of ``window`` amounts to either side at the coarsest hop."""
    found = estimate(cycle, by_instrument(pools))
    assert found is not None
    amounts = cycle.amounts(by_instrument(pools), found.amount_in)
    coarsest = amounts.index(min(amounts[:-1]))

    def steps_away(amount_in: int) -> int:
        try:
            reached = cycle.amounts(by_instrument(pools), amount_in)[coarsest]
        except SwapError:  # a pool that runs dry
            return window + 1
        return abs(reached - best.amounts[coarsest])

    low = high = best.amount_in
    while low > 1 and steps_away(low - 1) <= window:
        low -= 1
    while steps_away(high + 1) <= window:
        high += 1
    return range(low, high + 1)


def test_a_plateau_does_not_use_up_the_search() -> None:
    """Where profits of 374 to 377 alternate for thousands of units, by trying them all.

    The search ends where nothing within its window is better, and not farther below the best of
    all than rounding goes: a unit of each of the three amounts.
    """
    positions = [(0, 10, 10**8), (-5000, 5000, 10**9)]
    pools = ranged(1, (0, 1), 27, positions), ranged(2, (0, 1), 0, positions)
    cycle, best = size(*pools)
    assert best is not None
    near = all_within(cycle, pools, best, 8)
    assert len(near) == 17
    assert max(profit(cycle, pools, amount) for amount in near) == best.profit
    plateau = range(best.amount_in - 2000, best.amount_in + 2000)
    most = max(profit(cycle, pools, amount) for amount in plateau)
    assert most == 377
    assert most - 3 <= best.profit
    # What was answered once, within eight steps of which there is more.
    assert best.amount_in != 444512
    assert (profit(cycle, pools, 444512), profit(cycle, pools, 444504)) == (376, 377)


@pytest.mark.parametrize("seed", range(40))
def test_no_input_within_the_window_is_better(seed: int) -> None:
    """Plateaus of profits a unit apart, over many ticks and over none; every input is tried."""
    draw = random.Random(seed)

    def pool(number: int) -> Pool:
        kind = draw.choice(["concentrated", "concentrated", "constant product", "stable"])
        depth = 10 ** draw.randrange(6, 11)
        if kind == "constant product":
            scale = 10 ** draw.randrange(3)
            return pair(number, (0, 1), (depth * scale, depth * draw.randrange(97, 104) // 100))
        if kind == "stable":
            return stable(number, (depth, depth * draw.randrange(97, 300) // 100))
        positions = [(-5000, 5000, depth * 10)]
        for _ in range(draw.randrange(4)):
            lower = draw.randrange(-40, 39) * 10
            positions.append((lower, lower + draw.randrange(1, 9) * 10, depth))
        return ranged(number, (0, 1), draw.randrange(-300, 300), positions)

    pools = [pool(1), pool(2)]
    for order in (pools, pools[::-1]):
        cycle, best = size(*order)
        if best is not None and best.amount_in // min(best.amounts) < 300:
            near = all_within(cycle, order, best, 8)
            assert max(profit(cycle, order, amount) for amount in near) == best.profit


@pytest.mark.parametrize("places", [9, 18, 24])
def test_where_a_pool_runs_dry_the_search_goes_to_the_end(places: int) -> None:
    """Every unit earns more, up to the last one that the range takes; the start is far from it.

    By the pool's own swap to the end of its range: what it takes there, and not a unit more.
    """
    depth = 10**places
    shallow = ranged(1, (0, 1), 0, [(-10, 10, 100 * depth)])
    deep = stable(2, (10 * depth, 300 * depth))
    pools = deep, shallow
    cycle, best = size(*pools)
    assert best is not None
    most = shallow.swap_exact_in(TOKENS[1], 10**40).amount_in
    assert 0 <= most - best.amounts[1] <= 2
    assert profit(cycle, pools, best.amount_in + 2) <= best.profit


def test_a_wider_window_finds_no_less() -> None:
    positions = [(0, 10, 10**8), (-5000, 5000, 10**9)]
    pools = ranged(1, (0, 1), 27, positions), ranged(2, (0, 1), 0, positions)
    found = [size(*pools, window=window)[1] for window in (1, 8, 64)]
    profits = [sizing.profit for sizing in found if sizing is not None]
    assert len(profits) == 3
    assert profits == sorted(profits)


def test_the_coarsest_token_is_counted_wherever_it_stands() -> None:
    """A hundred whole units in the middle: of each, the least input that buys it, by the pool."""
    pools = pair(1, (0, 1), (120 * 10**18, 100), 0), pair(2, (0, 1), (130 * 10**18, 90), 0)
    cycle, best = size(*pools[::-1])
    if best is None:
        cycle, best = size(*pools)
    assert best is not None
    candidates = []
    for units in range(1, 60):
        first = by_instrument(pools)[cycle.hops[0].pool]
        cost = first.swap_exact_out(TOKENS[1], units).amount_in
        candidates += [profit(cycle, pools, amount) for amount in (cost - 1, cost)]
    assert best.profit == max(candidates)


def test_refining_begins_at_the_estimate_and_ends_at_its_bound() -> None:
    pools = pair(1, (0, 1), (10**6, 2 * 10**6), 0), pair(2, (0, 1), (10**6, 10**6), 0)
    cycle = around(*pools)
    found = estimate(cycle, by_instrument(pools))
    assert found is not None
    # By hand: a = 2*10**12, b = 10**12, c = 3*10**6: (sqrt(ab) - b)/c and (sqrt(a) - sqrt(b))**2/c.
    assert (found.amount_in, found.bound, found.is_exact) == (138071, 57190, True)
    best = refine(found, by_instrument(pools))
    assert best is not None
    assert found.bound - 2 <= best.profit <= found.bound
