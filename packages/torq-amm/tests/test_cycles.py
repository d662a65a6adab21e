"""Cycles as values, and what one hop quotes: the whole input, and the least that buys so much."""

from __future__ import annotations

import random

import pytest
from amm_pools import ETHER, TOKENS, around, by_instrument, pair, ranged, stable, weighted

from torq_amm import Pool, StableSwapPool, WeightedPool
from torq_amm.arbitrage import Cycle, Hop, Sizing
from torq_amm.arbitrage.cycles import quote_exact_in, quote_exact_out
from torq_types import InstrumentId, SwapError, Venue

THREE = (
    pair(9, (0, 1), (10**6, 2 * 10**6)),
    pair(5, (1, 2), (10**6, 10**6)),
    pair(7, (2, 0), (10**6, 10**6)),
)


def test_a_cycle_and_its_rotations() -> None:
    cycle = around(*THREE)
    first, second, third = cycle.hops
    assert cycle.profit_token == TOKENS[0]
    assert cycle.rotated(0) is cycle
    assert cycle.rotated(1).hops == (second, third, first)
    assert cycle.rotated(2).hops == (third, first, second)
    assert cycle.rotated(1).profit_token == TOKENS[1]
    # Pool 5 is the least of 9, 5 and 7.
    assert cycle.key.hops == (second, third, first)
    assert {cycle.rotated(places).key for places in range(3)} == {cycle.key}


def test_venues_come_before_addresses_in_a_key() -> None:
    """Uniswap V2 has a lower number than V3, whatever the address."""
    v3, v2 = ranged(1, (0, 1), 0, [(-10, 10, 5)]), pair(2, (0, 1), (5, 5))
    assert Venue.UNISWAP_V2 < Venue.UNISWAP_V3
    assert around(v3, v2).key.hops[0].pool == v2.instrument


def test_a_cycle_begins_with_the_most_welcome_token() -> None:
    cycle = around(*THREE)
    for tokens, expected in (
        ((TOKENS[2], TOKENS[0]), TOKENS[2]), ((TOKENS[5], TOKENS[1]), TOKENS[1]),
        ((TOKENS[0],), TOKENS[0]),
    ):  # fmt: skip
        begun = cycle.starting_with(tokens)
        assert begun is not None
        assert begun.profit_token == expected
        assert begun.key == cycle.key
    assert cycle.starting_with((TOKENS[5],)) is None
    assert cycle.starting_with(()) is None


def test_what_a_sizing_says() -> None:
    """By hand: 997 * 1000 * 2e6 / (1e9 + 997 * 1000) = 1992.01, and so on."""
    cycle = around(*THREE)
    amounts = cycle.amounts(by_instrument(THREE), 1000)
    assert amounts == (1000, 1992, 1982, 1972)
    sizing = Sizing(cycle, amounts)
    assert (sizing.amount_in, sizing.amount_out, sizing.profit) == (1000, 1972, 972)


SINGLE: tuple[Pool, ...] = (
    pair(1, (0, 1), (1000, 3000)), pair(1, (0, 1), (3 * 10**6, 1000)),
    pair(1, (0, 1), (5000, 5000), 0), ranged(2, (0, 1), 3000, [(-6000, 6000, 3000)]),
    ranged(2, (0, 1), -2000, [(-6000, 6000, 3000), (-2100, -1900, 10**4)], 100),
    stable(3, (1000, 3000)), weighted(4, (4000, 1000)),
)  # fmt: skip


@pytest.mark.parametrize("index", range(len(SINGLE)))
@pytest.mark.parametrize("side", [0, 1])
def test_a_quote_is_the_least_input_that_buys_so_much(index: int, side: int) -> None:
    """By trying every input. A weighted pool's own answer is rounded up, twice."""
    pool = SINGLE[index]
    hop = Hop(pool.instrument, TOKENS[side], TOKENS[1 - side])
    bought: dict[int, int] = {}
    for amount_in in range(1, 800):
        try:
            bought[amount_in] = quote_exact_in(pool, hop, amount_in)
        except SwapError:
            continue
    most = max(bought.values(), default=0)
    draw = random.Random(f"{index} {side}")
    for amount_out in {draw.randint(1, max(1, most)) for _ in range(25)}:
        least = min((a for a, out in bought.items() if out >= amount_out), default=None)
        if least is None:
            continue
        allowed = 0
        if isinstance(pool, WeightedPool):
            allowed = 3
            if amount_out > pool.balances[1 - side] * 3 // 10:
                continue  # the contract does not sell so much when it is asked for the output
        quoted = quote_exact_out(pool, hop, amount_out)
        assert least <= quoted <= least + allowed


@pytest.mark.parametrize("index", range(len(SINGLE)))
def test_a_quote_is_what_the_swap_pays(index: int) -> None:
    pool = SINGLE[index]
    for side in (0, 1):
        hop = Hop(pool.instrument, TOKENS[side], TOKENS[1 - side])
        for amount in (50, 199):
            try:
                paid = pool.swap_exact_in(hop.token_in, amount).amount_out
            except SwapError:
                continue
            assert quote_exact_in(pool, hop, amount) == paid


def test_a_pool_that_runs_dry_quotes_nothing() -> None:
    """Beyond its range the pool would take and pay a part only."""
    pool = ranged(1, (0, 1), 0, [(-10, 10, ETHER)])
    hop = Hop(pool.instrument, TOKENS[0], TOKENS[1])
    whole = pool.swap_exact_in(TOKENS[0], ETHER)
    assert quote_exact_in(pool, hop, whole.amount_in) == whole.amount_out
    with pytest.raises(SwapError, match="runs dry: it takes"):
        quote_exact_in(pool, hop, whole.amount_in + 1)
    assert quote_exact_out(pool, hop, whole.amount_out) <= whole.amount_in
    with pytest.raises(SwapError, match="runs dry: it pays"):
        quote_exact_out(pool, hop, whole.amount_out + 1)


@pytest.mark.parametrize("pool", SINGLE)
def test_nothing_is_quoted_for_nothing(pool: Pool) -> None:
    hop = Hop(pool.instrument, TOKENS[0], TOKENS[1])
    for amount in (0, -1):
        with pytest.raises(SwapError, match="above 0"):
            quote_exact_in(pool, hop, amount)
        with pytest.raises(SwapError, match="above 0"):
            quote_exact_out(pool, hop, amount)


def test_the_token_wanted_is_the_hop_s() -> None:
    """In a pool of three tokens each pair of them is another swap."""
    three = StableSwapPool(
        InstrumentId.pool(Venue.CURVE, 1, bytes(20)), TOKENS[:3], (10**9, 5 * 10**9, 10**9),
        (10**27,) * 3, 1000, 0,
    )  # fmt: skip
    for first in range(3):
        for second in range(3):
            if first == second:
                continue
            hop = Hop(three.instrument, TOKENS[first], TOKENS[second])
            bought = three.swap_exact_in(TOKENS[first], 10**8, TOKENS[second]).amount_out
            assert quote_exact_in(three, hop, 10**8) == bought
            assert 0 <= 10**8 - quote_exact_out(three, hop, bought) <= 3
    quotes = [
        quote_exact_in(three, Hop(three.instrument, TOKENS[0], t), 10**8) for t in TOKENS[1:3]
    ]
    assert quotes[0] > quotes[1]


def test_cycles_of_the_same_hops_are_the_same() -> None:
    assert around(*THREE) == around(*THREE)
    assert len({around(*THREE), around(*THREE).rotated(1), around(*THREE).key}) == 2
    assert isinstance(around(*THREE), Cycle)
