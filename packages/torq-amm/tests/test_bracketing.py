"""The search without a closed form, where one is known: how near it comes, in how many swaps."""

from __future__ import annotations

from typing import ClassVar

import pytest
from amm_pools import ETHER, TOKENS, around, by_instrument, pair, profit, ranged, stable, weighted

from torq_amm import ConstantProductPool, Pool
from torq_amm.arbitrage import estimate
from torq_amm.arbitrage.bracketing import _depth, bracketed
from torq_types import InstrumentId


class CountingPool(ConstantProductPool, frozen=True):
    """How often it was asked."""

    asked: ClassVar[int] = 0

    def amount_out(self, token_in: InstrumentId, amount_in: int) -> int:
        CountingPool.asked += 1
        return super().amount_out(token_in, amount_in)


def counting(pool: ConstantProductPool) -> CountingPool:
    return CountingPool(
        pool.instrument, pool.token0, pool.token1, pool.reserve0, pool.reserve1,
        pool.fee_numerator, pool.fee_denominator,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("per_mille", "steps"),
    [(1008, 12), (1020, 12), (1100, 18), (1500, 28), (3000, 42), (50_000, 52)],
)
@pytest.mark.parametrize("scale", [1, 1000, 10**7])
def test_as_near_as_the_closed_form_in_a_few_steps(per_mille: int, steps: int, scale: int) -> None:
    """Profit is flat at its top: half the digits of the input are enough for all of its own.

    The closed form's profit, which rounding lowers by a unit of each amount; and no more steps
    than it takes today, where halving would take eighty.
    """
    pools = (
        counting(pair(1, (0, 1), (10**24, 10**24 * per_mille // 1000))),
        counting(pair(2, (0, 1), (10**24 * scale, 10**24 * scale))),
    )
    for order in (pools, pools[::-1]):
        cycle = around(*order)
        exact = estimate(cycle, by_instrument(order))
        CountingPool.asked = 0
        found = bracketed(cycle, by_instrument(order))
        assert found is not None
        if exact is None:
            assert found.profit <= 0
            assert CountingPool.asked <= 2 * 60
        else:
            assert 0 <= exact.bound - found.profit <= 3
            assert CountingPool.asked <= 2 * steps


@pytest.mark.parametrize("index", range(6))
def test_the_search_takes_few_steps_whatever_the_family(index: int) -> None:
    others: list[Pool] = [
        stable(2, (10**24, 3 * 10**24)), stable(2, (3 * 10**24, 10**24)),
        weighted(2, (5 * 10**24, 10**24)), ranged(2, (0, 1), 700, [(-9000, 9000, 10**25)]),
        # At its best thirty per cent of the pool are taken, the most that it sells.
        weighted(2, (10**24, 10**24)), stable(2, (10**20, 10**24)),
    ]  # fmt: skip
    pools: tuple[Pool, ...] = (counting(pair(1, (0, 1), (10**24, 10**24))), others[index])
    most = 0
    for order in (pools, pools[::-1]):
        CountingPool.asked = 0
        found = bracketed(around(*order), by_instrument(order))
        assert found is not None
        assert CountingPool.asked <= 90
        most = max(most, found.profit)
        for amount in (found.amount_in * 999 // 1000, found.amount_in * 1001 // 1000):
            assert profit(around(*order), order, amount) <= max(0, found.profit)
    assert most > 0


def test_where_nothing_can_be_traded() -> None:
    empty = pair(1, (0, 1), (0, 0)), pair(2, (0, 1), (10**6, 10**6))
    for order in (empty, empty[::-1]):
        assert bracketed(around(*order), by_instrument(order)) is None


def test_a_small_part_of_very_few_units_is_none() -> None:
    """Less than a hundredth of the first pool buys nothing here; a quarter of it does."""
    pools = stable(1, (100, 20)), pair(2, (0, 1), (30, 10), 0)
    found = bracketed(around(*pools), by_instrument(pools))
    assert found is not None
    assert found.amount_in >= 1
    dry = pair(1, (0, 1), (10**24, 5), 0), pair(2, (0, 1), (10**25, 5), 0)
    found = bracketed(around(*dry), by_instrument(dry))
    assert found is not None
    assert found.profit > 10**23


class UnknownPool:
    """Of a family that nobody has written yet."""


def test_depths_by_hand() -> None:
    """What a pool holds of a token near its price: where the search begins."""
    constant = pair(1, (0, 1), (300, 500))
    assert [_depth(constant, token) for token in TOKENS[:2]] == [300, 500]
    # A sqrt price of 2 (to four places, at tick 13863): L / 2 and L * 2.
    four = ranged(2, (0, 1), 13863, [(0, 20000, ETHER)])
    assert [round(_depth(four, token) / ETHER, 3) for token in TOKENS[:2]] == [0.5, 2.0]
    assert _depth(four, TOKENS[0]) == (ETHER << 96) // four.sqrt_price_x96
    bare = four.__class__(four.instrument, TOKENS[0], TOKENS[1], 500, 10, 0, 0, 0, {})
    assert [_depth(bare, token) for token in TOKENS[:2]] == [0, 0]
    assert [_depth(stable(3, (7, 8)), token) for token in TOKENS[:2]] == [7, 8]
    assert [_depth(weighted(4, (9, 4)), token) for token in TOKENS[:2]] == [9, 4]
    assert _depth(UnknownPool(), TOKENS[0]) == 1 << 64  # type: ignore[arg-type]
