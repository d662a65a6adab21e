"""StableSwap: the invariant's own equation, fees, the least input, amplification, events."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import msgspec
import pytest
from amm_pools import ETHER, TOKENS, event
from hypothesis import given
from hypothesis import strategies as st

from torq_amm import StableSwapPool
from torq_amm.stable_swap import amplification_at, get_D, get_y
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

balance = st.integers(10**20, 10**23)


def three(**changes: Any) -> StableSwapPool:
    """18, 6 and 8 places, A = 100, fee 4 basis points, half of it the administrator's."""
    values: dict[str, Any] = {
        "instrument": InstrumentId.pool(Venue.CURVE, 1, bytes(20)), "tokens": TOKENS[:3],
        "balances": (10**24, 2 * 10**12, 3 * 10**14), "rates": (10**18, 10**30, 10**28),
        "amplification": 10_000, "fee": 4_000_000,
    }  # fmt: skip
    return StableSwapPool(**{**values, **changes})


def misfit(balances: list[int], invariant: int, amplification: int, precision: int) -> Fraction:
    """``A n sum(x) + D - A n D - D**(n+1) / (n**n prod(x))``: zero at D, as in the whitepaper."""
    count = len(balances)
    ann = Fraction(amplification * count, precision)
    curve = Fraction(invariant ** (count + 1), count**count * prod(balances))
    return ann * sum(balances) + invariant - ann * invariant - curve


@given(
    st.lists(balance, min_size=2, max_size=4),
    st.sampled_from([(100, 100), (10_000, 100), (500_000, 100), (7, 1), (2000, 1)]),
)
def test_d_solves_the_invariant_s_equation(
    balances: list[int], amplification: tuple[int, int]
) -> None:
    try:
        invariant = get_D(balances, *amplification)
    except SwapError:
        return
    # Divisions round at every step, by more the farther from parity.
    slack = 2 + invariant // min(balances) * len(balances)
    assert misfit(balances, invariant - slack, *amplification) > 0
    assert misfit(balances, invariant + slack, *amplification) < 0


@given(
    st.lists(balance, min_size=2, max_size=4), st.integers(1, 1000), st.integers(0, 3),
    st.sampled_from([(100, 100), (10_000, 100), (500_000, 100), (7, 1)]),
)  # fmt: skip
def test_y_keeps_d(
    balances: list[int], percent: int, place: int, amplification: tuple[int, int]
) -> None:
    index_in = place % len(balances)
    index_out = (place + 1) % len(balances)
    reached = balances[index_in] * (100 + percent) // 100
    try:
        invariant = get_D(balances, *amplification)
        y = get_y(index_in, index_out, reached, balances, *amplification)
    except SwapError:
        return
    after = [*balances]
    after[index_in] = reached
    low, high = ([*after], [*after])
    low[index_out], high[index_out] = max(1, y - 2), y + 2
    # D itself is good to a few units, which are worth more of a token that is nearly gone.
    slack = 4 + invariant // min(*balances, y + 1) * len(balances)
    assert misfit(low, invariant + slack, *amplification) < 0
    assert misfit(high, invariant - slack, *amplification) > 0


def test_an_invariant_at_its_bounds() -> None:
    assert get_D([0, 0], 100) == 0
    for balances in ([0, 1], [1, 0], [5, -1]):
        with pytest.raises(SwapError, match="empty side"):
            get_D(balances, 100)
    assert get_D([1, 1], 100) == 2
    assert get_D([ETHER] * 4, 20_000) == 4 * ETHER


def test_amplification_is_rounded_as_the_contract_rounds() -> None:
    """By hand, with Curve's ``_A``: 999 * 33 / 100 is 329.67, and both ways it is 329."""
    assert amplification_at(1000, 1999, 100, 200, 133) == 1329
    assert amplification_at(1999, 1000, 100, 200, 133) == 1670
    assert amplification_at(1000, 1999, 100, 200, 100) == 1000
    assert amplification_at(1000, 1999, 100, 200, 199) == 1989
    assert amplification_at(1999, 1000, 100, 200, 199) == 1010
    for now in (200, 201):
        assert amplification_at(1000, 1999, 100, 200, now) == 1999
    assert amplification_at(500, 500, 100, 200, 150) == 500


