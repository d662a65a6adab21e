"""What an adapter counts."""

from __future__ import annotations

import msgspec

__all__ = ["AdapterCounters"]


class AdapterCounters(msgspec.Struct):
    """What an adapter has seen; travels in its SystemHealth."""

    frames: int = 0
    trades: int = 0
    quotes: int = 0
    unknown_messages: int = 0
    refusals: int = 0
    """Requests that the exchange answered with an error."""
    malformed: int = 0
    precision_errors: int = 0
    sequence_gaps: int = 0
    checksum_failures: int = 0
    audits: int = 0
    doubts: int = 0
    """Books declared stale."""
