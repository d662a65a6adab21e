"""Gas: its units for every family, and its price in the token of the profit."""

from __future__ import annotations

import pytest
from amm_pools import TOKENS, around, by_instrument, pair, ranged, stable, weighted

from torq_amm import Pool, WeightedPool
from torq_amm.arbitrage import GasCosts, PoolGraph, price_in
from torq_types import InstrumentId, SwapError, Venue

FAMILIES: tuple[Pool, ...] = (
    pair(1, (0, 1), (10**6, 10**6)), ranged(2, (0, 1), 0, [(-10, 10, 10**6)]),
    stable(3, (10**6, 10**6)), weighted(4, (10**6, 10**6)),
)  # fmt: skip


def test_units_of_every_family() -> None:
    costs = GasCosts(
        transaction=1, constant_product=10, concentrated=100, tick=1000, stable_swap=10**4,
        weighted=10**5, transfer=10**6,
    )  # fmt: skip
    pools = by_instrument(FAMILIES)
    assert costs.units(around(*FAMILIES), pools) == 5_110_111
    assert costs.units(around(*FAMILIES), pools, ticks=7) == 5_117_111
    assert costs.units(around(*FAMILIES[:2]), pools, ticks=1) == 3_001_111
    assert costs.units(around(*FAMILIES[2:]), pools) == 3_110_001


def test_units_when_nothing_was_measured() -> None:
    """The defaults, added up by hand, in 1000: 50 + 60 + 90 + 120 + 110 and five times 35."""
    pools = by_instrument(FAMILIES)
    assert GasCosts().units(around(*FAMILIES), pools) == 605_000
    assert GasCosts().units(around(*FAMILIES), pools, ticks=3) == 680_000
    assert GasCosts().units(around(FAMILIES[0], FAMILIES[3]), pools) == 325_000
    assert GasCosts().units(around(FAMILIES[1], FAMILIES[2]), pools) == 365_000


def test_the_cheapest_pool_decides() -> None:
    """By hand: a thousand of the native token out of pools without fees, rounded up."""
    graph = PoolGraph()
    native = TOKENS[1]
    for pool in (
        pair(1, (0, 1), (10**9, 10**9), 0), pair(2, (0, 1), (9 * 10**8, 10**9), 0),
        pair(3, (0, 1), (95 * 10**7, 10**9), 0), pair(4, (0, 1), (1, 500), 0),
    ):  # fmt: skip
        graph.put(pool)
    # 9e8 * 1000 / (1e9 - 1000) = 900.0009; the shallow pool does not have as much.
    assert price_in(graph, TOKENS[0], native, 1000) == 901
    graph.remove(pair(2, (0, 1), (1, 1)).instrument)
    assert price_in(graph, TOKENS[0], native, 1000) == 951


def test_over_one_token_between_in_the_right_direction() -> None:
    """Five of B for one of the native token, ten of A for one of B, each rounded up.

    By hand: 5e9 * 1000 / (1e9 - 1000) = 5000.005, and 1e10 * 5001 / (1e9 - 5001) = 50010.3.
    """
    graph = PoolGraph()
    token, middle, native = TOKENS[:3]
    graph.put(pair(1, (0, 1), (10**10, 10**9), 0))
    graph.put(pair(2, (1, 2), (5 * 10**9, 10**9), 0))
    assert price_in(graph, token, native, 1000) == 50_011
    assert price_in(graph, middle, native, 1000) == 5_001
    # A second way, at forty: it is the better one.
    graph.put(pair(3, (0, 3), (8 * 10**9, 10**9), 0))
    graph.put(pair(4, (3, 2), (5 * 10**9, 10**9), 0))
    assert price_in(graph, token, native, 1000) == 40_009
    # One whose first half is missing does not matter.
    graph.put(pair(5, (4, 2), (10**9, 10**9), 0))
    assert price_in(graph, token, native, 1000) == 40_009


def test_a_price_needs_a_way() -> None:
    graph = PoolGraph()
    native = TOKENS[1]
    for token in (TOKENS[0], TOKENS[3]):
        with pytest.raises(SwapError, match="no price"):
            price_in(graph, token, native, 1000)
    graph.put(pair(1, (0, 1), (10, 10)))
    with pytest.raises(SwapError, match="no price"):
        price_in(graph, TOKENS[0], native, 1000)
    assert price_in(graph, TOKENS[3], native, 0) == 0
    assert price_in(graph, native, native, 5) == 5
    assert price_in(graph, TOKENS[0], native, 1) == 2


def test_a_pool_of_three_tokens_prices_each_of_them() -> None:
    three = WeightedPool(
        InstrumentId.pool(Venue.BALANCER_V2, 1, bytes(32)), TOKENS[:3],
        (10**24, 2 * 10**24, 4 * 10**24), (4 * 10**17, 4 * 10**17, 2 * 10**17), 0,
    )  # fmt: skip
    graph = PoolGraph()
    graph.put(three)
    # 2/5 of the worth in 1, 2/5 in 2 and 1/5 in 4 units: the first is worth 2 and 8 of the others.
    assert abs(price_in(graph, TOKENS[0], TOKENS[1], 10**18) - 5 * 10**17) < 10**13
    assert abs(price_in(graph, TOKENS[1], TOKENS[0], 10**18) - 2 * 10**18) < 10**13
    assert abs(price_in(graph, TOKENS[2], TOKENS[0], 10**18) - 8 * 10**18) < 10**14
