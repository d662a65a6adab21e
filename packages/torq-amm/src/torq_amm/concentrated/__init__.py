"""Concentrated liquidity, in files that mirror Uniswap V3's own libraries."""

from torq_amm.concentrated.liquidity import amounts_for_liquidity, liquidity_for_amounts
from torq_amm.concentrated.pool import ConcentratedLiquidityPool, LiquidityResult
from torq_amm.concentrated.sqrt_price import (
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)
from torq_amm.concentrated.swap import compute_swap_step
from torq_amm.concentrated.ticks import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
)

__all__ = [
    "MAX_SQRT_RATIO",
    "MAX_TICK",
    "MIN_SQRT_RATIO",
    "MIN_TICK",
    "ConcentratedLiquidityPool",
    "LiquidityResult",
    "amounts_for_liquidity",
    "compute_swap_step",
    "get_amount0_delta",
    "get_amount1_delta",
    "get_next_sqrt_price_from_input",
    "get_next_sqrt_price_from_output",
    "get_sqrt_ratio_at_tick",
    "get_tick_at_sqrt_ratio",
    "liquidity_for_amounts",
]
