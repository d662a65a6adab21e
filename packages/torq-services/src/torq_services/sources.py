"""The source numbers of Torq's own services, part of every message's header."""

from __future__ import annotations

from typing import Final

from torq_types import Venue

__all__ = ["CROSS_EXCHANGE", "DEMO", "PAPER_EXECUTION", "adapter_source"]

CROSS_EXCHANGE: Final = 1001
PAPER_EXECUTION: Final = 2001
DEMO: Final = 9001


def adapter_source(venue: Venue) -> int:
    """An adapter's source is its venue's number."""
    return int(venue)
