"""Arbitrage among pools: which cycles a change touches, and the input that earns most."""

from torq_amm.arbitrage.costs import GasCosts, price_in
from torq_amm.arbitrage.cycles import Cycle, Hop, Sizing
from torq_amm.arbitrage.graph import PoolGraph
from torq_amm.arbitrage.sizing import Estimate, best_input, estimate, refine

__all__ = [
    "Cycle",
    "Estimate",
    "GasCosts",
    "Hop",
    "PoolGraph",
    "Sizing",
    "best_input",
    "estimate",
    "price_in",
    "refine",
]
