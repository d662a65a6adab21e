"""Constant-product pools at the bounds of their words, their fee, their events."""

from __future__ import annotations

import msgspec
import pytest
from amm_pools import TOKENS, event, pair

from torq_amm import get_amount_in, get_amount_out
from torq_types import (
    PoolBurn,
    PoolInitialize,
    PoolMint,
    PoolStateError,
    PoolSwap,
    PoolSync,
    SwapError,
)

MAX112 = (1 << 112) - 1
MAX256 = (1 << 256) - 1


def test_the_library_s_words_are_uint256() -> None:
    """By hand, where ``amountIn * 997`` and its sums and products just fit, and where not."""
    # With reserves of 1 the denominator is 1000 + traded.
    fits = (MAX256 - 1000) // 997
    assert get_amount_out(fits, 1, 1) == 0
    with pytest.raises(SwapError, match="uint256"):
        get_amount_out(fits + 2, 1, 1)
    with pytest.raises(SwapError, match="uint256"):
        get_amount_out(MAX256 // 997 + 1, 1, 1)
    # traded * reserveOut: 997 * (2**256 - 1) / 997.
    assert get_amount_out(1, 1, MAX256 // 997) == MAX256 // 997 * 997 // 1997
    with pytest.raises(SwapError, match="uint256"):
        get_amount_out(1, 1, MAX256 // 997 + 1)
    # reserveIn * amountOut * 1000.
    most = MAX256 // 1000
    assert get_amount_in(1, most, 2) == most * 1000 // 997 + 1
    with pytest.raises(SwapError, match="uint256"):
        get_amount_in(1, most + 1, 2)
    # (reserveOut - amountOut) * 997.
    assert get_amount_in(1, 1, MAX256 // 997 + 1) == 1
    with pytest.raises(SwapError, match="uint256"):
        get_amount_in(1, 1, MAX256 // 997 + 2)


def test_the_least_of_everything() -> None:
    """By hand: 997 * 1 * 2000 / (1 * 1000 + 997) and 1 * 1 * 1000 / (1 * 997) + 1."""
    assert get_amount_out(1, 1, 2000) == 998
    assert get_amount_in(1, 1, 2) == 2
    for amount in (0, -1):
        with pytest.raises(SwapError, match="above 0"):
            get_amount_out(amount, 5, 5)
        with pytest.raises(SwapError, match="above 0"):
            get_amount_in(amount, 5, 5)
    for reserve_in, reserve_out in ((0, 5), (5, 0), (-1, 5), (5, -1)):
        with pytest.raises(SwapError, match="liquidity"):
            get_amount_out(1, reserve_in, reserve_out)
        with pytest.raises(SwapError, match="liquidity"):
            get_amount_in(1, reserve_in, reserve_out)


def test_reserves_are_uint112() -> None:
    assert pair(1, (0, 1), (MAX112, MAX112)).reserve0 == MAX112
    assert pair(1, (0, 1), (0, 0)).reserve0 == 0
    for reserves in ((MAX112 + 1, 1), (1, MAX112 + 1), (-1, 1), (1, -1)):
        with pytest.raises(PoolStateError, match="uint112"):
            pair(1, (0, 1), reserves)
    pool = pair(1, (0, 1), (MAX112 - 1000, 10**33))
    assert pool.swap_exact_in(TOKENS[0], 1000).pool_after.reserve0 == MAX112
    with pytest.raises(SwapError, match="uint112"):
        pool.swap_exact_in(TOKENS[0], 1001)


def test_a_fee_leaves_something_to_trade() -> None:
    assert pair(1, (0, 1), (5, 5), 0).fee_numerator == 1000
    assert pair(1, (0, 1), (5, 5), 999).fee_numerator == 1
    for fee in (1000, -1, 1001):
        with pytest.raises(PoolStateError, match="fee_numerator"):
            pair(1, (0, 1), (5, 5), fee)


@pytest.mark.parametrize("side", [0, 1])
def test_both_directions_by_hand(side: int) -> None:
    """100 in, against 1000 and 5000, with a fee of 2.5 %: 97.5 * 5000 / 1097.5 = 444.19."""
    reserves = (1000, 5000) if side == 0 else (5000, 1000)
    pool = pair(1, (0, 1), reserves, 25)
    token_in, token_out = TOKENS[side], TOKENS[1 - side]
    sold = pool.swap_exact_in(token_in, 100)
    # The fee is 2.5, kept in whole units of what was paid in.
    assert (sold.amount_in, sold.amount_out, sold.fee, sold.protocol_fee) == (100, 444, 3, 0)
    after = (1100, 4556) if side == 0 else (4556, 1100)
    assert (sold.pool_after.reserve0, sold.pool_after.reserve1) == after
    assert pool.amount_out(token_in, 100) == 444
    # 1000 * 444 * 1000 / (4556 * 975) = 99.95, and the library adds one to the whole part.
    bought = pool.swap_exact_out(token_out, 444)
    assert (bought.amount_in, bought.amount_out, bought.fee) == (100, 444, 3)
    assert bought.pool_after == sold.pool_after
    # 120 keep exactly 3.
    assert pool.swap_exact_in(token_in, 120).fee == 3
    assert pool.swap_exact_in(token_in, 121).fee == 4


def test_what_buys_nothing_is_refused() -> None:
    pool = pair(1, (0, 1), (1000, 10))
    with pytest.raises(SwapError, match="above 0"):
        pool.swap_exact_in(TOKENS[0], 1)
    with pytest.raises(SwapError, match="above 0"):
        pool.amount_out(TOKENS[0], 1)


def test_a_pool_of_other_tokens_may_still_trade() -> None:
    """Only a pool's own tokens make its amounts unknown."""
    pool = pair(1, (0, 1), (1000, 1000))
    assert (
        msgspec.structs.replace(pool, fee_on_transfer=(TOKENS[2],)).amount_out(TOKENS[0], 10) == 9
    )
    for token in TOKENS[:2]:
        taxed = msgspec.structs.replace(pool, fee_on_transfer=(TOKENS[2], token))
        for attempt in (taxed.swap_exact_in, taxed.swap_exact_out, taxed.amount_out):
            with pytest.raises(SwapError, match="keeps a part"):
                attempt(TOKENS[0], 10)
        with pytest.raises(SwapError, match="keeps a part"):
            taxed.spot_price(TOKENS[0], TOKENS[1])


def test_events() -> None:
    pool = msgspec.structs.replace(pair(1, (0, 1), (1000, 5000), 25), fee_on_transfer=(TOKENS[5],))
    synced = pool.apply(event(PoolSync, reserve0=7, reserve1=9))
    assert synced == msgspec.structs.replace(pool, reserve0=7, reserve1=9)
    # Each of these comes with a Sync, which says all.
    assert pool.apply(event(PoolSwap, amount0=5)) is pool
    assert pool.apply(event(PoolMint, amount0=5)) is pool
    assert pool.apply(event(PoolBurn, amount0=5)) is pool
    with pytest.raises(PoolStateError, match="PoolInitialize"):
        pool.apply(event(PoolInitialize))
