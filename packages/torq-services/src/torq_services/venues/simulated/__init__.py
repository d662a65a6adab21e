"""Simulated exchanges in their own wire formats, with a fault script: for tests and trials."""

from __future__ import annotations

from torq_services.venues.simulated.binance import SimulatedBinance
from torq_services.venues.simulated.coinbase import SimulatedCoinbase
from torq_services.venues.simulated.faults import Fault, FaultLine, fault_plan
from torq_services.venues.simulated.gemini import SimulatedGemini
from torq_services.venues.simulated.kraken import SimulatedKraken
from torq_services.venues.simulated.market import BookState, Market, SimulatedInstrument
from torq_services.venues.simulated.venue import SimulatedVenue

__all__ = [
    "BookState",
    "Fault",
    "FaultLine",
    "Market",
    "SimulatedBinance",
    "SimulatedCoinbase",
    "SimulatedGemini",
    "SimulatedInstrument",
    "SimulatedKraken",
    "SimulatedVenue",
    "fault_plan",
]
