"""Ticks: prices on the grid ``1.0001**tick``, and the bitmap that says which are in use.

Source: Uniswap V3's ``TickMath``, ``Tick`` and ``TickBitmap``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache

from torq_amm.integers import MAX_UINT128, MAX_UINT256
from torq_types import SwapError

__all__ = [
    "MAX_SQRT_RATIO",
    "MAX_TICK",
    "MIN_SQRT_RATIO",
    "MIN_TICK",
    "get_sqrt_ratio_at_tick",
    "get_tick_at_sqrt_ratio",
    "max_liquidity_per_tick",
    "next_initialized_tick_within_one_word",
]

MIN_TICK = -887272
MAX_TICK = 887272
MIN_SQRT_RATIO = 4295128739
"""``get_sqrt_ratio_at_tick(MIN_TICK)``: the lowest price, Q64.96."""
MAX_SQRT_RATIO = 1461446703485210103287273052203988822378723970342
"""``get_sqrt_ratio_at_tick(MAX_TICK)``: no price reaches it."""

_FACTORS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)
"""``sqrt(1.0001) ** -(2**i)`` in Q128.128, for each bit of a tick."""

_LOG2_BITS = 14
_TICKS_PER_LOG2 = 255738958999603826347140
"""Ticks per doubling of the sqrt price, ``2 / log2(1.0001)``, in Q64."""


@lru_cache(maxsize=1 << 16)
def get_sqrt_ratio_at_tick(tick: int) -> int:
    """``sqrt(1.0001**tick)`` in Q64.96, rounded as the contract does.

    Raises :class:`SwapError` outside -887272 to 887272. Source: ``TickMath.getSqrtRatioAtTick``.
    """
    distance = abs(tick)
    if distance > MAX_TICK:
        raise SwapError(f"tick {tick} lies outside {MIN_TICK} to {MAX_TICK}")
    ratio = 1 << 128
    for bit, factor in enumerate(_FACTORS):
        if distance >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = MAX_UINT256 // ratio
    return -(-ratio >> 32)


def get_tick_at_sqrt_ratio(sqrt_price_x96: int) -> int:
    """The greatest tick whose price is not above ``sqrt_price_x96`` (Q64.96).

    Raises :class:`SwapError` outside the legal prices. Source: ``TickMath.getTickAtSqrtRatio``,
    which is defined by the same inequality.
    """
    if not MIN_SQRT_RATIO <= sqrt_price_x96 < MAX_SQRT_RATIO:
        raise SwapError(
            f"sqrt price {sqrt_price_x96} lies outside {MIN_SQRT_RATIO} to {MAX_SQRT_RATIO - 1}"
        )
    # A logarithm of 14 binary places is never above and at most one tick below.
    logarithm = _log2(sqrt_price_x96) - (96 << _LOG2_BITS)
    tick = max(MIN_TICK, logarithm * _TICKS_PER_LOG2 >> 64 + _LOG2_BITS)
    while get_sqrt_ratio_at_tick(tick) > sqrt_price_x96:
        tick -= 1
    while tick < MAX_TICK and get_sqrt_ratio_at_tick(tick + 1) <= sqrt_price_x96:
        tick += 1
    return tick


def max_liquidity_per_tick(tick_spacing: int) -> int:
    """How much liquidity may refer to one tick, so that the sum over all fits in a uint128.

    Source: ``Tick.tickSpacingToMaxLiquidityPerTick``.
    """
    ticks = 2 * (MAX_TICK // tick_spacing) + 1
    return MAX_UINT128 // ticks


def next_initialized_tick_within_one_word(
    ticks: Sequence[int], tick: int, tick_spacing: int, lte: bool
) -> tuple[int, bool]:
    """The next initialised tick in the bitmap's word, or the word's last one, and which it is.

    ``ticks`` are the initialised ones in ascending order; ``lte`` searches downwards, ``tick``
    included. The contract stops at a word's end, and every stop rounds: so does this.
    Source: ``TickBitmap.nextInitializedTickWithinOneWord``.
    """
    compressed = tick // tick_spacing
    if lte:
        boundary = (compressed >> 8 << 8) * tick_spacing
        place = bisect_right(ticks, compressed * tick_spacing) - 1
        if place >= 0 and ticks[place] >= boundary:
            return ticks[place], True
        return boundary, False
    compressed += 1
    boundary = (compressed >> 8 << 8 | 0xFF) * tick_spacing
    place = bisect_left(ticks, compressed * tick_spacing)
    if place < len(ticks) and ticks[place] <= boundary:
        return ticks[place], True
    return boundary, False


def _log2(value: int) -> int:
    """The binary logarithm of ``value`` with 14 places, rounded down."""
    exponent = value.bit_length() - 1
    mantissa = value << 64 >> exponent
    result = exponent
    for _ in range(_LOG2_BITS):
        mantissa = mantissa * mantissa >> 64
        bit = mantissa >> 65
        mantissa >>= bit
        result = result << 1 | bit
    return result
