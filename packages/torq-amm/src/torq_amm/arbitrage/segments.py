"""Pools as pieces of one formula, ``out = a * x / (b + c * x)``, and their composition.

A constant-product pool is one piece. A concentrated one is a piece for every range between
initialised ticks: within it ``x = L / sqrt(P)`` and ``y = L * sqrt(P)`` are its virtual reserves
(Uniswap V3 whitepaper, 2.1). The formula is closed under composition, and its profit has its
maximum in closed form.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from math import isqrt

import msgspec

from torq_amm.arbitrage.cycles import Hop
from torq_amm.concentrated import ConcentratedLiquidityPool
from torq_amm.concentrated.sqrt_price import get_amount0_delta, get_amount1_delta
from torq_amm.concentrated.swap import FEE_DENOMINATOR
from torq_amm.concentrated.ticks import get_sqrt_ratio_at_tick
from torq_amm.constant_product import ConstantProductPool
from torq_amm.swapping import Pool

__all__ = ["Piece", "Segment", "segments_of"]

_Q96 = 1 << 96
_Q192 = 1 << 192


class Piece(msgspec.Struct, frozen=True):
    """``out = a * x / (b + c * x)``, without rounding; a, b and c are integers."""

    a: int
    b: int
    c: int

    def __call__(self, amount_in: int) -> int:
        """What ``amount_in`` buys, rounded down once."""
        return self.a * amount_in // (self.b + self.c * amount_in)

    def then(self, following: Piece) -> Piece:
        """This, and ``following`` with what it pays out."""
        return Piece(
            self.a * following.a,
            self.b * following.b,
            following.b * self.c + following.c * self.a,
        )

    def after(self, amount_in: int) -> Piece:
        """What more than ``amount_in`` buys on top: ``f(amount_in + x) - f(amount_in)``."""
        if not amount_in:
            return self
        base = self.b + self.c * amount_in
        return Piece(self.a * self.b, base * base, self.c * base)

    def cost(self, amount_out: int) -> int | None:
        """The input that buys ``amount_out``, rounded up; None where no input does."""
        divisor = self.a - self.c * amount_out
        return None if divisor <= 0 else -(-self.b * amount_out // divisor)

    def optimum(self) -> int:
        """The input with the greatest ``out - in``, rounded down; 0 where none earns.

        There the slope ``a * b / (b + c * x)**2`` is 1.
        """
        if not self.c:
            return 0
        return max(0, isqrt(self.a * self.b) - self.b) // self.c


class Segment(msgspec.Struct, frozen=True):
    """A piece, and how much input it takes before the next one begins; None for all there is."""

    piece: Piece
    capacity: int | None


def segments_of(pool: Pool, hop: Hop) -> Iterator[Segment] | None:
    """A pool's pieces in the order in which a swap meets them; None where it has no such form."""
    if isinstance(pool, ConstantProductPool):
        is_first = hop.token_in == pool.token0
        reserves = (pool.reserve0, pool.reserve1) if is_first else (pool.reserve1, pool.reserve0)
        piece = Piece(
            pool.fee_numerator * reserves[1],
            pool.fee_denominator * reserves[0],
            pool.fee_numerator,
        )
        return iter([Segment(piece, None)])
    if isinstance(pool, ConcentratedLiquidityPool):
        return _ranges(pool, hop.token_in == pool.token0)
    return None


def _ranges(pool: ConcentratedLiquidityPool, zero_for_one: bool) -> Iterator[Segment]:
    order, liquidity, price = pool.order, pool.liquidity, pool.sqrt_price_x96
    place = bisect_right(order, pool.tick)
    ticks = reversed(order[:place]) if zero_for_one else iter(order[place:])
    kept = FEE_DENOMINATOR - pool.fee_pips
    for tick in ticks:
        boundary = get_sqrt_ratio_at_tick(tick)
        if liquidity and boundary != price:
            delta = get_amount0_delta if zero_for_one else get_amount1_delta
            traded = delta(price, boundary, liquidity, True)
            capacity = -(-traded * FEE_DENOMINATOR // kept)
            yield Segment(_range(price, liquidity, kept, zero_for_one), capacity)
        net = pool.ticks[tick]
        liquidity += -net if zero_for_one else net
        price = boundary


def _range(price: int, liquidity: int, kept: int, zero_for_one: bool) -> Piece:
    """Reserves of ``L * 2**96 / price`` and ``L * price / 2**96``, multiplied out."""
    if zero_for_one:
        return Piece(
            kept * liquidity * price * price,
            FEE_DENOMINATOR * liquidity * _Q192,
            kept * price * _Q96,
        )
    return Piece(
        kept * liquidity * _Q192,
        FEE_DENOMINATOR * liquidity * price * price,
        kept * price * _Q96,
    )
