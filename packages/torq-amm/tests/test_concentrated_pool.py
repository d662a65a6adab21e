"""Concentrated pools as values: prices, protocol fees, positions at their ends, limits, events."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from amm_pools import ETHER, TOKENS, event

from torq_amm import ConcentratedLiquidityPool
from torq_amm.concentrated import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    amounts_for_liquidity,
    get_amount0_delta,
    get_amount1_delta,
    get_sqrt_ratio_at_tick,
    liquidity_for_amounts,
)
from torq_types import (
    InstrumentId,
    PoolBurn,
    PoolFee,
    PoolInitialize,
    PoolMint,
    PoolPayment,
    PoolStateError,
    PoolSwap,
    PoolSync,
    SwapError,
    Venue,
)

ONE = 1 << 96
MAX128 = (1 << 128) - 1
TOKEN0, TOKEN1 = TOKENS[:2]


def pool(**changes: Any) -> ConcentratedLiquidityPool:
    """At a price of 1, with one position from -600 to 600."""
    values: dict[str, Any] = {
        "instrument": InstrumentId.pool(Venue.UNISWAP_V3, 1, bytes(20)), "token0": TOKEN0,
        "token1": TOKEN1, "fee_pips": 3000, "tick_spacing": 60, "sqrt_price_x96": ONE, "tick": 0,
        "liquidity": ETHER, "ticks": {-600: ETHER, 600: -ETHER},
        "liquidity_gross": {-600: ETHER, 600: ETHER},
    }  # fmt: skip
    return ConcentratedLiquidityPool(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "is_legal"),
    [
        ({"tick_spacing": 1}, True), ({"tick_spacing": 0}, False), ({"tick_spacing": -1}, False),
        ({"fee_pips": 0}, True), ({"fee_pips": 999_999}, True), ({"fee_pips": 10**6}, False),
        ({"fee_pips": -1}, False), ({"liquidity": 0}, True), ({"liquidity": -1}, False),
        ({"liquidity": MAX128}, True), ({"liquidity": MAX128 + 1}, False),
        ({"sqrt_price_x96": MIN_SQRT_RATIO}, True), ({"sqrt_price_x96": MIN_SQRT_RATIO - 1}, False),
        ({"sqrt_price_x96": MAX_SQRT_RATIO - 1}, True), ({"sqrt_price_x96": MAX_SQRT_RATIO}, False),
        ({"sqrt_price_x96": 0}, True),
    ],
)  # fmt: skip
def test_bounds_of_a_pool(changes: dict[str, int], is_legal: bool) -> None:
    if is_legal:
        found = pool(**changes)
        assert all(getattr(found, name) == value for name, value in changes.items())
    else:
        with pytest.raises(PoolStateError):
            pool(**changes)


def test_prices_away_from_one() -> None:
    """By hand: a sqrt price of 2 is a price of 4; 0.3 % of what comes in stays."""
    four = pool(sqrt_price_x96=2 * ONE, tick=13863, liquidity=0)
    assert four.price == 4
    assert four.spot_price(TOKEN0, TOKEN1) == 4 * Fraction(997, 1000)
    assert four.spot_price(TOKEN1, TOKEN0) == Fraction(997, 4000)
    with pytest.raises(SwapError, match="not initialised"):
        _ = pool(sqrt_price_x96=0).price


def test_order_is_kept() -> None:
    found = pool(ticks={600: -ETHER, -600: ETHER})
    assert found.order == (-600, 600)
    assert found.swap_exact_in(TOKEN0, 1000).pool_after.order is found.order
    assert pool(ticks={}).order == ()


@pytest.mark.parametrize("side", [0, 1])
def test_what_the_protocol_takes_of_the_fee(side: int) -> None:
    """By hand, of a fee of 3000: one in four; of 10000 parts (PancakeSwap); of 1000 (Algebra)."""
    token_in, token_out = TOKENS[side], TOKENS[1 - side]
    amount = 10**6
    assert pool().swap_exact_in(token_in, amount).fee == 3000
    assert pool().swap_exact_in(token_in, amount).protocol_fee == 0
    for share, denominator, expected in (
        (4, 0, 750), (7, 0, 428), (1300, 10_000, 390), (1333, 10_000, 399), (150, 1000, 450),
    ):  # fmt: skip
        names = "fee_protocol0", "fee_protocol1"
        mine, other = names[side], names[1 - side]
        taxed = pool(**{mine: share, other: 0}, fee_protocol_denominator=denominator)
        result = taxed.swap_exact_in(token_in, amount)
        assert (result.fee, result.protocol_fee) == (3000, expected)
        assert result.amount_out == pool().swap_exact_in(token_in, amount).amount_out
        bought = taxed.swap_exact_out(token_out, result.amount_out)
        assert bought.protocol_fee in (expected, expected - 1)
        spared = pool(**{mine: 0, other: share}, fee_protocol_denominator=denominator)
        assert spared.swap_exact_in(token_in, amount).protocol_fee == 0


def test_a_price_limit_lies_on_the_way() -> None:
    for token, limit in (
        (TOKEN0, ONE), (TOKEN0, ONE + 1), (TOKEN0, MIN_SQRT_RATIO), (TOKEN1, ONE),
        (TOKEN1, ONE - 1), (TOKEN1, MAX_SQRT_RATIO),
    ):  # fmt: skip
        with pytest.raises(SwapError, match="price limit"):
            pool().swap_exact_in(token, 5, sqrt_price_limit_x96=limit)
        with pytest.raises(SwapError, match="price limit"):
            pool().swap_exact_out(
                TOKEN1 if token == TOKEN0 else TOKEN0, 5, sqrt_price_limit_x96=limit
            )
    for token, limit in (
        (TOKEN0, ONE - 1), (TOKEN0, MIN_SQRT_RATIO + 1), (TOKEN1, ONE + 1),
        (TOKEN1, MAX_SQRT_RATIO - 1),
    ):  # fmt: skip
        assert pool().swap_exact_in(token, 10**25, sqrt_price_limit_x96=limit).amount_in > 0


def test_without_a_limit_a_swap_goes_to_the_end_of_all_prices() -> None:
    """The contract's router puts the last legal price in."""
    down = pool().swap_exact_in(TOKEN0, 10**30).pool_after
    assert (down.sqrt_price_x96, down.tick) == (MIN_SQRT_RATIO + 1, MIN_TICK)
    up = pool().swap_exact_in(TOKEN1, 10**30).pool_after
    assert (up.sqrt_price_x96, up.tick) == (MAX_SQRT_RATIO - 1, MAX_TICK - 1)
    assert down.liquidity == up.liquidity == 0


