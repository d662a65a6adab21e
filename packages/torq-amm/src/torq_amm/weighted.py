"""Weighted pools: Balancer V2, where each token keeps a fixed share of the pool's worth.

Source: Balancer V2's ``WeightedMath``, ``BaseMinimalSwapInfoPool`` and ``Vault``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Self

import msgspec

from torq_amm.integers import MAX_UINT112, checked
from torq_amm.log_exp import ONE, complement, div_down, div_up, mul_down, mul_up, pow_up
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

__all__ = ["WeightedPool", "calc_in_given_out", "calc_out_given_in"]

_MAX_RATIO = 3 * 10**17
"""A swap moves at most 30 % of a balance."""


def calc_out_given_in(
    balance_in: int, weight_in: int, balance_out: int, weight_out: int, amount_in: int
) -> int:
    """What ``amount_in`` buys, without the fee; everything scaled to 18 decimals.

    Raises :class:`SwapError` where the contract reverts. Source: ``WeightedMath._calcOutGivenIn``.
    """
    if amount_in > mul_down(balance_in, _MAX_RATIO):
        raise SwapError(f"the input {amount_in} is more than 30 % of the balance {balance_in}")
    base = div_up(balance_in, balance_in + amount_in)
    power = pow_up(base, div_down(weight_in, weight_out))
    return mul_down(balance_out, complement(power))


def calc_in_given_out(
    balance_in: int, weight_in: int, balance_out: int, weight_out: int, amount_out: int
) -> int:
    """What ``amount_out`` costs, without the fee; everything scaled to 18 decimals.

    Raises :class:`SwapError` where the contract reverts. Source: ``WeightedMath._calcInGivenOut``.
    """
    if amount_out > mul_down(balance_out, _MAX_RATIO):
        raise SwapError(f"the output {amount_out} is more than 30 % of the balance {balance_out}")
    base = div_up(balance_out, balance_out - amount_out)
    power = pow_up(base, div_up(weight_out, weight_in))
    return mul_up(balance_in, power - ONE)


class WeightedPool(msgspec.Struct, frozen=True):
    """Balances, and the weight that each token has in the pool's worth."""

    instrument: InstrumentId
    tokens: tuple[InstrumentId, ...]
    balances: tuple[int, ...]
    """In each token's smallest unit."""
    weights: tuple[int, ...]
    """Times 1e18; they add up to 1e18."""
    swap_fee: int
    """Of 1e18, on the input."""
    decimals: tuple[int, ...] = ()
    """Each token's; 18 for all when left out."""

    def __post_init__(self) -> None:
        if not self.decimals:
            msgspec.structs.force_setattr(self, "decimals", (18,) * len(self.tokens))
        sizes = {len(self.balances), len(self.weights), len(self.decimals)}
        if len(self.tokens) < 2 or sizes != {len(self.tokens)}:
            raise PoolStateError("tokens, balances, weights and decimals differ in number")
        if sum(self.weights) != ONE or min(self.weights) <= 0:
            raise PoolStateError(f"weights add up to 1e18; found {sum(self.weights)}")
        if min(self.balances) < 0 or not 0 <= self.swap_fee < ONE or max(self.decimals) > 18:
            raise PoolStateError("a balance below 0, a fee of 1 or more, or more than 18 decimals")

    @property
    def price(self) -> Fraction:
        """Token 1 per token 0 in smallest units, at the margin, before the fee."""
        return self._marginal(0, 1)

    def spot_price(self, token_in: InstrumentId, token_out: InstrumentId) -> Fraction:
        """``token_out`` per ``token_in`` in smallest units, at the margin, after the fee."""
        index_in, index_out = other_token(self.tokens, token_in, token_out)
        return self._marginal(index_in, index_out) * Fraction(ONE - self.swap_fee, ONE)

    def swap_exact_in(
        self, token_in: InstrumentId, amount_in: int, token_out: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Sell exactly ``amount_in``, in the token's smallest unit.

        Raises :class:`SwapError` where the contract reverts.
        """
        index_in, index_out = other_token(self.tokens, token_in, token_out)
        fee = mul_up(positive(amount_in), self.swap_fee)
        scaled_out = calc_out_given_in(
            self._scaled(index_in), self.weights[index_in],
            self._scaled(index_out), self.weights[index_out],
            (amount_in - fee) * self._factor(index_in),
        )  # fmt: skip
        amount_out = scaled_out // self._factor(index_out)
        return self._swapped(index_in, index_out, amount_in, amount_out, fee)

    def swap_exact_out(
        self, token_out: InstrumentId, amount_out: int, token_in: InstrumentId | None = None
    ) -> SwapResult[Self]:
        """Buy exactly ``amount_out``, in the token's smallest unit. Raises as above."""
        index_out, index_in = other_token(self.tokens, token_out, token_in)
        scaled_in = calc_in_given_out(
            self._scaled(index_in), self.weights[index_in],
            self._scaled(index_out), self.weights[index_out],
            positive(amount_out) * self._factor(index_out),
        )  # fmt: skip
        before_fee = -(-scaled_in // self._factor(index_in))
        amount_in = div_up(before_fee, ONE - self.swap_fee)
        return self._swapped(index_in, index_out, amount_in, amount_out, amount_in - before_fee)

    def apply(self, event: TLV) -> Self:
        """The pool after ``event``.

        Raises :class:`PoolStateError` for a token that it does not hold, and when a swap paid more
        than its invariant allows.
        """
        if isinstance(event, PoolFee) and not event.is_protocol:
            return msgspec.structs.replace(self, swap_fee=event.fee)
        if not isinstance(event, PoolBalanceChange):
            raise PoolStateError(f"a weighted pool has no {type(event).__name__}")
        balances = list(self.balances)
        for change in event.changes:
            # A join's and an exit's protocol fees leave the pool with it.
            balances[self._index(change)] += change.amount - change.fee
        if min(balances) < 0:
            raise PoolStateError("more of a token left the pool than it held")
        after = msgspec.structs.replace(self, balances=tuple(balances))
        if event.kind is BalanceChange.EXCHANGE:
            self._check_exchange(event)
        return after

    def _check_exchange(self, event: PoolBalanceChange) -> None:
        """Whichever way the trader fixed the amounts, one of the two quotes is the log's."""
        gained = next((c for c in event.changes if c.amount > 0), None)
        lost = next((c for c in event.changes if c.amount <= 0), None)
        if gained is None or lost is None:
            return
        token_in, token_out = self.tokens[self._index(gained)], self.tokens[self._index(lost)]
        quotes: list[str] = []
        try:
            bought = self.swap_exact_in(token_in, gained.amount, token_out).amount_out
            if bought == -lost.amount:
                return
            quotes.append(f"it would have bought {bought}")
        except SwapError as error:
            quotes.append(str(error))
        try:
            cost = self.swap_exact_out(token_out, -lost.amount, token_in).amount_in
            if cost == gained.amount:
                return
            quotes.append(f"it would have cost {cost}")
        except SwapError as error:
            quotes.append(str(error))
        raise PoolStateError(
            f"{-lost.amount} out for {gained.amount} in; from this state {', and '.join(quotes)}"
        )

    def _index(self, change: TokenChange) -> int:
        for index, token in enumerate(self.tokens):
            if token.body == change.token:
                return index
        raise PoolStateError(f"the pool does not hold 0x{change.token.hex()}")

    def _swapped(
        self, index_in: int, index_out: int, amount_in: int, amount_out: int, fee: int
    ) -> SwapResult[Self]:
        balances = list(self.balances)
        balances[index_in] = checked(balances[index_in] + amount_in, MAX_UINT112)
        balances[index_out] -= amount_out
        if balances[index_out] < 0:
            raise SwapError("the pool holds less than that")
        after = msgspec.structs.replace(self, balances=tuple(balances))
        return SwapResult(amount_in, amount_out, fee, after)

    def _factor(self, index: int) -> int:
        return int(10 ** (18 - self.decimals[index]))

    def _scaled(self, index: int) -> int:
        return int(self.balances[index] * self._factor(index))

    def _marginal(self, index_in: int, index_out: int) -> Fraction:
        if not self.balances[index_in]:
            raise SwapError("a pool with an empty side has no price")
        return Fraction(
            self.balances[index_out] * self.weights[index_in],
            self.balances[index_in] * self.weights[index_out],
        )
