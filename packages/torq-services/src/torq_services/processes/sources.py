"""The source numbers of Torq's own services, part of every message's header."""

from __future__ import annotations

from typing import Final

from torq_types import Venue

__all__ = [
    "CROSS_EXCHANGE",
    "DEMO",
    "FLASH_ARBITRAGE",
    "PAPER_EXECUTION",
    "adapter_source",
    "chain_source",
]

CROSS_EXCHANGE: Final = 1001
FLASH_ARBITRAGE: Final = 1002
PAPER_EXECUTION: Final = 2001
DEMO: Final = 9001


_FIRST_CHAIN: Final = 500


def adapter_source(venue: Venue) -> int:
    """An adapter's source is its venue's number."""
    return int(venue)


def chain_source(place: int) -> int:
    """A chain's source, by its place in the configuration, from 0."""
    return _FIRST_CHAIN + place
