"""Loopback exchanges and an EVM node, in the real wire formats: for sample mode and for tests."""

from __future__ import annotations

from starlette.applications import Starlette

from torq_services.venues.coinbase import CoinbaseVenue
from torq_services.venues.evm_node import EvmNode
from torq_services.venues.gemini import GeminiVenue
from torq_services.venues.scenario import load_scenario
from torq_services.venues.session import load_session
from torq_types import Decimal64

__all__ = ["CoinbaseVenue", "EvmNode", "GeminiVenue", "load_scenario", "load_session", "sample_app"]


def sample_app(speed: str = "1") -> Starlette:
    """All that sample mode connects to; ``speed`` is a decimal, such as ``"2.5"``."""
    factor = Decimal64.parse(speed)
    times = (factor.scaled(min(factor.exponent, 0)), 10 ** -min(factor.exponent, 0))
    venues = (
        CoinbaseVenue(load_session("coinbase_advanced_2026-08"), *times),
        GeminiVenue(load_session("gemini_2026-08"), *times),
    )
    node = EvmNode(load_scenario(), *times)
    return Starlette(routes=[route for part in (*venues, node) for route in part.routes()])
