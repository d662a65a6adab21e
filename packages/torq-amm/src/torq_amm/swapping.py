"""What every pool answers to: a swap's result, and which of its tokens is meant."""

from __future__ import annotations

from fractions import Fraction
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from torq_types import TLV, InstrumentId, SwapError

__all__ = ["Pool", "SwapResult", "other_token", "positive"]

P = TypeVar("P")


class SwapResult(msgspec.Struct, Generic[P], frozen=True):
    """What a swap did. Amounts are in each token's smallest unit (wei)."""

    amount_in: int
    """What the pool took, fee included: less than offered when it ran dry."""
    amount_out: int
    fee: int
    """What the liquidity providers and the protocol kept, in the token paid in; in the token paid
    out where the protocol charges it there (StableSwap)."""
    pool_after: P
    protocol_fee: int = 0
    """The protocol's part of ``fee``."""


@runtime_checkable
class Pool(Protocol):
    """A pool as an immutable value: a swap or an event gives another pool."""

    @property
    def instrument(self) -> InstrumentId:
        """The pool's identifier."""

    @property
    def tokens(self) -> tuple[InstrumentId, ...]:
        """The pool's tokens, in the contract's order."""

    @property
    def price(self) -> Fraction:
        """Token 1 per token 0 in smallest units, at the margin, before the fee."""

    def spot_price(self, token_in: InstrumentId, token_out: InstrumentId) -> Fraction:
        """``token_out`` per ``token_in`` in smallest units, at the margin, after the fee."""

    def swap_exact_in(
        self, token_in: InstrumentId, amount_in: int, token_out: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Sell exactly ``amount_in``. Raises :class:`SwapError` where the contract reverts."""

    def swap_exact_out(
        self, token_out: InstrumentId, amount_out: int, token_in: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Buy exactly ``amount_out``. Raises :class:`SwapError` where the contract reverts."""

    def apply(self, event: TLV) -> Self:
        """The pool after ``event``. Raises :class:`PoolStateError` when the two do not fit."""


def other_token(
    tokens: tuple[InstrumentId, ...], known: InstrumentId, wanted: InstrumentId | None
) -> tuple[int, int]:
    """The indices of ``known`` and of ``wanted``, which a pool of two tokens may leave out.

    Raises :class:`SwapError` for a token that the pool does not hold, and for twice the same.
    """
    first = _index(tokens, known)
    if wanted is None:
        if len(tokens) != 2:
            raise SwapError(f"a pool of {len(tokens)} tokens needs both tokens of a swap named")
        return first, 1 - first
    second = _index(tokens, wanted)
    if first == second:
        raise SwapError(f"a swap needs two different tokens; found 0x{known.body.hex()} twice")
    return first, second


def positive(amount: int) -> int:
    """``amount``, which has to be above zero. Raises :class:`SwapError`."""
    if amount <= 0:
        raise SwapError(
            f"a swap needs an amount above 0 in the token's smallest unit, not {amount}"
        )
    return amount


def _index(tokens: tuple[InstrumentId, ...], token: InstrumentId) -> int:
    for index, candidate in enumerate(tokens):
        if candidate == token:
            return index
    held = ", ".join(f"0x{candidate.body.hex()}" for candidate in tokens)
    raise SwapError(f"the pool does not hold 0x{token.body.hex()}; it holds {held}")
