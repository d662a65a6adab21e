"""Solidity's integer arithmetic: what fits in a word, and how division rounds."""

from __future__ import annotations

from torq_types import SwapError

__all__ = [
    "MAX_UINT112",
    "MAX_UINT128",
    "MAX_UINT160",
    "MAX_UINT256",
    "checked",
    "div_rounding_up",
    "mul_div",
    "mul_div_rounding_up",
]

MAX_UINT112 = (1 << 112) - 1
MAX_UINT128 = (1 << 128) - 1
MAX_UINT160 = (1 << 160) - 1
MAX_UINT256 = (1 << 256) - 1


def checked(value: int, maximum: int = MAX_UINT256) -> int:
    """``value``, which a contract would keep in an unsigned word of at most ``maximum``.

    Raises :class:`SwapError` where the contract's arithmetic would overflow or underflow.
    """
    if 0 <= value <= maximum:
        return value
    raise SwapError(f"{value} does not fit in a uint{maximum.bit_length()}: the contract reverts")


def div_rounding_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator``, rounded up. Both are at least 0, the second above 0."""
    return -(-numerator // denominator)


def mul_div(a: int, b: int, denominator: int) -> int:
    """``a * b / denominator`` with a 512-bit product, rounded down (Uniswap's ``FullMath``)."""
    return checked(a * b // denominator)


def mul_div_rounding_up(a: int, b: int, denominator: int) -> int:
    """``a * b / denominator`` with a 512-bit product, rounded up (Uniswap's ``FullMath``)."""
    return checked(-(-a * b // denominator))
