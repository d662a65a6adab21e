"""A price at the margin is what a very small swap gets, away from parity, in either direction."""

from __future__ import annotations

from fractions import Fraction

import pytest
from amm_pools import ETHER, TOKENS, pair, ranged, weighted

from torq_amm import ConstantProductPool, Pool, StableSwapPool, WeightedPool
from torq_types import InstrumentId, SwapError, Venue


def stable(
    balances: tuple[int, ...], *, amplification: int = 2_000, fee: int = 0, precision: int = 100
) -> StableSwapPool:
    """Eighteen places, then six, then eight."""
    instrument = InstrumentId.pool(Venue.CURVE, 1, bytes(20))
    rates = (10**18, 10**30, 10**28)[: len(balances)]
    return StableSwapPool(
        instrument, TOKENS[: len(balances)], balances, rates, amplification, fee,
        amplification_precision=precision,
    )  # fmt: skip


def far_from_parity() -> list[Pool]:
    """Each family where it is worth several to one, deep enough for a swap of a ten millionth."""
    three = WeightedPool(
        InstrumentId.pool(Venue.BALANCER_V2, 1, bytes(32)), TOKENS[:3],
        (5 * 10**30, 10**30, 7 * 10**30), (5 * 10**17, 2 * 10**17, 3 * 10**17), 10**16,
    )  # fmt: skip
    return [
        pair(1, (0, 1), (10**30, 7 * 10**30), 25),
        ranged(2, (0, 1), 23_000, [(0, 60_000, 10**30)], 10_000),
        ranged(3, (0, 1), -16_000, [(-60_000, 0, 10**30)], 100),
        weighted(4, (10**30, 5 * 10**30)),
        three,
        stable((10**30, 9 * 10**18), fee=4_000_000),
        stable((9 * 10**30, 10**18), amplification=70_000, fee=10**8),
        stable((2 * 10**30, 10**19, 6 * 10**20), fee=10**9),
        stable((3 * 10**30, 10**19), amplification=20, precision=1),
    ]


@pytest.mark.parametrize("index", range(9))
def test_a_very_small_swap_gets_the_price(index: int) -> None:
    pool = far_from_parity()[index]
    for first, token_in in enumerate(pool.tokens):
        for token_out in pool.tokens:
            if token_in == token_out:
                continue
            price = pool.spot_price(token_in, token_out)
            held = (10**30, 10**18, 10**20)[first] if isinstance(pool, StableSwapPool) else 10**30
            amount = held // 10**7
            # Near enough for the noise of powers, which is a ten millionth of such a swap.
            found = Fraction(pool.swap_exact_in(token_in, amount, token_out).amount_out, amount)
            assert abs(found / price - 1) < Fraction(1, 10**5), (token_in, token_out)
            assert abs(price - 1) > Fraction(1, 10)


@pytest.mark.parametrize("index", range(9))
def test_both_directions_and_the_price_before_the_fee(index: int) -> None:
    """There and back at the margin costs the fee twice; the bare price is of token 0 in token 1."""
    pool = far_from_parity()[index]
    kept = {
        "pair": Fraction(975, 1000), "weighted": 1 - Fraction(3, 1000), "three": Fraction(99, 100),
    }  # fmt: skip
    fees = [
        kept["pair"], Fraction(99, 100), Fraction(9999, 10_000), kept["weighted"], kept["three"],
        Fraction(9996, 10_000), Fraction(99, 100), Fraction(9, 10), Fraction(1),
    ]  # fmt: skip
    there = pool.spot_price(pool.tokens[0], pool.tokens[1])
    back = pool.spot_price(pool.tokens[1], pool.tokens[0])
    assert there * back == fees[index] ** 2
    assert there == pool.price * fees[index]


def test_prices_by_hand() -> None:
    assert pair(1, (0, 1), (200, 100), 3).spot_price(TOKENS[0], TOKENS[1]) == Fraction(997, 2000)
    assert pair(1, (0, 1), (200, 100), 3).spot_price(TOKENS[1], TOKENS[0]) == Fraction(
        997 * 2, 1000
    )
    # Four fifths of the worth in 8 units, one fifth in 3: a unit of the first is worth 3/2.
    assert weighted(1, (8, 3)).price == Fraction(3, 2)
    # At parity of what is scaled, whatever the places.
    assert stable((10**24, 10**12)).price == Fraction(1, 10**12)
    assert stable((10**24, 10**12, 10**14)).spot_price(TOKENS[2], TOKENS[1]) == Fraction(1, 100)


def test_what_a_stable_pool_has_more_of_is_worth_less() -> None:
    assert stable((2 * 10**24, 10**12)).price < Fraction(1, 10**12)
    assert stable((10**24, 2 * 10**12)).price > Fraction(1, 10**12)


@pytest.mark.parametrize(
    "pool",
    [
        pair(1, (0, 1), (0, 5)), pair(1, (0, 1), (5, 0)), weighted(2, (0, 5)),
        stable((0, 10**6)), stable((10**18, 0)), ranged(3, (0, 1), 0, []),
    ],
)  # fmt: skip
def test_an_empty_side_has_no_price(pool: Pool) -> None:
    if not isinstance(pool, ConstantProductPool | WeightedPool | StableSwapPool):
        # Without liquidity a concentrated pool keeps its price.
        assert pool.price == 1
        return
    with pytest.raises(SwapError, match=r"empty|no price"):
        _ = pool.price
    with pytest.raises(SwapError, match=r"empty|no price"):
        pool.spot_price(TOKENS[0], TOKENS[1])


def test_a_weighted_pool_pays_nothing_of_an_empty_side() -> None:
    assert weighted(1, (5, 0)).price == 0
    with pytest.raises(SwapError, match="no price"):
        weighted(1, (5, 0)).spot_price(TOKENS[1], TOKENS[0])
    assert weighted(1, (1, 1)).price > 0
    assert ETHER * weighted(1, (4, 1)).price == ETHER
