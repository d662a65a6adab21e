"""Pools made in a line, for tests of the mathematics and of what searches among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    WeightedPool,
)
from torq_amm.arbitrage import Cycle, Hop, Sizing, best_input
from torq_amm.concentrated import get_sqrt_ratio_at_tick
from torq_types import TLV, InstrumentId, SwapError, Venue

ETHER = 10**18
TOKENS = tuple(InstrumentId.token(1, bytes([number]) * 20) for number in range(1, 8))

T = TypeVar("T", bound=TLV)
_HASHES = "block_hash", "transaction_hash"
_ADDRESSES = "sender", "recipient", "owner", "account"


def event(kind: type[T], /, **fields: Any) -> T:
    """What a pool logged; fields that are left out are zero, and the pool any."""
    zero: dict[str, Any] = dict.fromkeys(kind.__struct_fields__, 0)
    zero |= dict.fromkeys(_HASHES, bytes(32)) | dict.fromkeys(_ADDRESSES, bytes(20))
    zero["pool"] = InstrumentId.pool(Venue.UNISWAP_V3, 1, bytes(20))
    optional = kind.__struct_fields__[len(kind.__struct_fields__) - len(kind.__struct_defaults__) :]
    required = [name for name in kind.__struct_fields__ if name not in optional]
    return kind(**{name: zero[name] for name in required} | fields)


def pair(
    number: int, tokens: tuple[int, int], reserves: tuple[int, int], fee: int = 3
) -> ConstantProductPool:
    """A constant-product pool with a fee of so many thousandths."""
    instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, number.to_bytes(20, "big"))
    first, second = (TOKENS[token] for token in tokens)
    return ConstantProductPool(instrument, first, second, *reserves, 1000 - fee, 1000)


def ranged(
    number: int,
    tokens: tuple[int, int],
    tick: int,
    positions: Sequence[tuple[int, int, int]],
    fee_pips: int = 500,
) -> ConcentratedLiquidityPool:
    """A concentrated pool at the price of ``tick``, with positions of (lower, upper, liquidity)."""
    net: dict[int, int] = {}
    liquidity = 0
    for lower, upper, amount in positions:
        net[lower] = net.get(lower, 0) + amount
        net[upper] = net.get(upper, 0) - amount
        liquidity += amount if lower <= tick < upper else 0
    instrument = InstrumentId.pool(Venue.UNISWAP_V3, 1, number.to_bytes(20, "big"))
    return ConcentratedLiquidityPool(
        instrument, TOKENS[tokens[0]], TOKENS[tokens[1]], fee_pips, 10,
        get_sqrt_ratio_at_tick(tick), tick, liquidity, net,
    )  # fmt: skip


def stable(number: int, balances: tuple[int, int]) -> StableSwapPool:
    """Two tokens near parity."""
    instrument = InstrumentId.pool(Venue.CURVE, 1, number.to_bytes(20, "big"))
    return StableSwapPool(instrument, TOKENS[:2], balances, (ETHER, ETHER), 10_000, 4_000_000)


def weighted(number: int, balances: tuple[int, int]) -> WeightedPool:
    """Four to one."""
    instrument = InstrumentId.pool(Venue.BALANCER_V2, 1, number.to_bytes(32, "big"))
    weights = 8 * 10**17, 2 * 10**17
    return WeightedPool(instrument, TOKENS[:2], balances, weights, 3 * 10**15)


def around(*pools: Pool) -> Cycle:
    """Through the pools in order, each time on to the token that the next one shares."""
    hops, token = [], TOKENS[0]
    for pool in pools:
        following = next(other for other in pool.tokens if other != token)
        hops.append(Hop(pool.instrument, token, following))
        token = following
    assert token == TOKENS[0]
    return Cycle(tuple(hops))


def profit(cycle: Cycle, pools: Sequence[Pool], amount_in: int) -> int:
    """What an input earns; a swap that reverts earns nothing, and loses nothing."""
    try:
        return cycle.amounts(by_instrument(pools), amount_in)[-1] - amount_in
    except SwapError:
        return 0


def by_instrument(pools: Sequence[Pool]) -> dict[InstrumentId, Pool]:
    return {pool.instrument: pool for pool in pools}


def size(*pools: Pool, window: int = 8) -> tuple[Cycle, Sizing | None]:
    cycle = around(*pools)
    return cycle, best_input(cycle, by_instrument(pools), window=window)
