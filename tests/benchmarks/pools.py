"""Pools for the benchmarks: ranges to cross, and a market of many with power-law degrees."""

from __future__ import annotations

import random
from math import isqrt

from torq_amm import ConcentratedLiquidityPool, ConstantProductPool, Pool
from torq_amm.arbitrage import PoolGraph
from torq_amm.concentrated import get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio
from torq_types import InstrumentId, Venue

__all__ = ["CROSSINGS", "E18", "constant", "crossing_amount", "market", "ranged", "swapped"]

E18 = 10**18
CROSSINGS = (1, 20)
_TOKENS = InstrumentId.token(1, b"\x01" * 20), InstrumentId.token(1, b"\x02" * 20)


def constant() -> ConstantProductPool:
    """About a million dollars of ether."""
    instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\x03" * 20)
    return ConstantProductPool(instrument, *_TOKENS, 400 * E18, 1_000_000 * 10**6)


def ranged() -> ConcentratedLiquidityPool:
    """Positions of ever more ticks around a price of one."""
    ticks: dict[int, int] = {}
    for width in range(1, 60):
        for tick, sign in ((-10 * width, 1), (10 * width, -1)):
            ticks[tick] = ticks.get(tick, 0) + sign * 1000 * E18
    instrument = InstrumentId.pool(Venue.UNISWAP_V3, 1, b"\x04" * 20)
    return ConcentratedLiquidityPool(
        instrument, *_TOKENS, 500, 10, 1 << 96, 0, 59 * 1000 * E18, ticks
    )


def crossing_amount(pool: ConcentratedLiquidityPool, crossings: int) -> int:
    """An input that crosses so many initialised ticks."""
    amount = E18
    while pool.walk(zero_for_one=True, amount=amount).crossings < crossings:
        amount = amount * 9 // 8
    return amount


def market(count: int, seed: int = 1) -> PoolGraph:
    """``count`` pools, three in ten concentrated; new tokens prefer those that have many pools.

    Every pool stands at its tokens' worth, give or take a fifth of a percent: less than the fees.
    """
    draw = random.Random(seed)
    worth = [10**18]
    ends: list[int] = [0]
    """A token for every pool that it is in: drawing from it is preferential attachment."""
    graph = PoolGraph(3)
    for number in range(count):
        first = draw.choice(ends)
        if draw.random() < 0.3 or len(worth) < 3:
            second = len(worth)
            worth.append(10 ** draw.randrange(14, 22))
        else:
            second = draw.choice(ends)
            while second == first:
                second = draw.randrange(len(worth))
        ends += (first, second)
        graph.put(_pool(number, first, second, worth, draw))
    return graph


def swapped(pool: Pool, draw: random.Random) -> Pool:
    """The pool after a swap, most of them small."""
    side = draw.randrange(2)
    if isinstance(pool, ConstantProductPool):
        depth = (pool.reserve0, pool.reserve1)[side]
    else:
        assert isinstance(pool, ConcentratedLiquidityPool)
        price, liquidity = pool.sqrt_price_x96, pool.liquidity
        depth = ((liquidity << 96) // price, liquidity * price >> 96)[side]
    amount = max(1000, depth // 2 ** draw.randrange(6, 16))
    return pool.swap_exact_in(pool.tokens[side], amount).pool_after


def _pool(number: int, first: int, second: int, worth: list[int], draw: random.Random) -> Pool:
    tokens = [InstrumentId.token(1, token.to_bytes(20, "big")) for token in (first, second)]
    value = 10 ** draw.randrange(20, 25) * draw.randrange(1, 10)
    reserves = [value * E18 // worth[token] for token in (first, second)]
    reserves[1] = reserves[1] * draw.randrange(998_000, 1_002_000) // 1_000_000
    body = number.to_bytes(20, "big")
    if draw.random() < 0.7:
        instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, body)
        return ConstantProductPool(instrument, tokens[0], tokens[1], *reserves)
    price = isqrt((reserves[1] << 192) // reserves[0])
    tick = get_tick_at_sqrt_ratio(price)
    liquidity = isqrt(reserves[0] * reserves[1])
    net: dict[int, int] = {}
    inside = 0
    for width in range(1, 11):
        lower, upper = ((tick + sign * 60 * width) // 60 * 60 for sign in (-1, 1))
        net[lower] = net.get(lower, 0) + liquidity
        net[upper] = net.get(upper, 0) - liquidity
        inside += liquidity if lower <= tick < upper else 0
    assert price >= get_sqrt_ratio_at_tick(tick)
    return ConcentratedLiquidityPool(
        InstrumentId.pool(Venue.UNISWAP_V3, 1, body), tokens[0], tokens[1], 3000, 60, price, tick,
        inside, net,
    )  # fmt: skip