def test_fees_by_hand() -> None:
    """A fee of a hundredth, of which a third is the administrator's, on what is paid out."""
    values = {"fee": 10**8, "admin_fee": 3_333_333_333}
    pool, free = three(**values), three(fee=0)
    gross = free.swap_exact_in(TOKENS[1], 10**9, TOKENS[0])
    net = pool.swap_exact_in(TOKENS[1], 10**9, TOKENS[0])
    assert gross.fee == gross.protocol_fee == 0
    assert gross.amount_out - net.amount_out == net.fee
    assert net.fee == gross.amount_out // 100
    assert net.protocol_fee == net.fee * 3_333_333_333 // 10**10
    assert net.pool_after.balances == (
        10**24 - net.amount_out - net.protocol_fee, 2 * 10**12 + 10**9, 3 * 10**14,
    )  # fmt: skip
    kept = three(fee=10**8, admin_fee=0).swap_exact_in(TOKENS[1], 10**9, TOKENS[0])
    assert kept.protocol_fee == 0
    assert kept.pool_after.balances[0] == 10**24 - kept.amount_out
    # Of six places: rounded down from eighteen, each for itself.
    coarse, whole = (each.swap_exact_in(TOKENS[0], 10**21, TOKENS[1]) for each in (pool, free))
    assert coarse.fee == whole.amount_out // 100
    assert coarse.protocol_fee == whole.amount_out * 3_333_333_333 // 10**12


@pytest.mark.parametrize("places", [(0, 1), (1, 0), (2, 0), (1, 2)])
def test_the_least_input_that_pays_so_much(places: tuple[int, int]) -> None:
    token_in, token_out = (TOKENS[place] for place in places)
    pool = three(
        balances=(5 * 10**8, 7 * 10**8, 3 * 10**8), rates=(10**27, 10**27, 2 * 10**27), fee=10**8
    )
    for amount in (1, 2, 3, 1000, 10**6, 2 * 10**8):
        found = pool.swap_exact_out(token_out, amount, token_in)
        assert found.amount_out >= amount
        assert found == pool.swap_exact_in(token_in, found.amount_in, token_out)
        if found.amount_in > 1:
            less = pool.swap_exact_in(token_in, found.amount_in - 1, token_out)
            assert less.amount_out < amount


def test_what_a_pool_cannot_pay() -> None:
    pool = three(balances=(10**8, 10**8, 10**8), rates=(10**27,) * 3)
    for amount in (10**8, 10**8 + 1):
        with pytest.raises(SwapError, match="holds"):
            pool.swap_exact_out(TOKENS[1], amount, TOKENS[0])
    # All but one is for sale, at a price; with a fee of half, never.
    half = msgspec.structs.replace(pool, fee=5 * 10**9)
    with pytest.raises(SwapError, match="no input"):
        half.swap_exact_out(TOKENS[1], 6 * 10**7, TOKENS[0])
    assert half.swap_exact_out(TOKENS[1], 4 * 10**7, TOKENS[0]).amount_out >= 4 * 10**7
    for amount in (0, -5):
        with pytest.raises(SwapError, match="above 0"):
            pool.swap_exact_out(TOKENS[1], amount, TOKENS[0])
        with pytest.raises(SwapError, match="above 0"):
            pool.swap_exact_in(TOKENS[1], amount, TOKENS[0])


@given(st.integers(10**6, 10**12), st.integers(20, 500), st.integers(1, 10**8))
def test_a_swap_never_lowers_the_invariant_and_is_paid(first: int, percent: int, part: int) -> None:
    """Within a fifth and five times of parity no swap may be refused."""
    pool = three(
        tokens=TOKENS[:2], balances=(first * 10**12, first * percent // 100),
        rates=(10**18, 10**30),
    )  # fmt: skip
    amount = max(10, first * part // 10**8)
    result = pool.swap_exact_in(TOKENS[1], amount)
    assert result.amount_out > 0
    assert result.pool_after.invariant >= pool.invariant - 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": TOKENS[:1], "balances": (1,), "rates": (1,)}, {"tokens": TOKENS[:2]},
        {"balances": (1, 1)}, {"rates": (1, 1)}, {"balances": (1, 1, -1)}, {"rates": (1, 0, 1)},
        {"amplification": 0}, {"fee": -1}, {"fee": 10**10 + 1}, {"admin_fee": -1},
        {"admin_fee": 10**10 + 1},
    ],
)  # fmt: skip
def test_what_no_pool_is(changes: dict[str, Any]) -> None:
    with pytest.raises(PoolStateError):
        three(**changes)


