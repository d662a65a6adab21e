"""Strategies: from the market's state to signals."""

from __future__ import annotations

from torq_services.strategies.base import Strategy
from torq_services.strategies.cross_exchange import CrossExchange, CrossExchangeLimits, Pair
from torq_services.strategies.crossing import Crossing, Leg, best_crossing
from torq_services.strategies.flash_arbitrage import (
    ChainLimits,
    FlashArbitrage,
    FlashArbitrageLimits,
)
from torq_services.strategies.opportunities import Opportunities, Stage

__all__ = [
    "ChainLimits",
    "CrossExchange",
    "CrossExchangeLimits",
    "Crossing",
    "FlashArbitrage",
    "FlashArbitrageLimits",
    "Leg",
    "Opportunities",
    "Pair",
    "Stage",
    "Strategy",
    "best_crossing",
]
