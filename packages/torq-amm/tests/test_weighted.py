"""Weighted pools: the fee they report, the 30 % they trade, what they accept, their events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from amm_pools import ETHER, TOKENS, event, weighted
from hypothesis import given
from hypothesis import strategies as st

from torq_amm import WeightedPool
from torq_amm.weighted import calc_in_given_out, calc_out_given_in
from torq_types import (
    BalanceChange,
    InstrumentId,
    PoolBalanceChange,
    PoolFee,
    PoolMint,
    PoolStateError,
    SwapError,
    TokenChange,
    Venue,
)


def three(**changes: Any) -> WeightedPool:
    """Half, three tenths and a fifth, of 18, 6 and 0 places."""
    values: dict[str, Any] = {
        "instrument": InstrumentId.pool(Venue.BALANCER_V2, 1, bytes(32)),
        "tokens": TOKENS[:3], "balances": (5 * 10**24, 3 * 10**12, 2 * 10**6),
        "weights": (5 * 10**17, 3 * 10**17, 2 * 10**17), "swap_fee": 10**16,
        "decimals": (18, 6, 0),
    }  # fmt: skip
    return WeightedPool(**{**values, **changes})


@given(st.integers(1, 10**9), st.sampled_from([10**12, 3 * 10**15, 10**17, 333333333333333333]))
def test_the_fee_is_what_the_pool_without_one_would_not_have_taken(amount: int, fee: int) -> None:
    pool, free = three(swap_fee=fee), three(swap_fee=0)
    for token_in, token_out in ((TOKENS[0], TOKENS[1]), (TOKENS[1], TOKENS[0])):
        bought = pool.swap_exact_out(token_out, amount, token_in)
        assert (
            bought.fee
            == bought.amount_in - free.swap_exact_out(token_out, amount, token_in).amount_in
        )
        sold = pool.swap_exact_in(token_in, amount, token_out)
        assert sold.fee == -(-amount * fee // ETHER)
        if amount > sold.fee:
            without = free.swap_exact_in(token_in, amount - sold.fee, token_out)
            assert sold.amount_out == without.amount_out


def test_fees_by_hand() -> None:
    """One per cent of the input, rounded against the trader either way."""
    assert three().swap_exact_in(TOKENS[1], 1000, TOKENS[0]).fee == 10
    assert three().swap_exact_in(TOKENS[1], 1001, TOKENS[0]).fee == 11
    # One of the last token costs 1 499 999 of 3e12 at the margin (2/3 of its worth), and the fee.
    bought = three().swap_exact_out(TOKENS[2], 1, TOKENS[1])
    assert bought.amount_in - bought.fee == 1_000_001
    assert bought.fee == 10_102
    assert bought.pool_after.balances == (5 * 10**24, 3 * 10**12 + 1_010_103, 2 * 10**6 - 1)
    assert (bought.amount_out, bought.protocol_fee) == (1, 0)


def test_at_most_thirty_per_cent_of_a_balance() -> None:
    """``MAX_IN_RATIO`` and ``MAX_OUT_RATIO`` of the contract, after the fee and to the unit."""
    even = ETHER // 2
    assert calc_out_given_in(10 * ETHER, even, 10 * ETHER, even, 3 * ETHER) > 0
    with pytest.raises(SwapError, match="30 %"):
        calc_out_given_in(10 * ETHER, even, 10 * ETHER, even, 3 * ETHER + 1)
    assert calc_in_given_out(10 * ETHER, even, 10 * ETHER, even, 3 * ETHER) > 0
    with pytest.raises(SwapError, match="30 %"):
        calc_in_given_out(10 * ETHER, even, 10 * ETHER, even, 3 * ETHER + 1)
    # 3.9 balances times 0.3 is 1.17: one is allowed, two are not.
    assert calc_in_given_out(10 * ETHER, even, 39 * ETHER // 10, even, 117 * ETHER // 100) > 0
    pool = weighted(1, (10 * ETHER, 10 * ETHER))
    gross = 3 * ETHER * 1000 // 997
    assert pool.swap_exact_in(TOKENS[0], gross).amount_out > 0
    with pytest.raises(SwapError, match="30 %"):
        pool.swap_exact_in(TOKENS[0], gross + 2)


def test_an_amount_is_above_zero() -> None:
    for amount in (0, -1):
        with pytest.raises(SwapError, match="above 0"):
            three().swap_exact_in(TOKENS[0], amount, TOKENS[1])
        with pytest.raises(SwapError, match="above 0"):
            three().swap_exact_out(TOKENS[0], amount, TOKENS[1])
    with pytest.raises(SwapError, match="both tokens"):
        three().swap_exact_in(TOKENS[0], 1)


def test_the_least_amounts() -> None:
    """A unit buys nothing once rounded, and a unit costs something."""
    assert three().swap_exact_in(TOKENS[1], 1, TOKENS[2]).amount_out == 0
    assert three().swap_exact_out(TOKENS[0], 1, TOKENS[1]).amount_in == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": TOKENS[:2]},
        {"tokens": TOKENS[:1], "balances": (1,), "weights": (ETHER,), "decimals": (18,)},
        {"balances": (1, 1)},
        {"weights": (ETHER // 2, ETHER // 2)},
        {"decimals": (18, 6)},
        {"weights": (5 * 10**17, 3 * 10**17, 2 * 10**17 + 1)},
        {"weights": (5 * 10**17, 5 * 10**17, 0)},
        {"weights": (5 * 10**17, 6 * 10**17, -(10**17))},
        {"balances": (1, -1, 1)},
        {"swap_fee": -1},
        {"swap_fee": ETHER},
        {"decimals": (18, 19, 0)},
    ],
)  # fmt: skip
def test_what_no_pool_is(changes: dict[str, Any]) -> None:
    with pytest.raises(PoolStateError):
        three(**changes)


def test_what_just_is_one() -> None:
    assert three(decimals=()).decimals == (18, 18, 18)
    assert three(swap_fee=ETHER - 1).swap_fee == ETHER - 1
    assert three(swap_fee=0, balances=(0, 0, 0)).balances == (0, 0, 0)
    assert three(weights=(ETHER - 2, 1, 1)).weights[0] == ETHER - 2


def moved(kind: BalanceChange, *changes: tuple[int, int, int]) -> PoolBalanceChange:
    """Token's place, amount and fee; the Vault's log names tokens by their address."""
    entries = tuple(TokenChange(amount, fee, TOKENS[i].body, -1) for i, amount, fee in changes)
    return event(PoolBalanceChange, kind=kind, changes=entries)


def test_liquidity_comes_and_goes_with_the_protocol_s_fees() -> None:
    pool = three(balances=(1000, 2000, 3000))
    joined = pool.apply(moved(BalanceChange.ADD, (2, 50, 7), (0, 10, 1)))
    assert joined.balances == (1009, 2000, 3043)
    left = pool.apply(moved(BalanceChange.REMOVE, (0, -100, 3), (1, -2000, 0)))
    assert left.balances == (897, 0, 3000)
    with pytest.raises(PoolStateError, match="more of a token"):
        pool.apply(moved(BalanceChange.REMOVE, (1, -2000, 1)))
    unknown = TokenChange(1, 0, TOKENS[5].body, 0)
    with pytest.raises(PoolStateError, match="does not hold"):
        pool.apply(event(PoolBalanceChange, kind=BalanceChange.ADD, changes=(unknown,)))


def test_an_exchange_is_the_quote_of_either_side() -> None:
    pool = three()
    sold = pool.swap_exact_in(TOKENS[1], 10**9, TOKENS[0])
    amounts = (1, sold.amount_in, 0), (0, -sold.amount_out, 0)
    assert pool.apply(moved(BalanceChange.EXCHANGE, *amounts)) == sold.pool_after
    assert pool.apply(moved(BalanceChange.EXCHANGE, *amounts[::-1])) == sold.pool_after
    bought = pool.swap_exact_out(TOKENS[0], 10**18 + 1, TOKENS[1])
    # The other way round the same amounts are another quote's: only this one fits.
    assert pool.swap_exact_in(TOKENS[1], bought.amount_in, TOKENS[0]).amount_out != 10**18 + 1
    amounts = (1, bought.amount_in, 0), (0, -(10**18) - 1, 0)
    assert pool.apply(moved(BalanceChange.EXCHANGE, *amounts)) == bought.pool_after
    with pytest.raises(PoolStateError, match=r"would have bought .* would have cost"):
        pool.apply(moved(BalanceChange.EXCHANGE, (1, bought.amount_in, 0), (0, -2 * 10**18, 0)))
    with pytest.raises(PoolStateError, match="30 %"):
        pool.apply(moved(BalanceChange.EXCHANGE, (1, 2 * 10**12, 0), (0, -(10**18), 0)))
    # A unit may buy nothing; a thousand million of them would have bought something.
    nothing = pool.swap_exact_in(TOKENS[1], 1, TOKENS[2])
    assert pool.apply(moved(BalanceChange.EXCHANGE, (1, 1, 0), (2, 0, 0))) == nothing.pool_after
    assert pool.apply(moved(BalanceChange.EXCHANGE, (2, 0, 0), (1, 1, 0))) == nothing.pool_after
    with pytest.raises(PoolStateError, match="would have bought"):
        pool.apply(moved(BalanceChange.EXCHANGE, (1, 10**9, 0), (2, 0, 0)))
    # What has one side only is no swap that could be checked.
    assert pool.apply(moved(BalanceChange.EXCHANGE, (1, 5, 0))).balances[1] == 3 * 10**12 + 5
    assert pool.apply(moved(BalanceChange.EXCHANGE, (1, -5, 0))).balances[1] == 3 * 10**12 - 5


def test_a_fee_changes_and_other_events_are_refused() -> None:
    pool = three()
    changed = pool.apply(event(PoolFee, fee=5 * 10**15))
    assert changed == msgspec.structs.replace(pool, swap_fee=5 * 10**15)
    for other in (event(PoolFee, fee=1, is_protocol=1), event(PoolMint)):
        with pytest.raises(PoolStateError, match="has no"):
            pool.apply(other)
