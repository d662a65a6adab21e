from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from amm_pools import (
    ETHER,
    TOKENS,
    around,
    by_instrument,
    pair,
    profit,
    ranged,
    size,
    stable,
    weighted,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    WeightedPool,
)
from torq_amm.arbitrage import Cycle, GasCosts, Hop, PoolGraph, Sizing, best_input, price_in
from torq_types import InstrumentId, SwapError, Venue


def assert_no_neighbour_is_better(cycle: Cycle, pools: Sequence[Pool], best: Sizing) -> None:
    """Inputs near by, and near every amount along the way, earn no more.

    Far away, what rounding takes from one input and not from another may be in the way: a unit of
    each token on the path, and Balancer's power function knows 14 digits.
    """
    coarsest = min(best.amounts)
    step = best.amount_in // coarsest + 1
    near = {*range(1, 9), *(best.amount_in * n // coarsest for n in range(1, 9))}
    is_noisy = any(isinstance(pool, WeightedPool) for pool in pools)
    noise = 2 * best.amount_in // 10**14 if is_noisy else 0
    rounding = step * len(best.amounts) + noise
    for distance in sorted(near | {2**n for n in range(0, 90, 3)}):
        allowed = noise if distance in near else rounding
        for neighbour in (best.amount_in - distance, best.amount_in + distance):
            if neighbour > 0:
                assert profit(cycle, pools, neighbour) <= best.profit + allowed, (distance, best)


small = st.integers(10, 3000)
reserve = st.integers(10**6, 10**24)
skew = st.integers(900, 1100)


@given(st.tuples(small, small), st.tuples(small, small), st.integers(0, 10))
@settings(max_examples=60)
def test_no_input_at_all_is_better_where_all_can_be_tried(
    first: tuple[int, int], second: tuple[int, int], fee: int
) -> None:
    pools = pair(1, (0, 1), first, fee), pair(2, (0, 1), second, fee)
    cycle, best = size(*pools, window=3000)
    largest = 3 * first[0] + (0 if best is None else 2 * best.amount_in)
    most = max(profit(cycle, pools, amount) for amount in range(1, largest))
    assert (0 if best is None else best.profit) == most


@given(reserve, st.data())
@settings(max_examples=100)
def test_constant_product_cycles_of_two_and_three(depth: int, data: st.DataObject) -> None:
    scales = [data.draw(st.integers(-9, 9)) for _ in range(3)]
    hops = data.draw(st.sampled_from([2, 3]))
    pools = []
    for number in range(hops):
        ends = (0, 1) if hops == 2 else (number, (number + 1) % 3)
        reserves = [max(10, depth * 10 ** (9 + scales[end]) // 10**9) for end in ends]
        reserves[1] = reserves[1] * data.draw(skew) // 1000
        pools.append(pair(number + 1, ends, (reserves[0], reserves[1])))
    cycle, best = size(*pools)
    if best is None:
        for power in range(90):
            assert profit(cycle, pools, 2**power) <= 0
    else:
        assert_no_neighbour_is_better(cycle, pools, best)


@given(st.data())
@settings(max_examples=60)
def test_concentrated_cycles_over_many_ticks(data: st.DataObject) -> None:
    def pool(number: int, tick: int) -> ConcentratedLiquidityPool:
        positions = []
        for _ in range(data.draw(st.integers(1, 6))):
            lower = data.draw(st.integers(-40, 39)) * 10
            width = data.draw(st.integers(1, 60)) * 10
            positions.append((lower, lower + width, data.draw(st.integers(10**8, 10**24))))
        return ranged(number, (0, 1), tick, [*positions, (-5000, 5000, 10**9)])

    pools = pool(1, data.draw(st.integers(-300, 300))), pool(2, data.draw(st.integers(-300, 300)))
    cycle, best = size(*pools)
    if best is None:
        for power in range(0, 90, 3):
            assert profit(cycle, pools, 2**power) <= 0
    else:
        assert_no_neighbour_is_better(cycle, pools, best)


def test_the_optimum_of_a_concentrated_pool_may_lie_many_ticks_away() -> None:
    positions = [(-10 * n, 10 * n, ETHER * n) for n in range(1, 40)]
    far = ranged(1, (0, 1), 380, positions)
    near = ranged(2, (0, 1), -380, positions)
    cycle, best = size(far, near)
    assert best is not None
    crossings = far.walk(zero_for_one=True, amount=best.amount_in).crossings
    assert crossings > 20
    assert_no_neighbour_is_better(cycle, (far, near), best)


@given(reserve, st.integers(900, 1100), st.sampled_from([stable, weighted]))
@settings(max_examples=25)
def test_other_pools_are_bracketed(depth: int, percent: int, other: type) -> None:
    depth = max(depth, 10**12)
    constant = pair(1, (0, 1), (depth, depth * percent // 1000))
    second = other(2, (depth * 4 if other is weighted else depth, depth))
    cycle, best = size(constant, second)
    if best is None:
        for power in range(90):
            assert profit(cycle, (constant, second), 2**power) <= 0
    else:
        assert_no_neighbour_is_better(cycle, (constant, second), best)


def test_less_than_asked_for_is_nothing() -> None:
    pools = pair(1, (0, 1), (ETHER, 2 * ETHER)), pair(2, (0, 1), (ETHER, ETHER))
    cycle, best = size(*pools)
    assert best is not None
    found = best_input(cycle, by_instrument(pools), at_least=best.profit)
    assert found is not None
    assert found.profit == best.profit
    assert best_input(cycle, by_instrument(pools), at_least=best.profit + 1) is None


def test_a_pool_that_runs_dry_is_no_way_to_earn() -> None:
    """Beyond its only position the pool takes no more: the optimum stays within."""
    shallow = ranged(1, (0, 1), 0, [(-10, 10, ETHER)])
    deep = pair(2, (0, 1), (10**24, 2 * 10**24))
    back = Cycle((Hop(deep.instrument, TOKENS[0], TOKENS[1]),
                  Hop(shallow.instrument, TOKENS[1], TOKENS[0])))  # fmt: skip
    best = best_input(back, by_instrument([shallow, deep]))
    assert best is not None
    assert_no_neighbour_is_better(back, (shallow, deep), best)


def by_brute_force(pools: Sequence[Pool], hops: int, through: InstrumentId) -> set[Cycle]:
    found = set()
    for choice in permutations(pools, hops):
        if through not in [pool.instrument for pool in choice]:
            continue
        partial: list[tuple[Hop, ...]] = [()]
        for pool in choice:
            partial = [
                (*hops_so_far, Hop(pool.instrument, token_in, token_out))
                for hops_so_far in partial
                for token_in in pool.tokens
                for token_out in pool.tokens
                if token_in != token_out
                and (not hops_so_far or hops_so_far[-1].token_out == token_in)
            ]
        for cycle in partial:
            passed = [hop.token_in for hop in cycle]
            if cycle[-1].token_out == passed[0] and len(set(passed)) == hops:
                found.add(Cycle(cycle).key)
    return found


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=8), st.data())
@settings(max_examples=40)
def test_cycles_are_those_found_by_trying_everything(
    ends: list[tuple[int, int]], data: st.DataObject
) -> None:
    """While pools come, are asked about, and go again."""
    graph = PoolGraph(max_hops=4)
    present: dict[InstrumentId, Pool] = {}
    for number, (first, second) in enumerate(ends):
        if first == second:
            continue
        pool = pair(number, (first, second), (10**6, 10**6 + number))
        graph.put(pool)
        present[pool.instrument] = pool
        if data.draw(st.booleans()):
            graph.cycles_through(data.draw(st.sampled_from(sorted(present, key=repr))))
        if data.draw(st.integers(0, 3)) == 0:
            gone = data.draw(st.sampled_from(sorted(present, key=repr)))
            graph.remove(gone)
            del present[gone]
    pools = list(present.values())
    for instrument in present:
        expected = set().union(*(by_brute_force(pools, hops, instrument) for hops in (2, 3, 4)))
        found = graph.cycles_through(instrument)
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_a_pool_of_three_tokens_is_three_edges_but_one_pool() -> None:
    instrument = InstrumentId.pool(Venue.CURVE, 1, b"\x09" * 20)
    three = StableSwapPool(
        instrument, TOKENS[:3], (ETHER,) * 3, (ETHER,) * 3, 10_000, 4_000_000
    )  # fmt: skip
    others = [pair(1, (0, 1), (10**6, 10**6)), pair(2, (1, 2), (10**6, 10**6))]
    graph = PoolGraph(max_hops=3)
    graph.put(three)
    for pool in others:
        graph.put(pool)
    expected = set().union(*(by_brute_force([three, *others], hops, instrument) for hops in (2, 3)))
    assert set(graph.cycles_through(instrument)) == expected
    assert len(expected) == 6


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), skew, skew), min_size=3, max_size=9)
)
@settings(max_examples=60)
def test_no_cycle_that_earns_is_screened_out(drawn: list[tuple[int, int, int, int]]) -> None:
    graph = PoolGraph(max_hops=4)
    for number, (first, second, left, right) in enumerate(drawn):
        if first != second:
            graph.put(pair(number, (first, second), (left * 10**20, right * 10**20)))
    for instrument in graph.pools:
        candidates = set(graph.candidates([instrument]))
        for cycle in graph.cycles_through(instrument):
            if best_input(cycle, graph.pools) is not None:
                assert cycle in candidates


