"""How far a price moves for an amount, and what amount a move takes.

Prices are square roots in Q64.96, amounts are in smallest units, and every rounding favours the
pool. Source: Uniswap V3's ``SqrtPriceMath``.
"""

from __future__ import annotations

from torq_amm.integers import MAX_UINT160, MAX_UINT256, checked, mul_div, mul_div_rounding_up
from torq_types import SwapError

__all__ = [
    "Q96",
    "get_amount0_delta",
    "get_amount1_delta",
    "get_next_sqrt_price_from_input",
    "get_next_sqrt_price_from_output",
]

Q96 = 1 << 96
_MASK96 = Q96 - 1


def get_next_sqrt_price_from_input(
    sqrt_price_x96: int, liquidity: int, amount_in: int, zero_for_one: bool
) -> int:
    """The price after ``amount_in`` came in: not past the target. Raises :class:`SwapError`."""
    if sqrt_price_x96 <= 0 or liquidity <= 0:
        raise SwapError("a pool without a price or without liquidity moves by no amount")
    if zero_for_one:
        return _from_amount0(sqrt_price_x96, liquidity, amount_in, True)
    return _from_amount1(sqrt_price_x96, liquidity, amount_in, True)


def get_next_sqrt_price_from_output(
    sqrt_price_x96: int, liquidity: int, amount_out: int, zero_for_one: bool
) -> int:
    """The price after ``amount_out`` went out. Raises :class:`SwapError` if there is too little."""
    if sqrt_price_x96 <= 0 or liquidity <= 0:
        raise SwapError("a pool without a price or without liquidity moves by no amount")
    if zero_for_one:
        return _from_amount1(sqrt_price_x96, liquidity, amount_out, False)
    return _from_amount0(sqrt_price_x96, liquidity, amount_out, False)


def get_amount0_delta(ratio_a: int, ratio_b: int, liquidity: int, round_up: bool) -> int:
    """Token 0 between two prices: ``liquidity * (1/lower - 1/upper)``.

    Source: ``SqrtPriceMath.getAmount0Delta``.
    """
    lower, upper = (ratio_a, ratio_b) if ratio_a <= ratio_b else (ratio_b, ratio_a)
    if lower <= 0:
        raise SwapError("a price of zero")
    product = (liquidity << 96) * (upper - lower)
    if round_up:
        return -(checked(-(-product // upper)) // -lower)
    return checked(product // upper) // lower


def get_amount1_delta(ratio_a: int, ratio_b: int, liquidity: int, round_up: bool) -> int:
    """Token 1 between two prices: ``liquidity * (upper - lower)``.

    Source: ``SqrtPriceMath.getAmount1Delta``.
    """
    product = liquidity * abs(ratio_b - ratio_a)
    return checked(-(-product >> 96) if round_up else product >> 96)


def _from_amount0(sqrt_price_x96: int, liquidity: int, amount: int, add: bool) -> int:
    """Rounded up: ``liquidity * price / (liquidity +- amount * price)``.

    Source: ``SqrtPriceMath.getNextSqrtPriceFromAmount0RoundingUp``, whose second, less exact
    formula answers when the first would overflow 256 bits.
    """
    if amount == 0:
        return sqrt_price_x96
    numerator = liquidity << 96
    product = amount * sqrt_price_x96
    if add:
        denominator = numerator + product
        if product <= MAX_UINT256 and denominator <= MAX_UINT256:
            return mul_div_rounding_up(numerator, sqrt_price_x96, denominator)
        return -(-numerator // checked(numerator // sqrt_price_x96 + amount))
    if numerator <= product:  # so is one beyond 256 bits, for any liquidity
        raise SwapError(f"the range holds less than {amount} of token 0")
    return checked(mul_div_rounding_up(numerator, sqrt_price_x96, numerator - product), MAX_UINT160)


def _from_amount1(sqrt_price_x96: int, liquidity: int, amount: int, add: bool) -> int:
    """Rounded down: ``price +- amount / liquidity``.

    Source: ``SqrtPriceMath.getNextSqrtPriceFromAmount1RoundingDown``.
    """
    if add:
        return checked(sqrt_price_x96 + mul_div(amount, Q96, liquidity), MAX_UINT160)
    quotient = mul_div_rounding_up(amount, Q96, liquidity)
    if sqrt_price_x96 <= quotient:
        raise SwapError(f"the range holds less than {amount} of token 1")
    return sqrt_price_x96 - quotient
