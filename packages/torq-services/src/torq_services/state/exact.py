"""Comparing exact amounts of different scales."""

from __future__ import annotations

from torq_types import Decimal64

__all__ = ["compare"]


def compare(amount: int, exponent: int, limit: Decimal64) -> int:
    """The sign of ``amount * 10**exponent - limit``: -1, 0 or 1, exactly."""
    common = min(exponent, limit.exponent)
    one = int(amount * 10 ** (exponent - common))
    other = int(limit.mantissa * 10 ** (limit.exponent - common))
    return (one > other) - (one < other)