def test_a_pool_without_a_price_is_in_no_candidate() -> None:
    graph = PoolGraph()
    empty = pair(1, (0, 1), (0, 0))
    full = pair(2, (0, 1), (ETHER, ETHER))
    graph.put(empty)
    graph.put(full)
    assert graph.candidates([empty.instrument, full.instrument]) == []
    graph.put(pair(1, (0, 1), (ETHER, 2 * ETHER)))
    assert len(graph.candidates([empty.instrument])) == 1


def test_a_token_that_keeps_a_part_of_every_transfer_is_in_no_candidate() -> None:
    taxed = ConstantProductPool(
        pair(1, (0, 1), (1, 1)).instrument, TOKENS[0], TOKENS[1], ETHER, 2 * ETHER,
        fee_on_transfer=(TOKENS[1],),
    )  # fmt: skip
    graph = PoolGraph()
    graph.put(taxed)
    graph.put(pair(2, (0, 1), (ETHER, ETHER)))
    assert graph.candidates([taxed.instrument]) == []


def test_gas_is_priced_by_what_it_costs_to_buy() -> None:
    graph = PoolGraph()
    graph.put(pair(1, (0, 1), (10**12, 10**24)))
    graph.put(pair(2, (0, 1), (10**11, 10**24)))
    graph.put(pair(3, (0, 2), (10**12, 10**12)))
    native = TOKENS[1]
    # 1e18 wei of 1e24 for 1e11 at best, plus 0.3 % and the slippage, rounded up.
    assert price_in(graph, TOKENS[0], native, ETHER) == 100_302
    assert price_in(graph, native, native, ETHER) == ETHER
    assert price_in(graph, TOKENS[2], native, ETHER) == 100_604
    with pytest.raises(SwapError, match="gas has no price"):
        price_in(graph, TOKENS[5], native, ETHER)


def test_gas_counts_swaps_ticks_and_transfers() -> None:
    pools: list[Pool] = [
        pair(1, (0, 1), (10**6, 10**6)),
        ranged(2, (0, 1), 0, [(-10, 10, ETHER)]),
    ]
    costs = GasCosts(
        transaction=1, constant_product=10, concentrated=100, tick=1000, transfer=10**4
    )
    units = costs.units(around(*pools), by_instrument(pools), ticks=2)
    assert units == 1 + 10 + 100 + 2000 + 3 * 10**4
