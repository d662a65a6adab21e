"""What the graph names as candidates: all that earn, of all families; and nearly nothing else."""

from __future__ import annotations

import random
from fractions import Fraction
from math import prod

import msgspec
import pytest
from amm_pools import ETHER, TOKENS, around, by_instrument, pair, ranged, stable, weighted

from torq_amm import ConstantProductPool, Pool, StableSwapPool, WeightedPool
from torq_amm.arbitrage import Cycle, PoolGraph, best_input
from torq_types import InstrumentId, SwapError, Venue


def product_of_prices(cycle: Cycle, graph: PoolGraph) -> Fraction:
    """At the margin, after fees, exactly."""
    try:
        return prod(
            (graph.pools[hop.pool].spot_price(hop.token_in, hop.token_out) for hop in cycle.hops),
            start=Fraction(1),
        )
    except SwapError:
        return Fraction(0)


def market(draw: random.Random) -> list[Pool]:
    """A dozen pools of all families among four tokens, most of them near parity."""
    found: list[Pool] = []
    for number in range(1, 13):
        first, second = draw.sample(range(4), 2)
        kind = draw.randrange(5)
        depth = 10 ** draw.randrange(18, 25)
        other = depth * draw.randrange(97, 104) // 100
        if kind == 0:
            found.append(pair(number, (first, second), (depth, other), draw.randrange(4)))
        elif kind == 1:
            tick = draw.randrange(-300, 300)
            positions = [(-1000, 1000, depth), (-100, 200, depth)]
            found.append(ranged(number, (first, second), tick, positions, 100))
        elif kind == 2:
            three = [TOKENS[place] for place in draw.sample(range(4), 3)]
            instrument = InstrumentId.pool(Venue.CURVE, 1, number.to_bytes(20, "big"))
            balances = tuple(depth * draw.randrange(30, 300) // 100 for _ in three)
            found.append(
                StableSwapPool(instrument, tuple(three), balances, (ETHER,) * 3, 2000, 10**6)
            )
        elif kind == 3:
            instrument = InstrumentId.pool(Venue.BALANCER_V2, 1, number.to_bytes(32, "big"))
            found.append(
                WeightedPool(
                    instrument, (TOKENS[first], TOKENS[second]), (4 * depth, other),
                    (8 * 10**17, 2 * 10**17), 10**15,
                )
            )  # fmt: skip
        else:
            found.append(pair(number, (first, second), (draw.choice([0, 5]), 0)))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_candidates_are_the_cycles_whose_prices_multiply_to_more_than_one(seed: int) -> None:
    """Exactly, in fractions; within the margins of floating point either answer will do."""
    draw = random.Random(seed)
    graph = PoolGraph(max_hops=3)
    for pool in market(draw):
        graph.put(pool)
        # The same pool anew, at a worse price and back: what was best is not any more.
        if isinstance(pool, ConstantProductPool):
            graph.put(msgspec.structs.replace(pool, reserve1=pool.reserve1 // 2))
            graph.put(pool)
    gone = draw.choice(list(graph.pools))
    graph.remove(gone)
    assert graph.candidates([gone]) == []
    earned = 0
    for instrument in graph.pools:
        candidates = graph.candidates([instrument])
        named = set(candidates)
        assert len(named) == len(candidates)
        every = graph.cycles_through(instrument)
        assert named <= set(every)
        for cycle in every:
            worth = product_of_prices(cycle, graph)
            if worth > 1:
                assert cycle in named
            elif worth < 1 - Fraction(1, 10**5):
                assert cycle not in named
            earned += worth > 1
    assert earned > 5


@pytest.mark.parametrize("seed", range(8, 12))
def test_no_cycle_of_any_family_that_earns_is_left_out(seed: int) -> None:
    graph = PoolGraph(max_hops=3)
    for pool in market(random.Random(seed)):
        graph.put(pool)
    named = set(graph.candidates(graph.pools))
    found = {cycle for pool in graph.pools for cycle in graph.cycles_through(pool)}
    for cycle in found - named:
        for places in range(len(cycle.hops)):
            assert best_input(cycle.rotated(places), graph.pools) is None


def apart(parts: int) -> list[Pool]:
    """Two pairs without fees whose prices multiply to one less so many parts of 10**12."""
    return [
        pair(1, (0, 1), (10**30, 10**30), 0),
        pair(2, (0, 1), (10**30 - parts * 10**18, 10**30), 0),
    ]  # fmt: skip


def test_the_margin_is_a_thousand_millionth() -> None:
    """More than floating point loses, and no more: the constant is log2's, 1.44 times as much."""
    for parts, is_named in ((0, True), (500, True), (2000, False), (10**6, False)):
        graph = PoolGraph()
        for pool in apart(parts):
            graph.put(pool)
        first, second = apart(parts)
        losing = around(first, second).key
        # The other way round it earns.
        assert around(second, first).key in graph.candidates([first.instrument])
        assert (losing in graph.candidates([first.instrument])) is is_named


def test_a_stable_pool_s_price_may_be_better_than_its_slope() -> None:
    """By so much as its D is rounded: it gets a millionth, and only upwards."""
    deep = stable(1, (10**30, 10**30))
    price = deep.spot_price(TOKENS[0], TOKENS[1])
    for millionths, is_named in ((Fraction(1, 2), True), (2, False), (-1, True)):
        wanted = 1 / price * (1 - Fraction(1, 10**6) * millionths)
        other = pair(2, (0, 1), (int(10**30 * wanted), 10**30), 0)
        graph = PoolGraph()
        graph.put(deep)
        graph.put(other)
        assert (around(deep, other).key in graph.candidates([other.instrument])) is is_named


def test_candidates_follow_the_best_pool_of_a_pair() -> None:
    """Of three pools of one pair the best decides whether a way of three is looked at."""
    graph = PoolGraph(max_hops=3)
    ring = [pair(1, (0, 1), (100, 100)), pair(2, (1, 2), (100, 100)), pair(3, (2, 0), (100, 100))]
    for pool in ring:
        graph.put(pool)
    better = pair(4, (1, 2), (100, 150))
    for _ in range(2):
        assert graph.candidates([ring[0].instrument]) == []
        graph.put(better)
        assert len(graph.candidates([ring[0].instrument])) == 1
        graph.put(pair(4, (1, 2), (100, 100)))
        assert graph.candidates([ring[0].instrument]) == []
        graph.put(better)
        graph.remove(better.instrument)
    graph.put(better)
    graph.remove(ring[1].instrument)
    assert len(graph.candidates([ring[0].instrument])) == 1


def test_a_pool_whose_tokens_changed_is_another_pool() -> None:
    """Curve's registries were corrected; a pool read anew may have other tokens."""
    graph = PoolGraph(max_hops=3)
    graph.put(pair(1, (0, 1), (100, 200)))
    graph.put(pair(2, (0, 1), (100, 100)))
    assert len(graph.candidates([pair(1, (0, 1), (1, 1)).instrument])) == 1
    moved = pair(1, (2, 3), (100, 200))
    graph.put(moved)
    assert graph.candidates([moved.instrument]) == []
    assert graph.cycles_through(moved.instrument) == []
    assert [hop.pool for hop in graph.between(TOKENS[0], TOKENS[1])] == [
        pair(2, (0, 1), (1, 1)).instrument
    ]
    assert [hop.pool for hop in graph.between(TOKENS[2], TOKENS[3])] == [moved.instrument]
    # In the other order it is another one too: its reserves belong to other tokens.
    graph.put(pair(2, (2, 3), (100, 100)))
    turned = pair(2, (3, 2), (100, 100))
    graph.put(turned)
    (cycle,) = graph.candidates([turned.instrument])
    assert by_instrument([moved, turned]) == graph.pools
    assert best_input(cycle.rotated(0), graph.pools) is not None


def test_neighbours_and_what_lies_between() -> None:
    graph = PoolGraph()
    assert list(graph.neighbours(TOKENS[0])) == []
    assert graph.between(TOKENS[0], TOKENS[1]) == []
    graph.put(pair(1, (0, 1), (100, 200)))
    graph.put(pair(2, (2, 0), (100, 100)))
    assert list(graph.neighbours(TOKENS[0])) == [TOKENS[1], TOKENS[2]]
    assert list(graph.neighbours(TOKENS[1])) == [TOKENS[0]]
    (hop,) = graph.between(TOKENS[0], TOKENS[2])
    assert (hop.token_in, hop.token_out) == (TOKENS[0], TOKENS[2])
    assert graph.between(TOKENS[1], TOKENS[2]) == []
    assert graph.between(TOKENS[1], TOKENS[5]) == []
    graph.remove(pair(1, (0, 1), (1, 1)).instrument)
    graph.remove(pair(1, (0, 1), (1, 1)).instrument)
    assert list(graph.neighbours(TOKENS[0])) == [TOKENS[2]]
    assert graph.between(TOKENS[0], TOKENS[1]) == []
    # Whichever of its tokens a pool names first, its pair is the same, and goes with the last.
    for tokens in ((0, 1), (1, 0), (1, 0)):
        graph.put(pair(1, tokens, (100, 200)))
        assert len(graph.between(TOKENS[1], TOKENS[0])) == 1
        graph.remove(pair(1, (0, 1), (1, 1)).instrument)
        assert graph.between(TOKENS[1], TOKENS[0]) == []
        assert list(graph.neighbours(TOKENS[1])) == []


def test_how_long_cycles_may_be() -> None:
    ring = [pair(n + 1, (n, (n + 1) % 4), (100, 200)) for n in range(4)]
    for max_hops, count in ((2, 0), (3, 0), (4, 2)):
        graph = PoolGraph(max_hops)
        assert graph.max_hops == max_hops
        for pool in ring:
            graph.put(pool)
        assert len(graph.cycles_through(ring[0].instrument)) == count
        # Each way round is one; only one of the two earns.
        assert len(graph.candidates([pool.instrument for pool in ring])) == count // 2
    assert PoolGraph().max_hops == 3


def test_many_pairs_at_once() -> None:
    """More than the arrays begin with; a pool that comes last is weighed like the first."""
    graph = PoolGraph()
    pools = []
    for number in range(90):
        tokens = TOKENS[0], InstrumentId.token(1, number.to_bytes(20, "big"))
        instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, number.to_bytes(20, "big"))
        pools.append(ConstantProductPool(instrument, *tokens, 10**6, 2 * 10**6))
        graph.put(pools[-1])
    for pool in pools[::13]:
        other = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\xff" + pool.instrument.body[1:])
        graph.put(msgspec.structs.replace(pool, instrument=other, reserve1=10**6))
        assert len(graph.candidates([other])) == 1
    assert weighted(1, (5, 0)).price == 0


def test_a_pool_that_pays_nothing_is_in_no_candidate() -> None:
    """A weighted pool with an empty side has a price of zero, which has no logarithm."""
    graph = PoolGraph()
    graph.put(weighted(1, (10**18, 0)))
    graph.put(pair(2, (0, 1), (10**18, 10**18)))
    assert graph.candidates(list(graph.pools)) == []
    assert len(graph.cycles_through(weighted(1, (1, 1)).instrument)) == 2
