from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torq_amm import (
    ConstantProductPool,
    StableSwapPool,
    WeightedPool,
    get_amount_in,
    get_amount_out,
)
from torq_amm.stable_swap import amplification_at
from torq_types import (
    BalanceChange,
    InstrumentId,
    PoolBalanceChange,
    PoolStateError,
    SwapError,
    TokenChange,
    Venue,
)

TOKENS = tuple(InstrumentId.token(1, bytes([number]) * 20) for number in (1, 2, 3))
ETHER = 10**18


def constant(reserve0: int, reserve1: int, numerator: int = 997) -> ConstantProductPool:
    """A Uniswap V2 pair."""
    instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\x09" * 20)
    return ConstantProductPool(instrument, TOKENS[0], TOKENS[1], reserve0, reserve1, numerator)


def stable(*balances: int) -> StableSwapPool:
    """A plain pool with A = 100 and a fee of 4 basis points."""
    instrument = InstrumentId.pool(Venue.CURVE, 1, b"\x09" * 20)
    rates = (ETHER, 10**30, 10**30)[: len(balances)]
    return StableSwapPool(instrument, TOKENS[: len(balances)], balances, rates, 10000, 4_000_000)


def weighted(*balances: int) -> WeightedPool:
    """60 % and 40 %, with a fee of 0.3 %."""
    instrument = InstrumentId.pool(Venue.BALANCER_V2, 1, b"\x09" * 32)
    weights = 6 * 10**17, 4 * 10**17
    return WeightedPool(instrument, TOKENS[:2], balances, weights, 3 * 10**15, (18, 6))


def test_published_amounts_out() -> None:
    """The vectors of Uniswap V2 Core's pair tests: amount, reserves, amount out."""
    for amount, reserve_in, reserve_out, expected in (
        (1, 5, 10, 1662497915624478906),
        (1, 10, 5, 453305446940074565),
        (2, 5, 10, 2851015155847869602),
        (2, 10, 5, 831248957812239453),
        (1, 10, 10, 906610893880149131),
        (1, 100, 100, 987158034397061298),
        (1, 1000, 1000, 996006981039903216),
    ):
        found = get_amount_out(amount * ETHER, reserve_in * ETHER, reserve_out * ETHER)
        assert found == expected


@given(
    st.integers(1, 1 << 111), st.integers(1, 1 << 111), st.integers(1, 1 << 100),
    st.sampled_from([(997, 1000), (9975, 10000), (1, 1)]),
)  # fmt: skip
def test_the_product_never_falls_and_the_inverse_costs_no_more(
    reserve_in: int, reserve_out: int, amount: int, fee: tuple[int, int]
) -> None:
    out = get_amount_out(amount, reserve_in, reserve_out, *fee)
    assert (reserve_in + amount) * (reserve_out - out) >= reserve_in * reserve_out
    if 0 < out < reserve_out:
        cost = get_amount_in(out, reserve_in, reserve_out, *fee)
        # The contract adds one to the quotient even when it is exact.
        assert cost <= amount + 1
        assert get_amount_out(cost, reserve_in, reserve_out, *fee) >= out


def test_what_the_contract_would_revert() -> None:
    with pytest.raises(SwapError, match="insufficient liquidity"):
        get_amount_out(1, 0, 5)
    with pytest.raises(SwapError, match="above 0"):
        get_amount_out(0, 5, 5)
    with pytest.raises(SwapError, match="insufficient liquidity"):
        get_amount_in(5, 5, 5)
    with pytest.raises(SwapError, match="uint112"):
        constant((1 << 112) - 1, 10**6).swap_exact_in(TOKENS[0], 10**33)
    with pytest.raises(PoolStateError, match="uint112"):
        constant(1 << 112, 1)
    with pytest.raises(PoolStateError, match="fee_numerator"):
        constant(1, 1, 1001)


def test_a_token_that_keeps_a_part_is_refused() -> None:
    pool = constant(1000, 1000)
    pool = ConstantProductPool(
        pool.instrument, TOKENS[0], TOKENS[1], 1000, 1000, fee_on_transfer=(TOKENS[1],)
    )
    with pytest.raises(SwapError, match="keeps a part"):
        pool.swap_exact_in(TOKENS[0], 10)


def test_prices() -> None:
    assert constant(200, 100).price == Fraction(1, 2)
    assert constant(200, 100).spot_price(TOKENS[1], TOKENS[0]) == 2 * Fraction(997, 1000)
    with pytest.raises(SwapError, match="empty"):
        _ = constant(0, 0).price
    assert stable(1000 * ETHER, 1000 * 10**6).price == Fraction(1, 10**12)
    assert weighted(6 * ETHER, 4 * 10**6).price == Fraction(1, 10**12)


@given(st.integers(10**6, 10**12), st.integers(10**6, 10**12), st.integers(1, 10**10))
def test_stable_swaps_never_lower_the_invariant(first: int, second: int, amount: int) -> None:
    pool = stable(first * 10**12, second)
    try:
        result = pool.swap_exact_in(TOKENS[1], amount)
        before, after = pool.invariant, result.pool_after.invariant
    except SwapError:
        return
    # The administrator's half of the fee leaves; the rest of it stays.
    assert after >= before - 2
    if result.amount_out:
        bought = pool.swap_exact_out(TOKENS[0], result.amount_out)
        assert bought.amount_in <= amount
        assert bought.amount_out >= result.amount_out


def test_an_exchange_that_does_not_fit_the_state_is_refused() -> None:
    pool = stable(1000 * ETHER, 1000 * 10**6)
    result = pool.swap_exact_in(TOKENS[0], ETHER)
    assert pool.apply(_exchange(ETHER, result.amount_out)) == result.pool_after
    with pytest.raises(PoolStateError, match="would have"):
        pool.apply(_exchange(ETHER, result.amount_out + 1))


def test_amplification_ramps_linearly() -> None:
    assert amplification_at(1000, 2000, 100, 200, 150) == 1500
    assert amplification_at(2000, 1000, 100, 200, 150) == 1500
    assert amplification_at(2000, 1000, 100, 200, 300) == 1000


@given(st.integers(1, 10**17), st.integers(10**5, 10**12))
def test_weighted_swaps_lose_to_rounding_and_fee_only(amount: int, balance: int) -> None:
    pool = weighted(ETHER, balance)
    out = pool.swap_exact_in(TOKENS[0], amount).amount_out
    assert out <= balance * amount * 6 // (ETHER * 4) + 1
    if out:
        assert pool.swap_exact_out(TOKENS[1], out).amount_in <= amount * 1001 // 1000 + 2


def test_a_weighted_pool_trades_at_most_a_third() -> None:
    with pytest.raises(SwapError, match="30 %"):
        weighted(ETHER, 10**6).swap_exact_in(TOKENS[0], ETHER)
    with pytest.raises(PoolStateError, match="1e18"):
        WeightedPool(weighted(1, 1).instrument, TOKENS[:2], (1, 1), (1, 1), 0)


def _exchange(sold: int, bought: int) -> PoolBalanceChange:
    changes = TokenChange(sold, 0, bytes(20), 0), TokenChange(-bought, 0, bytes(20), 1)
    return PoolBalanceChange(
        pool=stable(1, 1).instrument, block_number=1, block_hash=bytes(32),
        transaction_hash=bytes(32), log_index=0, kind=BalanceChange.EXCHANGE, account=bytes(20),
        changes=changes,
    )  # fmt: skip
