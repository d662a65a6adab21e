"""Positions: what liquidity costs, and what an amount buys of it.

Source: Uniswap V3's ``UniswapV3Pool._modifyPosition`` and the periphery's ``LiquidityAmounts``.
"""

from __future__ import annotations

from torq_amm.concentrated.sqrt_price import Q96, get_amount0_delta, get_amount1_delta
from torq_amm.concentrated.ticks import get_sqrt_ratio_at_tick
from torq_amm.integers import MAX_UINT128, checked

__all__ = ["amounts_for_liquidity", "liquidity_for_amounts"]


def amounts_for_liquidity(
    sqrt_price_x96: int, tick: int, tick_lower: int, tick_upper: int, liquidity: int, round_up: bool
) -> tuple[int, int]:
    """Token 0 and token 1 in a position, in smallest units: up for a mint, down for a burn.

    ``tick`` decides which side of the range the price is on, as in the contract.
    """
    lower, upper = get_sqrt_ratio_at_tick(tick_lower), get_sqrt_ratio_at_tick(tick_upper)
    if tick < tick_lower:
        return get_amount0_delta(lower, upper, liquidity, round_up), 0
    if tick >= tick_upper:
        return 0, get_amount1_delta(lower, upper, liquidity, round_up)
    return (
        get_amount0_delta(sqrt_price_x96, upper, liquidity, round_up),
        get_amount1_delta(lower, sqrt_price_x96, liquidity, round_up),
    )


def liquidity_for_amounts(
    sqrt_price_x96: int, tick_lower: int, tick_upper: int, amount0: int, amount1: int
) -> int:
    """The most liquidity that the two amounts (smallest units) pay for.

    Source: ``LiquidityAmounts.getLiquidityForAmounts``.
    """
    lower, upper = get_sqrt_ratio_at_tick(tick_lower), get_sqrt_ratio_at_tick(tick_upper)
    if sqrt_price_x96 <= lower:
        return _for_amount0(lower, upper, amount0)
    if sqrt_price_x96 >= upper:
        return _for_amount1(lower, upper, amount1)
    return min(
        _for_amount0(sqrt_price_x96, upper, amount0), _for_amount1(lower, sqrt_price_x96, amount1)
    )


def _for_amount0(lower: int, upper: int, amount0: int) -> int:
    intermediate = lower * upper // Q96
    return checked(amount0 * intermediate // (upper - lower), MAX_UINT128)


def _for_amount1(lower: int, upper: int, amount1: int) -> int:
    return checked(amount1 * Q96 // (upper - lower), MAX_UINT128)
