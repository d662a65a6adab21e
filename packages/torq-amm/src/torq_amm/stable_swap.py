"""StableSwap pools: Curve's invariant for tokens of about equal worth.

Sources: the StableSwap whitepaper (Egorov, 2019) and Curve's plain-pool contracts, whose iterations
and roundings these follow step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Self

import msgspec

from torq_amm.swapping import SwapResult, other_token, positive
from torq_types import (
    TLV,
    BalanceChange,
    InstrumentId,
    PoolBalanceChange,
    PoolFee,
    PoolStateError,
    SwapError,
    TokenChange,
)

__all__ = ["FEE_DENOMINATOR", "PRECISION", "StableSwapPool", "amplification_at", "get_D", "get_y"]

FEE_DENOMINATOR = 10**10
PRECISION = 10**18
_ROUNDS = 255


def get_D(  # noqa: N802 - the contract's own name
    balances: Sequence[int], amplification: int, amplification_precision: int = 100
) -> int:
    """The invariant D of balances scaled to 18 decimals, by Newton's method.

    ``amplification`` is A times its precision. Raises :class:`SwapError` when 255 rounds do not
    settle it, as the contract reverts. Source: ``get_D`` of Curve's plain pools.
    """
    total = sum(balances)
    if total == 0:
        return 0
    if min(balances) <= 0:
        raise SwapError("a StableSwap pool with an empty side has no invariant")
    count = len(balances)
    ann = amplification * count
    invariant = total
    for _ in range(_ROUNDS):
        product = invariant
        for balance in balances:
            product = product * invariant // (balance * count)
        previous = invariant
        invariant = (
            (ann * total // amplification_precision + product * count)
            * invariant
            // (
                (ann - amplification_precision) * invariant // amplification_precision
                + (count + 1) * product
            )
        )
        if abs(invariant - previous) <= 1:
            return invariant
    raise SwapError("the invariant D does not settle in 255 rounds: the contract reverts")


def get_y(
    index_in: int,
    index_out: int,
    balance_in: int,
    balances: Sequence[int],
    amplification: int,
    amplification_precision: int = 100,
) -> int:
    """The balance of token ``index_out`` once token ``index_in``'s is ``balance_in``, D unchanged.

    All scaled to 18 decimals. Raises :class:`SwapError` where the contract reverts.
    Source: ``get_y`` of Curve's plain pools.
    """
    count = len(balances)
    invariant = get_D(balances, amplification, amplification_precision)
    ann = amplification * count
    term = invariant
    total = 0
    for index, balance in enumerate(balances):
        if index == index_out:
            continue
        value = balance_in if index == index_in else balance
        total += value
        term = term * invariant // (value * count)
    term = term * invariant * amplification_precision // (ann * count)
    linear = total + invariant * amplification_precision // ann
    y = invariant
    for _ in range(_ROUNDS):
        previous = y
        y = (y * y + term) // (2 * y + linear - invariant)
        if abs(y - previous) <= 1:
            return y
    raise SwapError("a balance does not settle in 255 rounds: the contract reverts")


def amplification_at(initial: int, future: int, start: int, end: int, now: int) -> int:
    """A (times its precision) while it is ramped from ``initial`` to ``future``.

    Times are seconds since 1970. Source: ``_A`` of Curve's plain pools.
    """
    if now >= end:
        return future
    if future > initial:
        return initial + (future - initial) * (now - start) // (end - start)
    return initial - (initial - future) * (now - start) // (end - start)


class StableSwapPool(msgspec.Struct, frozen=True):
    """Balances held near parity. The fee is taken from what is paid out."""

    instrument: InstrumentId
    tokens: tuple[InstrumentId, ...]
    balances: tuple[int, ...]
    """In each token's smallest unit."""
    rates: tuple[int, ...]
    """What a smallest unit is worth, times 1e18: ``10**(36 - decimals)`` for a plain token."""
    amplification: int
    """A times ``amplification_precision``."""
    fee: int
    """Of 10**10, on the output."""
    admin_fee: int = 5 * 10**9
    """The administrator's part of the fee, of 10**10; it leaves the balances at once."""
    amplification_precision: int = 100

    def __post_init__(self) -> None:
        if not 2 <= len(self.tokens) == len(self.balances) == len(self.rates):
            raise PoolStateError(
                f"{len(self.tokens)} tokens need as many balances and rates; found"
                f" {len(self.balances)} and {len(self.rates)}"
            )
        if min(self.balances) < 0 or min(self.rates) <= 0 or self.amplification <= 0:
            raise PoolStateError("balances cannot be negative, nor rates or A zero")
        if not (0 <= self.fee <= FEE_DENOMINATOR and 0 <= self.admin_fee <= FEE_DENOMINATOR):
            raise PoolStateError(f"fees are 0 to 10**10; found {self.fee} and {self.admin_fee}")

    @property
    def price(self) -> Fraction:
        """Token 1 per token 0 in smallest units, at the margin, before the fee."""
        return self._marginal(0, 1)

    def spot_price(self, token_in: InstrumentId, token_out: InstrumentId) -> Fraction:
        """``token_out`` per ``token_in`` in smallest units, at the margin, after the fee."""
        index_in, index_out = other_token(self.tokens, token_in, token_out)
        kept = Fraction(FEE_DENOMINATOR - self.fee, FEE_DENOMINATOR)
        return self._marginal(index_in, index_out) * kept

    @property
    def invariant(self) -> int:
        """D, scaled to 18 decimals."""
        return get_D(self._scaled(), self.amplification, self.amplification_precision)

    def swap_exact_in(
        self, token_in: InstrumentId, amount_in: int, token_out: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Sell exactly ``amount_in``, in the token's smallest unit.

        Raises :class:`SwapError` where the contract reverts. Source: ``exchange`` of Curve's
        plain pools.
        """
        index_in, index_out = other_token(self.tokens, token_in, token_out)
        return self._exchanged(index_in, index_out, positive(amount_in))

    def swap_exact_out(
        self, token_out: InstrumentId, amount_out: int, token_in: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """The least input that pays out at least ``amount_out``; the contract has exact input only.

        Raises :class:`SwapError` when the pool has too little.
        """
        index_out, index_in = other_token(self.tokens, token_out, token_in)
        positive(amount_out)
        if amount_out >= self.balances[index_out]:
            raise SwapError(
                f"the pool holds {self.balances[index_out]} of the token, {amount_out} was asked"
            )
        high = max(1, amount_out * self.rates[index_out] // self.rates[index_in])
        limit = (sum(self.balances) + high) << 64
        while self._paid_out(index_in, index_out, high) < amount_out:
            if high > limit:
                raise SwapError(f"no input pays out {amount_out}")
            high *= 2
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            if self._paid_out(index_in, index_out, middle) < amount_out:
                low = middle
            else:
                high = middle
        return self._exchanged(index_in, index_out, high)

    def apply(self, event: TLV) -> Self:
        """The pool after ``event``.

        Raises :class:`PoolStateError` when an exchange paid out something else than this pool
        would have, and for a removal whose log does not say which token left.
        """
        if isinstance(event, PoolFee):
            if event.is_protocol:
                return msgspec.structs.replace(self, admin_fee=event.protocol_fee0)
            return msgspec.structs.replace(self, fee=event.fee)
        if not isinstance(event, PoolBalanceChange):
            raise PoolStateError(f"a StableSwap pool has no {type(event).__name__}")
        if event.kind is BalanceChange.EXCHANGE:
            return self._after_exchange(event)
        balances = list(self.balances)
        for change in event.changes:
            index = self._index(change)
            # The administrator's part of an imbalance fee leaves the balances at once.
            balances[index] += change.amount - change.fee * self.admin_fee // FEE_DENOMINATOR
            if balances[index] < 0:
                raise PoolStateError(f"more of token {index} left the pool than it held")
        return msgspec.structs.replace(self, balances=tuple(balances))

    def _after_exchange(self, event: PoolBalanceChange) -> Self:
        gained = [change for change in event.changes if change.amount > 0]
        lost = [change for change in event.changes if change.amount <= 0]
        if len(gained) != 1 or len(lost) != 1:
            raise PoolStateError("an exchange has one token in and one out")
        try:
            result = self._exchanged(self._index(gained[0]), self._index(lost[0]), gained[0].amount)
        except SwapError as error:
            raise PoolStateError(f"this pool could not have traded so: {error}") from error
        if result.amount_out != -lost[0].amount:
            raise PoolStateError(
                f"{gained[0].amount} in bought {-lost[0].amount}; from this state it would have"
                f" bought {result.amount_out}"
            )
        return result.pool_after

    def _index(self, change: TokenChange) -> int:
        if 0 <= change.index < len(self.tokens):
            return change.index
        for index, token in enumerate(self.tokens):
            if token.body == change.token:
                return index
        raise PoolStateError("the log does not say which of the pool's tokens it moved")

    def _scaled(self) -> list[int]:
        return [
            balance * rate // PRECISION
            for balance, rate in zip(self.balances, self.rates, strict=True)
        ]

    def _quote(self, index_in: int, index_out: int, amount_in: int) -> tuple[int, int]:
        """What is paid out, and the fee, the latter still scaled to 18 decimals."""
        scaled = self._scaled()
        reached = scaled[index_in] + amount_in * self.rates[index_in] // PRECISION
        y = get_y(
            index_in, index_out, reached, scaled, self.amplification, self.amplification_precision
        )
        gross = scaled[index_out] - y - 1
        if gross < 0:
            raise SwapError("the amount is too small to buy anything: the contract reverts")
        fee = gross * self.fee // FEE_DENOMINATOR
        return (gross - fee) * PRECISION // self.rates[index_out], fee

    def _paid_out(self, index_in: int, index_out: int, amount_in: int) -> int:
        try:
            return self._quote(index_in, index_out, amount_in)[0]
        except SwapError:
            return -1

    def _exchanged(self, index_in: int, index_out: int, amount_in: int) -> SwapResult[Self]:
        amount_out, scaled_fee = self._quote(index_in, index_out, amount_in)
        rate = self.rates[index_out]
        admin = scaled_fee * self.admin_fee // FEE_DENOMINATOR * PRECISION // rate
        balances = list(self.balances)
        balances[index_in] += amount_in
        balances[index_out] -= amount_out + admin
        after = msgspec.structs.replace(self, balances=tuple(balances))
        return SwapResult(amount_in, amount_out, scaled_fee * PRECISION // rate, after, admin)

    def _marginal(self, index_in: int, index_out: int) -> Fraction:
        """The slope of the invariant's curve, exact for the D in use."""
        scaled = self._scaled()
        if min(scaled) <= 0:
            raise SwapError("a StableSwap pool with an empty side has no price")
        count = len(scaled)
        invariant = get_D(scaled, self.amplification, self.amplification_precision)
        curvature = Fraction(invariant)
        for balance in scaled:
            curvature *= Fraction(invariant, balance * count)
        ann = Fraction(self.amplification * count, self.amplification_precision)
        slope = Fraction(
            ann + curvature * Fraction(1, scaled[index_in]),
            ann + curvature * Fraction(1, scaled[index_out]),
        )
        return slope * Fraction(self.rates[index_in], self.rates[index_out])
