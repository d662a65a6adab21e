"""Concentrated-liquidity pools: Uniswap V3, its forks, and hookless pools of Uniswap V4."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Self

import msgspec

from torq_amm.concentrated.liquidity import amounts_for_liquidity
from torq_amm.concentrated.swap import FEE_DENOMINATOR, Ranges, Walk, walk
from torq_amm.concentrated.ticks import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    max_liquidity_per_tick,
)
from torq_amm.integers import MAX_UINT128, checked
from torq_amm.swapping import SwapResult, other_token, positive
from torq_types import (
    TLV,
    InstrumentId,
    PoolBurn,
    PoolFee,
    PoolInitialize,
    PoolMint,
    PoolPayment,
    PoolStateError,
    PoolSwap,
    SwapError,
)

__all__ = ["ConcentratedLiquidityPool", "LiquidityResult"]

_PRICE_DENOMINATOR = 1 << 192


class LiquidityResult(msgspec.Struct, frozen=True):
    """What a mint took or a burn gave, in each token's smallest unit."""

    amount0: int
    amount1: int
    pool_after: ConcentratedLiquidityPool


class ConcentratedLiquidityPool(msgspec.Struct, frozen=True, dict=True):
    """A price, the liquidity around it, and how the liquidity changes at each initialised tick.

    An uninitialised pool has a price of 0. ``ticks`` must name every initialised tick, those with
    a net of 0 too: a swap rounds at each of them.
    """

    instrument: InstrumentId
    token0: InstrumentId
    token1: InstrumentId
    fee_pips: int
    """Hundredths of a basis point of the input."""
    tick_spacing: int
    sqrt_price_x96: int
    """Q64.96."""
    tick: int
    liquidity: int
    ticks: Mapping[int, int]
    """``liquidity_net`` by initialised tick: what enters as the price rises over it."""
    liquidity_gross: Mapping[int, int] | None = None
    """By tick: what all positions that begin or end there add up to. Without it, an event that
    leaves a tick with a net of 0 cannot be applied: whether the tick is still in use is unknown."""
    fee_protocol0: int = 0
    """The protocol takes one in so many of the fee on swaps that sell token 0; 0 for none."""
    fee_protocol1: int = 0
    fee_protocol_denominator: int = 0
    """Where it is not 0, ``fee_protocol0`` is a part of this many instead (PancakeSwap V3: 10000,
    Algebra: 1000)."""

    def __post_init__(self) -> None:
        if self.tick_spacing <= 0 or not 0 <= self.fee_pips < FEE_DENOMINATOR:
            raise PoolStateError(
                f"expected a tick spacing above 0 and a fee below {FEE_DENOMINATOR} pips;"
                f" found {self.tick_spacing} and {self.fee_pips}"
            )
        price = self.sqrt_price_x96
        if price and not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO:
            raise PoolStateError(f"no pool has the sqrt price {price}")
        if not 0 <= self.liquidity <= MAX_UINT128:
            raise PoolStateError(f"liquidity is a uint128; found {self.liquidity}")
        # A caller's dict may change behind the pool's back; what the pool made itself cannot.
        for name in ("ticks", "liquidity_gross"):
            mapping = getattr(self, name)
            if isinstance(mapping, dict):
                msgspec.structs.force_setattr(self, name, MappingProxyType(dict(mapping)))

    @property
    def tokens(self) -> tuple[InstrumentId, ...]:
        """Token 0 and token 1."""
        return self.token0, self.token1

    @property
    def price(self) -> Fraction:
        """Token 1 per token 0 in smallest units, before the fee: the sqrt price squared."""
        self._require_price()
        return Fraction(self.sqrt_price_x96**2, _PRICE_DENOMINATOR)

    def spot_price(self, token_in: InstrumentId, token_out: InstrumentId) -> Fraction:
        """``token_out`` per ``token_in`` in smallest units, at the margin, after the fee."""
        index, _ = other_token(self.tokens, token_in, token_out)
        price = self.price if index == 0 else self.price**-1
        return price * Fraction(FEE_DENOMINATOR - self.fee_pips, FEE_DENOMINATOR)

    @property
    def order(self) -> tuple[int, ...]:
        """The initialised ticks, ascending."""
        order: tuple[int, ...] | None = self.__dict__.get("order")
        if order is None:
            order = self.__dict__["order"] = tuple(sorted(self.ticks))
        return order

    def swap_exact_in(
        self,
        token_in: InstrumentId,
        amount_in: int,
        token_out: InstrumentId | None = None,
        *,
        sqrt_price_limit_x96: int | None = None,
    ) -> SwapResult[Self]:
        """Sell up to ``amount_in``, in the token's smallest unit: less when the pool runs dry.

        Raises :class:`SwapError` where the contract reverts.
        """
        index, _ = other_token(self.tokens, token_in, token_out)
        return self._swapped(index == 0, positive(amount_in), sqrt_price_limit_x96)

    def swap_exact_out(
        self,
        token_out: InstrumentId,
        amount_out: int,
        token_in: InstrumentId | None = None,
        *,
        sqrt_price_limit_x96: int | None = None,
    ) -> SwapResult[Self]:
        """Buy up to ``amount_out``, in the token's smallest unit: less when the pool runs dry.

        Raises :class:`SwapError` where the contract reverts.
        """
        index, _ = other_token(self.tokens, token_out, token_in)
        return self._swapped(index == 1, -positive(amount_out), sqrt_price_limit_x96)

    def walk(self, zero_for_one: bool, amount: int, price_limit: int | None = None) -> Walk:
        """A swap in the contract's terms; see :func:`torq_amm.concentrated.swap.walk`."""
        self._require_price()
        ranges = self.__dict__.get("ranges")
        if ranges is None:
            ranges = self.__dict__["ranges"] = Ranges(
                self.sqrt_price_x96, self.tick, self.liquidity,
                self.fee_pips, self.tick_spacing, self.order, self.ticks,
                self.fee_protocol_denominator,
            )  # fmt: skip
        fee_protocol = self.fee_protocol0 if zero_for_one else self.fee_protocol1
        return walk(ranges, zero_for_one, amount, price_limit, fee_protocol)

    def mint(self, tick_lower: int, tick_upper: int, liquidity: int) -> LiquidityResult:
        """Add a position's ``liquidity``. Raises :class:`SwapError` where the contract reverts."""
        return self._modified(tick_lower, tick_upper, positive(liquidity))

    def burn(self, tick_lower: int, tick_upper: int, liquidity: int) -> LiquidityResult:
        """Remove a position's ``liquidity``; 0 changes nothing. Raises as :meth:`mint`."""
        return self._modified(tick_lower, tick_upper, -liquidity)

    def apply(self, event: TLV) -> Self:
        """The pool after ``event``.

        Raises :class:`PoolStateError` when the event does not fit: a tick that no position uses, or
        a liquidity after a swap that the crossed ticks do not add up to.
        """
        if isinstance(event, PoolSwap):
            return self._after_swap(event)
        if isinstance(event, PoolMint):
            return self._with_position(event.tick_lower, event.tick_upper, event.liquidity)
        if isinstance(event, PoolBurn):
            return self._with_position(event.tick_lower, event.tick_upper, -event.liquidity)
        if isinstance(event, PoolInitialize):
            return self._with(sqrt_price_x96=event.sqrt_price_x96, tick=event.tick)
        if isinstance(event, PoolFee):
            if event.is_protocol:
                return self._with(
                    fee_protocol0=event.protocol_fee0, fee_protocol1=event.protocol_fee1
                )
            return self._with(fee_pips=event.fee)
        if isinstance(event, PoolPayment):
            return self
        raise PoolStateError(f"a concentrated-liquidity pool has no {type(event).__name__}")

    def _swapped(
        self, zero_for_one: bool, amount: int, price_limit: int | None
    ) -> SwapResult[Self]:
        state = self.walk(zero_for_one, amount, price_limit)
        after = self._at(state.sqrt_price_x96, state.tick, state.liquidity)
        return SwapResult(state.amount_in, state.amount_out, state.fee, after, state.protocol_fee)

    def _after_swap(self, event: PoolSwap) -> Self:
        self._require_price()
        crossed = _net_between(self.order, self.ticks, self.tick, event.tick)
        if self.liquidity + crossed != event.liquidity:
            raise PoolStateError(
                f"a swap from tick {self.tick} to {event.tick} leaves a liquidity of"
                f" {event.liquidity}; the ticks between them give {self.liquidity + crossed}"
            )
        after = self._at(event.sqrt_price_x96, event.tick, event.liquidity)
        if event.fee_pips and event.fee_pips != self.fee_pips:
            return after._with(fee_pips=event.fee_pips)
        return after

    def _modified(self, tick_lower: int, tick_upper: int, change: int) -> LiquidityResult:
        self._require_price()
        if not MIN_TICK <= tick_lower < tick_upper <= MAX_TICK:
            raise SwapError(f"no range of ticks goes from {tick_lower} to {tick_upper}")
        if tick_lower % self.tick_spacing or tick_upper % self.tick_spacing:
            raise SwapError(
                f"ticks {tick_lower} and {tick_upper} are not multiples of the spacing"
                f" {self.tick_spacing}"
            )
        try:
            after = self._with_position(tick_lower, tick_upper, change)
        except PoolStateError as error:
            raise SwapError(str(error)) from error
        amount0, amount1 = amounts_for_liquidity(
            self.sqrt_price_x96, self.tick, tick_lower, tick_upper, abs(change), change > 0
        )
        return LiquidityResult(amount0, amount1, after)

    def _with_position(self, tick_lower: int, tick_upper: int, change: int) -> Self:
        if change == 0:
            return self
        net = dict(self.ticks)
        gross = None if self.liquidity_gross is None else dict(self.liquidity_gross)
        for tick, delta in ((tick_lower, change), (tick_upper, -change)):
            net[tick] = net.get(tick, 0) + delta
            if gross is not None:
                gross[tick] = gross.get(tick, 0) + change
                if not 0 <= gross[tick] <= max_liquidity_per_tick(self.tick_spacing):
                    raise PoolStateError(
                        f"tick {tick} cannot have a gross liquidity of {gross[tick]}"
                    )
                if gross[tick] == 0:
                    del gross[tick], net[tick]
            elif net[tick] == 0:
                raise PoolStateError(
                    f"tick {tick} has a net of 0; without liquidity_gross it is unknown whether"
                    " a position still uses it"
                )
        liquidity = self.liquidity
        if tick_lower <= self.tick < tick_upper and self.sqrt_price_x96:
            liquidity += change
        return self._with(
            liquidity=checked(liquidity, MAX_UINT128),
            ticks=MappingProxyType(net),
            liquidity_gross=None if gross is None else MappingProxyType(gross),
        )

    def _at(self, sqrt_price_x96: int, tick: int, liquidity: int) -> Self:
        """This pool at another price: the ticks and their order stay."""
        after = type(self)(
            self.instrument, self.token0, self.token1, self.fee_pips, self.tick_spacing,
            sqrt_price_x96, tick, liquidity, self.ticks, self.liquidity_gross,
            self.fee_protocol0, self.fee_protocol1, self.fee_protocol_denominator,
        )  # fmt: skip
        after.__dict__["order"] = self.order
        return after

    def _with(self, **changes: Any) -> Self:
        return msgspec.structs.replace(self, **changes)

    def _require_price(self) -> None:
        if not self.sqrt_price_x96:
            raise SwapError("the pool is not initialised: it has no price")


def _net_between(
    order: tuple[int, ...], net: Mapping[int, int], tick_before: int, tick_after: int
) -> int:
    """What crossing every tick between two ticks adds to the liquidity."""
    low, high = sorted((tick_before, tick_after))
    crossed = sum(net[t] for t in order[bisect_right(order, low) : bisect_right(order, high)])
    return crossed if tick_after >= tick_before else -crossed