def test_at_a_tick_the_side_decides_whether_it_was_crossed() -> None:
    """Down to the price of tick -600 exactly: crossed, and the tick is the one below."""
    lower, upper = get_sqrt_ratio_at_tick(-600), get_sqrt_ratio_at_tick(600)
    down = pool().swap_exact_in(TOKEN0, 10**30, sqrt_price_limit_x96=lower).pool_after
    assert (down.tick, down.liquidity) == (-601, 0)
    up = pool().swap_exact_in(TOKEN1, 10**30, sqrt_price_limit_x96=upper).pool_after
    assert (up.tick, up.liquidity) == (600, 0)
    # Back over it: the liquidity is there again.
    back = down.swap_exact_in(TOKEN1, 1000).pool_after
    assert (back.tick, back.liquidity) == (-600, ETHER)
    assert down.walk(False, 1000).crossings == 1
    assert up.swap_exact_in(TOKEN0, 1000).pool_after.liquidity == ETHER
    # A limit right above stops before the tick.
    near = pool().swap_exact_in(TOKEN0, 10**30, sqrt_price_limit_x96=lower + 1).pool_after
    assert (near.tick, near.liquidity) == (-600, ETHER)


def test_a_swap_may_not_leave_more_liquidity_than_a_word_holds() -> None:
    full = pool(liquidity=MAX128, ticks={-60: -1, 60: 1}, liquidity_gross=None)
    for token in (TOKEN0, TOKEN1):
        with pytest.raises(SwapError, match="uint128"):
            full.swap_exact_in(token, 10**40)


@pytest.mark.parametrize(
    ("tick", "has0", "has1"),
    [(-121, True, False), (-120, True, True), (59, True, True), (60, False, True)],
)
def test_a_position_holds_what_its_price_says(tick: int, has0: bool, has1: bool) -> None:
    """From -120 to 60: the lower end is within, the upper end is not."""
    price = get_sqrt_ratio_at_tick(tick) + 5
    amounts = amounts_for_liquidity(price, tick, -120, 60, ETHER, True)
    assert (amounts[0] > 0, amounts[1] > 0) == (has0, has1)
    lower, upper = get_sqrt_ratio_at_tick(-120), get_sqrt_ratio_at_tick(60)
    expected = (
        get_amount0_delta(max(price, lower), upper, ETHER, True) if has0 else 0,
        get_amount1_delta(lower, min(price, upper), ETHER, True) if has1 else 0,
    )
    assert amounts == expected
    before = pool(sqrt_price_x96=price, tick=tick)
    minted = before.mint(-120, 60, ETHER)
    assert (minted.amount0, minted.amount1) == amounts
    is_in_range = has0 and has1
    assert minted.pool_after.liquidity == ETHER * (2 if is_in_range else 1)
    assert minted.pool_after.ticks == {-600: ETHER, -120: ETHER, 60: -ETHER, 600: -ETHER}