def test_what_just_is_one() -> None:
    values: tuple[dict[str, Any], ...] = (
        {"fee": 0}, {"fee": 10**10}, {"admin_fee": 0}, {"admin_fee": 10**10},
        {"balances": (0, 0, 0)}, {"rates": (1, 1, 1)}, {"amplification": 1},
    )  # fmt: skip
    for changes in values:
        pool = three(**changes)
        assert all(getattr(pool, name) == value for name, value in changes.items())
    assert three().admin_fee == 5 * 10**9
    assert three().amplification_precision == 100


def moved(kind: BalanceChange, *changes: tuple[int, int, int]) -> PoolBalanceChange:
    """Token's place, amount and fee; Curve's logs count tokens."""
    entries = tuple(TokenChange(amount, fee, bytes(20), index) for index, amount, fee in changes)
    return event(PoolBalanceChange, kind=kind, changes=entries)


def test_liquidity_s_fees_are_shared_with_the_administrator() -> None:
    """By hand: half of a fee of 7 leaves, rounded down to 3."""
    pool = three(balances=(1000, 2000, 3000))
    added = pool.apply(moved(BalanceChange.ADD, (0, 100, 7), (2, 10, 0)))
    assert added.balances == (1097, 2000, 3010)
    removed = pool.apply(moved(BalanceChange.REMOVE_IMBALANCED, (1, -2000, 0)))
    assert removed.balances == (1000, 0, 3000)
    with pytest.raises(PoolStateError, match="more of token 1"):
        pool.apply(moved(BalanceChange.REMOVE, (1, -2000, 2)))


def test_tokens_by_place_or_by_address() -> None:
    pool = three(balances=(1000, 2000, 3000))
    for index, token, expected in (
        (2, bytes(20), (1000, 2000, 3005)), (0, TOKENS[1].body, (1005, 2000, 3000)),
        (-1, TOKENS[1].body, (1000, 2005, 3000)), (3, TOKENS[2].body, (1000, 2000, 3005)),
    ):  # fmt: skip
        change = event(
            PoolBalanceChange, kind=BalanceChange.ADD, changes=(TokenChange(5, 0, token, index),)
        )
        assert pool.apply(change).balances == expected
    for index in (-1, 3):
        change = event(
            PoolBalanceChange, kind=BalanceChange.REMOVE_ONE,
            changes=(TokenChange(-5, 0, bytes(20), index),),
        )  # fmt: skip
        with pytest.raises(PoolStateError, match="which of the pool's tokens"):
            pool.apply(change)


def test_an_exchange_has_one_token_in_and_one_out_that_fit() -> None:
    pool = three()
    result = pool.swap_exact_in(TOKENS[2], 10**10, TOKENS[1])
    amounts = (2, 10**10, 0), (1, -result.amount_out, 0)
    assert pool.apply(moved(BalanceChange.EXCHANGE, *amounts)) == result.pool_after
    assert pool.apply(moved(BalanceChange.EXCHANGE, *amounts[::-1])) == result.pool_after
    nothing = pool.swap_exact_in(TOKENS[0], 1, TOKENS[1])
    assert nothing.amount_out == 0
    assert pool.apply(moved(BalanceChange.EXCHANGE, (0, 1, 0), (1, 0, 0))) == nothing.pool_after
    for wrong in (amounts[:1], amounts[1:], (*amounts, (0, 5, 0)), (*amounts, (0, -5, 0))):
        with pytest.raises(PoolStateError, match="one token in and one out"):
            pool.apply(moved(BalanceChange.EXCHANGE, *wrong))
    for offset in (-1, 1):
        with pytest.raises(PoolStateError, match="would have"):
            pool.apply(
                moved(BalanceChange.EXCHANGE, amounts[0], (1, offset - result.amount_out, 0))
            )
    with pytest.raises(PoolStateError, match="could not have traded"):
        three(balances=(10**24, 0, 10**14)).apply(moved(BalanceChange.EXCHANGE, *amounts))


def test_fees_change_and_other_events_are_refused() -> None:
    pool = three()
    assert pool.apply(event(PoolFee, fee=7)) == msgspec.structs.replace(pool, fee=7)
    changed = pool.apply(event(PoolFee, fee=7, protocol_fee0=9, protocol_fee1=8, is_protocol=1))
    assert changed == msgspec.structs.replace(pool, admin_fee=9)
    with pytest.raises(PoolStateError, match="PoolMint"):
        pool.apply(event(PoolMint))
