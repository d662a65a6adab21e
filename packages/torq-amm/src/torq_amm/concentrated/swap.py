"""One swap through the ranges of a concentrated-liquidity pool.

Source: Uniswap V3's ``SwapMath.computeSwapStep`` and ``UniswapV3Pool.swap``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from torq_amm.concentrated.sqrt_price import (
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)
from torq_amm.concentrated.ticks import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
    next_initialized_tick_within_one_word,
)
from torq_amm.integers import MAX_UINT128, checked
from torq_types import SwapError

__all__ = ["FEE_DENOMINATOR", "Ranges", "Walk", "compute_swap_step", "walk"]

FEE_DENOMINATOR = 1_000_000
"""Fees are in pips, hundredths of a basis point."""


class Ranges(msgspec.Struct, frozen=True):
    """What a swap reads of a pool."""

    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_pips: int
    tick_spacing: int
    order: Sequence[int]
    """The initialised ticks, ascending."""
    liquidity_net: Mapping[int, int]
    fee_protocol_denominator: int = 0
    """0: the protocol takes one in so many of the fee; otherwise so many of this."""


class Walk(msgspec.Struct):
    """Where a swap stands; at its end, what it did."""

    remaining: int
    """Above 0: of the exact input; below 0: of the exact output, negated."""
    sqrt_price_x96: int
    tick: int
    liquidity: int
    amount_in: int = 0
    """With the fee."""
    amount_out: int = 0
    fee: int = 0
    protocol_fee: int = 0
    crossings: int = 0


def compute_swap_step(
    current: int, target: int, liquidity: int, remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    """The next price, amount in, amount out and fee within one range of constant liquidity.

    Prices are Q64.96; ``remaining`` is above 0 for an exact input, below 0 for an exact output;
    the amount in is without the fee. Source: ``SwapMath.computeSwapStep``.
    """
    zero_for_one = current >= target
    if remaining >= 0:
        after_fee = remaining * (FEE_DENOMINATOR - fee_pips) // FEE_DENOMINATOR
        amount_in = _amount_in(current, target, liquidity, zero_for_one)
        if after_fee >= amount_in:
            reached = target
        else:
            reached = get_next_sqrt_price_from_input(current, liquidity, after_fee, zero_for_one)
            amount_in = _amount_in(current, reached, liquidity, zero_for_one)
        amount_out = _amount_out(current, reached, liquidity, zero_for_one)
        if reached != target:
            # What is left over from the rounding is the pool's: it takes the whole input.
            return reached, amount_in, amount_out, remaining - amount_in
    else:
        amount_out = _amount_out(current, target, liquidity, zero_for_one)
        if -remaining >= amount_out:
            reached = target
        else:
            reached = get_next_sqrt_price_from_output(current, liquidity, -remaining, zero_for_one)
            amount_out = min(_amount_out(current, reached, liquidity, zero_for_one), -remaining)
        amount_in = _amount_in(current, reached, liquidity, zero_for_one)
    fee = -(-amount_in * fee_pips // (FEE_DENOMINATOR - fee_pips))
    return reached, amount_in, amount_out, fee


def walk(
    pool: Ranges, zero_for_one: bool, amount: int, price_limit: int | None, fee_protocol: int
) -> Walk:
    """Swap ``amount`` (above 0: exact input; below 0: exact output), to ``price_limit`` at most.

    ``fee_protocol`` is the protocol's part of the fee as the contract keeps it, 0 for none. Raises
    :class:`SwapError` where the contract reverts.
    Source: ``UniswapV3Pool.swap``.
    """
    limit = _price_limit(pool.sqrt_price_x96, zero_for_one, price_limit)
    state = Walk(amount, pool.sqrt_price_x96, pool.tick, pool.liquidity)
    exact_in = amount > 0
    while state.remaining != 0 and state.sqrt_price_x96 != limit:
        start = state.sqrt_price_x96
        boundary, initialized = next_initialized_tick_within_one_word(
            pool.order, state.tick, pool.tick_spacing, zero_for_one
        )
        boundary = max(MIN_TICK, min(MAX_TICK, boundary))
        boundary_price = get_sqrt_ratio_at_tick(boundary)
        target = max(boundary_price, limit) if zero_for_one else min(boundary_price, limit)
        price, amount_in, amount_out, fee = compute_swap_step(
            start, target, state.liquidity, state.remaining, pool.fee_pips
        )
        state.remaining += -(amount_in + fee) if exact_in else amount_out
        state.amount_in += amount_in + fee
        state.amount_out += amount_out
        state.fee += fee
        if fee_protocol:
            parts = pool.fee_protocol_denominator
            state.protocol_fee += fee * fee_protocol // parts if parts else fee // fee_protocol
        state.sqrt_price_x96 = price
        if price == boundary_price:
            if initialized:
                net = pool.liquidity_net[boundary]
                state.liquidity += -net if zero_for_one else net
                checked(state.liquidity, MAX_UINT128)
                state.crossings += 1
            state.tick = boundary - 1 if zero_for_one else boundary
        elif price != start:
            state.tick = get_tick_at_sqrt_ratio(price)
    return state


def _price_limit(current: int, zero_for_one: bool, limit: int | None) -> int:
    if limit is None:
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
    is_legal = (
        MIN_SQRT_RATIO < limit < current if zero_for_one else current < limit < MAX_SQRT_RATIO
    )
    if not is_legal:
        raise SwapError(
            f"the price limit {limit} is not on the way from {current}"
            f" {'down' if zero_for_one else 'up'}"
        )
    return limit


def _amount_in(current: int, reached: int, liquidity: int, zero_for_one: bool) -> int:
    delta = get_amount0_delta if zero_for_one else get_amount1_delta
    return delta(current, reached, liquidity, True)


def _amount_out(current: int, reached: int, liquidity: int, zero_for_one: bool) -> int:
    delta = get_amount1_delta if zero_for_one else get_amount0_delta
    return delta(current, reached, liquidity, False)
