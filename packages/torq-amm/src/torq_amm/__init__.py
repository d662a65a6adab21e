"""Pool mathematics on integers only: what the contracts compute, to the last unit."""

from torq_amm.concentrated import ConcentratedLiquidityPool, LiquidityResult
from torq_amm.constant_product import ConstantProductPool, get_amount_in, get_amount_out
from torq_amm.stable_swap import StableSwapPool
from torq_amm.swapping import Pool, SwapResult
from torq_amm.weighted import WeightedPool

__all__ = [
    "ConcentratedLiquidityPool",
    "ConstantProductPool",
    "LiquidityResult",
    "Pool",
    "StableSwapPool",
    "SwapResult",
    "WeightedPool",
    "get_amount_in",
    "get_amount_out",
]
