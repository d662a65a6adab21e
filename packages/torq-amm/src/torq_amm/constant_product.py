"""Constant-product pools: Uniswap V2 and its forks, ``x * y = k``."""

from __future__ import annotations

from fractions import Fraction
from typing import Self

import msgspec

from torq_amm.integers import MAX_UINT112, checked, div_rounding_up
from torq_amm.swapping import SwapResult, other_token, positive
from torq_types import (
    TLV,
    InstrumentId,
    PoolBurn,
    PoolMint,
    PoolStateError,
    PoolSwap,
    PoolSync,
    SwapError,
)

__all__ = ["ConstantProductPool", "get_amount_in", "get_amount_out"]


def get_amount_out(
    amount_in: int,
    reserve_in: int,
    reserve_out: int,
    fee_numerator: int = 997,
    fee_denominator: int = 1000,
) -> int:
    """What ``amount_in`` buys, rounded down; all amounts in smallest units.

    ``fee_numerator / fee_denominator`` is the part of the input that trades. Raises
    :class:`SwapError` where the contract reverts. Source: ``UniswapV2Library.getAmountOut``.
    """
    if amount_in <= 0:
        raise SwapError(f"insufficient input amount: found {amount_in}, expected above 0")
    if reserve_in <= 0 or reserve_out <= 0:
        raise SwapError(f"insufficient liquidity: reserves are {reserve_in} and {reserve_out}")
    traded = checked(amount_in * fee_numerator)
    return checked(traded * reserve_out) // checked(reserve_in * fee_denominator + traded)


def get_amount_in(
    amount_out: int,
    reserve_in: int,
    reserve_out: int,
    fee_numerator: int = 997,
    fee_denominator: int = 1000,
) -> int:
    """What ``amount_out`` costs, rounded up; all amounts in smallest units.

    Raises :class:`SwapError` where the contract reverts. Source: ``UniswapV2Library.getAmountIn``,
    which adds one to the quotient whether or not it was exact.
    """
    if amount_out <= 0:
        raise SwapError(f"insufficient output amount: found {amount_out}, expected above 0")
    if reserve_in <= 0 or reserve_out <= amount_out:
        raise SwapError(
            f"insufficient liquidity: {amount_out} of {reserve_out} asked, against {reserve_in}"
        )
    cost = checked(checked(reserve_in * amount_out) * fee_denominator)
    return cost // checked((reserve_out - amount_out) * fee_numerator) + 1


class ConstantProductPool(msgspec.Struct, frozen=True):
    """Two reserves whose product never falls. The fee stays in the reserves."""

    instrument: InstrumentId
    token0: InstrumentId
    token1: InstrumentId
    reserve0: int
    """In token 0's smallest unit; a uint112 in the contract."""
    reserve1: int
    fee_numerator: int = 997
    """The part of the input that trades, of ``fee_denominator``."""
    fee_denominator: int = 1000
    fee_on_transfer: tuple[InstrumentId, ...] = ()
    """Tokens that keep a part of every transfer: what arrives is not known, so they are refused."""

    def __post_init__(self) -> None:
        if not (0 <= self.reserve0 <= MAX_UINT112 and 0 <= self.reserve1 <= MAX_UINT112):
            raise PoolStateError(f"reserves are uint112; found {self.reserve0} and {self.reserve1}")
        if not 0 < self.fee_numerator <= self.fee_denominator:
            raise PoolStateError(
                f"fee_numerator is the part that trades, 1 to {self.fee_denominator} here;"
                f" found {self.fee_numerator}"
            )

    @property
    def tokens(self) -> tuple[InstrumentId, ...]:
        """Token 0 and token 1."""
        return self.token0, self.token1

    @property
    def price(self) -> Fraction:
        """Token 1 per token 0 in smallest units, before the fee."""
        self._require_reserves()
        return Fraction(self.reserve1, self.reserve0)

    def spot_price(self, token_in: InstrumentId, token_out: InstrumentId) -> Fraction:
        """``token_out`` per ``token_in`` in smallest units, at the margin, after the fee."""
        self._require_reserves()
        index, _ = other_token(self.tokens, token_in, token_out)
        reserve_in, reserve_out = self._reserves(index)
        return Fraction(self.fee_numerator * reserve_out, self.fee_denominator * reserve_in)

    def swap_exact_in(
        self, token_in: InstrumentId, amount_in: int, token_out: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Sell exactly ``amount_in``, in the token's smallest unit.

        Raises :class:`SwapError` where the contract reverts, and for a fee-on-transfer token.
        """
        index, _ = other_token(self.tokens, token_in, token_out)
        reserve_in, reserve_out = self._reserves(index)
        amount_out = get_amount_out(
            amount_in, reserve_in, reserve_out, self.fee_numerator, self.fee_denominator
        )
        return self._swapped(index, amount_in, amount_out)

    def amount_out(self, token_in: InstrumentId, amount_in: int) -> int:
        """What :meth:`swap_exact_in` pays out, without the pool that comes after."""
        reserve_in, reserve_out = self._reserves(0 if token_in == self.token0 else 1)
        return positive(
            get_amount_out(
                amount_in, reserve_in, reserve_out, self.fee_numerator, self.fee_denominator
            )
        )

    def swap_exact_out(
        self, token_out: InstrumentId, amount_out: int, token_in: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Buy exactly ``amount_out``, in the token's smallest unit. Raises as above."""
        _, index = other_token(self.tokens, token_out, token_in)
        reserve_in, reserve_out = self._reserves(index)
        amount_in = get_amount_in(
            amount_out, reserve_in, reserve_out, self.fee_numerator, self.fee_denominator
        )
        return self._swapped(index, amount_in, amount_out)

    def apply(self, event: TLV) -> Self:
        """The pool after ``event``: a Sync carries the reserves; the other events come with one."""
        if isinstance(event, PoolSync):
            return self._with_reserves(event.reserve0, event.reserve1)
        if isinstance(event, PoolSwap | PoolMint | PoolBurn):
            return self
        raise PoolStateError(f"a constant-product pool has no {type(event).__name__}")

    def _reserves(self, index_in: int) -> tuple[int, int]:
        for token in self.fee_on_transfer:
            if token in (self.token0, self.token1):
                raise SwapError(
                    f"0x{token.body.hex()} keeps a part of every transfer: no amount through"
                    " this pool can be predicted"
                )
        return (self.reserve0, self.reserve1) if index_in == 0 else (self.reserve1, self.reserve0)

    def _swapped(self, index_in: int, amount_in: int, amount_out: int) -> SwapResult[Self]:
        positive(amount_out)
        deltas = (amount_in, -amount_out) if index_in == 0 else (-amount_out, amount_in)
        after = self._with_reserves(
            checked(self.reserve0 + deltas[0], MAX_UINT112),
            checked(self.reserve1 + deltas[1], MAX_UINT112),
        )
        kept = self.fee_denominator - self.fee_numerator
        fee = div_rounding_up(amount_in * kept, self.fee_denominator)
        return SwapResult(amount_in, amount_out, fee, after)

    def _with_reserves(self, reserve0: int, reserve1: int) -> Self:
        return type(self)(
            self.instrument, self.token0, self.token1, reserve0, reserve1,
            self.fee_numerator, self.fee_denominator, self.fee_on_transfer,
        )  # fmt: skip

    def _require_reserves(self) -> None:
        if not self.reserve0 or not self.reserve1:
            raise SwapError("an empty pool has no price")
