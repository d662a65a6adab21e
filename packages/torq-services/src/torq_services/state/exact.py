"""Exact amounts: the unit of fees, and comparing across scales."""

from __future__ import annotations

from typing import Final

from torq_types import Decimal64

__all__ = ["PIPS", "compare"]

PIPS: Final = 1_000_000
"""Fee rates count hundredths of a basis point: a million of them is the whole."""


def compare(amount: int, exponent: int, limit: Decimal64) -> int:
    """The sign of ``amount * 10**exponent - limit``: -1, 0 or 1, exactly."""
    common = min(exponent, limit.exponent)
    one = int(amount * 10 ** (exponent - common))
    other = int(limit.mantissa * 10 ** (limit.exponent - common))
    return (one > other) - (one < other)