def test_liquidity_that_amounts_pay_for() -> None:
    """By hand around the ends; within, the scarcer amount decides."""
    lower, upper = get_sqrt_ratio_at_tick(-60), get_sqrt_ratio_at_tick(60)
    for price in (lower - 1, lower):
        assert liquidity_for_amounts(price, -60, 60, 10**18, 0) == (
            10**18 * (lower * upper // ONE) // (upper - lower)
        )
    for price in (upper, upper + 1):
        assert liquidity_for_amounts(price, -60, 60, 0, 10**18) == 10**18 * ONE // (upper - lower)
    within = liquidity_for_amounts(ONE, -60, 60, 10**18, 10**18)
    assert within == min(
        10**18 * (ONE * upper // ONE) // (upper - ONE), 10**18 * ONE // (ONE - lower)
    )
    assert liquidity_for_amounts(ONE, -60, 60, 10**18, 10**9) == 10**9 * ONE // (ONE - lower)
    assert liquidity_for_amounts(ONE, -60, 60, 10**9, 10**18) == 10**9 * upper // (upper - ONE)
    # A uint128 in the contract.
    width = upper - lower
    most = (MAX128 * width + width - 1) // ONE
    assert liquidity_for_amounts(upper, -60, 60, 0, most) <= MAX128
    with pytest.raises(SwapError, match="uint128"):
        liquidity_for_amounts(upper, -60, 60, 0, most + 1)
    with pytest.raises(SwapError, match="uint128"):
        liquidity_for_amounts(lower, -60, 60, 1 << 128, 0)


def test_a_mint_is_on_the_grid_and_within_all_ticks() -> None:
    widest = MAX_TICK // 60 * 60
    assert pool().mint(-widest, widest, 1).amount0 == 1
    for lower, upper in ((60, 60), (60, -60), (-widest - 60, 60), (-60, widest + 60)):
        with pytest.raises(SwapError, match="range"):
            pool().mint(lower, upper, 1)
    for lower, upper in ((-60, 61), (-59, 60)):
        with pytest.raises(SwapError, match="spacing"):
            pool().mint(lower, upper, 1)
    single = pool(tick_spacing=1)
    assert single.mint(MIN_TICK, MAX_TICK, 1).pool_after.order == (MIN_TICK, -600, 600, MAX_TICK)
    for amount in (0, -1):
        with pytest.raises(SwapError, match="above 0"):
            pool().mint(-60, 60, amount)
    with pytest.raises(SwapError, match="not initialised"):
        pool(sqrt_price_x96=0).mint(-60, 60, 1)


def test_a_tick_takes_so_much_and_gives_what_it_has() -> None:
    """Uniswap's ``maxLiquidityPerTick`` for a spacing of 60."""
    most = 11505743598341114571880798222544994
    full = pool(ticks={}, liquidity_gross={}, liquidity=0).mint(-60, 60, most).pool_after
    assert full.liquidity == most
    for attempt in (full.mint, full.burn):
        with pytest.raises(SwapError, match="gross"):
            attempt(
                -60, 120 if attempt == full.mint else 60, 1 if attempt == full.mint else most + 1
            )
    emptied = full.burn(-60, 60, most).pool_after
    assert (dict(emptied.ticks), dict(emptied.liquidity_gross or {})) == ({}, {})
    assert full.burn(-60, 60, 0).pool_after is full


def test_a_tick_of_two_positions_stays_when_one_goes() -> None:
    """One ends where the other begins: a net of zero, and still in use."""
    before = pool(ticks={}, liquidity_gross={}, liquidity=0)
    both = before.mint(-60, 0, 500).pool_after.mint(0, 60, 500).pool_after
    assert dict(both.ticks) == {-60: 500, 0: 0, 60: -500}
    assert both.liquidity_gross == {-60: 500, 0: 1000, 60: 500}
    one = both.burn(0, 60, 500).pool_after
    assert dict(one.ticks) == {-60: 500, 0: -500}
    assert one.liquidity_gross == {-60: 500, 0: 500}
    unknown = msgspec.structs.replace(both, liquidity_gross=None)
    with pytest.raises(SwapError, match="net of 0"):
        unknown.burn(-60, 0, 500)
    assert dict(unknown.burn(-60, 0, 499).pool_after.ticks)[0] == 499


def test_liquidity_of_another_range_changes_nothing_here() -> None:
    for lower, upper in ((60, 120), (-120, 0)):
        assert pool().mint(lower, upper, 7).pool_after.liquidity == ETHER
    for lower, upper in ((0, 60), (-60, 60)):
        assert pool().mint(lower, upper, 7).pool_after.liquidity == ETHER + 7
    # Without a price no range is active.
    early = event(PoolMint, tick_lower=-60, tick_upper=60, liquidity=7)
    assert pool(sqrt_price_x96=0, liquidity=0).apply(early).liquidity == 0
    with pytest.raises(SwapError, match="uint128"):
        pool(liquidity=MAX128, liquidity_gross=None).mint(-60, 60, 1)


def test_events() -> None:
    before = pool()
    added = before.apply(event(PoolMint, tick_lower=-60, tick_upper=60, liquidity=7))
    assert added == before.mint(-60, 60, 7).pool_after
    removed = added.apply(event(PoolBurn, tick_lower=-60, tick_upper=60, liquidity=7))
    assert removed == before
    begun = pool(sqrt_price_x96=0, tick=0, liquidity=0, ticks={}, liquidity_gross={})
    started = begun.apply(event(PoolInitialize, sqrt_price_x96=2 * ONE, tick=13863))
    assert (started.sqrt_price_x96, started.tick) == (2 * ONE, 13863)
    assert before.apply(event(PoolPayment, amount0=5)) is before
    assert before.apply(event(PoolFee, fee=500)) == msgspec.structs.replace(before, fee_pips=500)
    shared = before.apply(event(PoolFee, fee=500, protocol_fee0=4, protocol_fee1=9, is_protocol=1))
    assert shared == msgspec.structs.replace(before, fee_protocol0=4, fee_protocol1=9)
    with pytest.raises(PoolStateError, match="PoolSync"):
        before.apply(event(PoolSync))


@pytest.mark.parametrize("token", [TOKEN0, TOKEN1])
def test_a_swap_s_event_leaves_what_its_ticks_add_up_to(token: InstrumentId) -> None:
    before = pool().mint(-120, 120, 5).pool_after
    for limit in (-180, -120, -60, 60, 120, 180):
        if (limit < 0) is not (token == TOKEN0):
            continue
        price = get_sqrt_ratio_at_tick(limit)
        after = before.swap_exact_in(token, 10**30, sqrt_price_limit_x96=price).pool_after
        values = {"sqrt_price_x96": price, "tick": after.tick, "liquidity": after.liquidity}
        assert before.apply(event(PoolSwap, **values)) == after
        # And from there back again.
        back = {"sqrt_price_x96": ONE, "tick": 0, "liquidity": before.liquidity}
        assert after.apply(event(PoolSwap, **back)) == before
        with pytest.raises(PoolStateError, match="liquidity"):
            before.apply(event(PoolSwap, **values | {"liquidity": after.liquidity + 1}))
    with pytest.raises(SwapError, match="not initialised"):
        pool(sqrt_price_x96=0).apply(event(PoolSwap, sqrt_price_x96=ONE, liquidity=ETHER))


def test_a_swap_may_tell_its_fee() -> None:
    """Uniswap V4's log does, and a fee that changes shows there first."""
    before = pool()
    values = {"sqrt_price_x96": ONE + 5, "tick": 0, "liquidity": ETHER}
    assert before.apply(event(PoolSwap, **values)).fee_pips == 3000
    changed = before.apply(event(PoolSwap, **values, fee_pips=700))
    assert (changed.fee_pips, changed.sqrt_price_x96) == (700, ONE + 5)
    same = before.apply(event(PoolSwap, **values, fee_pips=3000))
    assert same.order is before.order


def test_a_pool_keeps_its_own_gross_liquidity() -> None:
    gross = {-600: ETHER, 600: ETHER}
    found = pool(liquidity_gross=gross)
    gross[0] = 1
    assert found.liquidity_gross == {-600: ETHER, 600: ETHER}
    assert pool(liquidity_gross=None).liquidity_gross is None


def test_three_tokens_are_never_meant() -> None:
    with pytest.raises(SwapError, match="two different"):
        pool().swap_exact_in(TOKEN0, 1, TOKEN0)
    assert pool().swap_exact_in(TOKEN0, 1000, TOKEN1) == pool().swap_exact_in(TOKEN0, 1000)
    for amount in (0, -1):
        with pytest.raises(SwapError, match="above 0"):
            pool().swap_exact_in(TOKEN0, amount)
        with pytest.raises(SwapError, match="above 0"):
            pool().swap_exact_out(TOKEN0, amount)
