"""Strategies: from the market's state to signals."""

from __future__ import annotations

from torq_services.strategies.base import Strategy
from torq_services.strategies.cross_exchange import CrossExchange, CrossExchangeLimits
from torq_services.strategies.crossing import Crossing, Leg, best_crossing
from torq_services.strategies.opportunities import Opportunities, Pair

__all__ = [
    "CrossExchange",
    "CrossExchangeLimits",
    "Crossing",
    "Leg",
    "Opportunities",
    "Pair",
    "Strategy",
    "best_crossing",
]
