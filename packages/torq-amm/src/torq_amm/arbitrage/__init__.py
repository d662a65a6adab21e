"""Arbitrage among pools: which cycles a change touches, and the input that earns most."""

from torq_amm.arbitrage.costs import GasCosts, price_in
from torq_amm.arbitrage.cycles import Cycle, Hop
from torq_amm.arbitrage.graph import PoolGraph
from torq_amm.arbitrage.sizing import Sizing, best_input

__all__ = ["Cycle", "GasCosts", "Hop", "PoolGraph", "Sizing", "best_input", "price_in"]
