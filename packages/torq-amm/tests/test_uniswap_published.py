"""The vectors of Uniswap's own test suites: FullMath, SqrtPriceMath, SwapMath, Tick, V2Library.

Each number is theirs (v3-core's ``test/*.spec.ts``, v2-periphery's ``UniswapV2Router02.spec.ts``),
but for the bounds of words, which are the contracts' types.
"""

from __future__ import annotations

from math import isqrt

import pytest

from torq_amm import get_amount_in, get_amount_out
from torq_amm.concentrated import (
    compute_swap_step,
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)
from torq_amm.concentrated.ticks import max_liquidity_per_tick
from torq_amm.integers import checked, div_rounding_up, mul_div, mul_div_rounding_up
from torq_types import SwapError

Q128 = 1 << 128
ONE = 1 << 96
ETHER = 10**18
MAX256 = (1 << 256) - 1
MAX160 = (1 << 160) - 1
MAX128 = (1 << 128) - 1
TWENTY = 20282409603651670423947251286016
"""The price of SqrtPriceMath's tests of virtual reserves: 256."""


def price(reserve1: int, reserve0: int) -> int:
    """``encodePriceSqrt`` of the specs."""
    return isqrt((reserve1 << 192) // reserve0)


def test_full_math() -> None:
    assert mul_div(MAX256, MAX256, MAX256) == MAX256
    assert mul_div(Q128, 50 * Q128 // 100, 150 * Q128 // 100) == Q128 // 3
    assert mul_div(Q128, 35 * Q128, 8 * Q128) == 4375 * Q128 // 1000
    assert mul_div(Q128, 1000 * Q128, 3000 * Q128) == Q128 // 3
    assert mul_div_rounding_up(MAX256, MAX256, MAX256) == MAX256
    assert mul_div_rounding_up(Q128, 50 * Q128 // 100, 150 * Q128 // 100) == Q128 // 3 + 1
    assert mul_div_rounding_up(Q128, 35 * Q128, 8 * Q128) == 4375 * Q128 // 1000
    assert mul_div_rounding_up(Q128, 1000 * Q128, 3000 * Q128) == Q128 // 3 + 1


@pytest.mark.parametrize(
    ("a", "b", "denominator"),
    [
        (Q128, Q128, 1),
        (MAX256, MAX256, MAX256 - 1),
        (
            535006138814359,
            432862656469423142931042426214547535783388063929571229938474969,
            2,
        ),
        (
            115792089237316195423570985008687907853269984659341747863450311749907997002549,
            115792089237316195423570985008687907853269984659341747863450311749907997002550,
            115792089237316195423570985008687907853269984653042931687443039491902864365164,
        ),
    ],
)
def test_full_math_overflows(a: int, b: int, denominator: int) -> None:
    with pytest.raises(SwapError, match="uint256"):
        mul_div_rounding_up(a, b, denominator)
    if denominator != 2 and a != b - 1:
        with pytest.raises(SwapError, match="uint256"):
            mul_div(a, b, denominator)


def test_a_word_holds_what_its_type_holds() -> None:
    for maximum, name in ((MAX256, "uint256"), (MAX160, "uint160"), (MAX128, "uint128")):
        assert checked(0, maximum) == 0
        assert checked(maximum, maximum) == maximum
        for value in (-1, maximum + 1):
            with pytest.raises(SwapError, match=name):
                checked(value, maximum)
    assert checked(MAX256) == MAX256
    with pytest.raises(SwapError, match="uint256"):
        checked(MAX256 + 1)
    assert [div_rounding_up(n, 3) for n in (0, 1, 2, 3, 4)] == [0, 1, 1, 1, 2]


def test_next_price_from_input() -> None:
    for sqrt_price, liquidity in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        with pytest.raises(SwapError, match="without"):
            get_next_sqrt_price_from_input(sqrt_price, liquidity, ETHER // 10, False)
    with pytest.raises(SwapError, match="uint160"):
        get_next_sqrt_price_from_input(MAX160, 1024, 1024, False)
    assert get_next_sqrt_price_from_input(1, 1, 1 << 255, True) == 1
    for zero_for_one in (False, True):
        assert get_next_sqrt_price_from_input(ONE, ETHER // 10, 0, zero_for_one) == ONE
    most = MAX256 - (MAX128 << 96) // MAX160
    assert get_next_sqrt_price_from_input(MAX160, MAX128, most, True) == 1
    assert get_next_sqrt_price_from_input(ONE, 10 * ETHER, 1 << 100, True) == 624999999995069620
    assert get_next_sqrt_price_from_input(ONE, 1, MAX256 // 2, True) == 1


def test_next_price_from_output() -> None:
    for sqrt_price, liquidity in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        with pytest.raises(SwapError, match="without"):
            get_next_sqrt_price_from_output(sqrt_price, liquidity, ETHER // 10, False)
    for amount, zero_for_one in ((4, False), (5, False), (262145, True), (262144, True)):
        with pytest.raises(SwapError, match="holds less"):
            get_next_sqrt_price_from_output(TWENTY, 1024, amount, zero_for_one)
    assert get_next_sqrt_price_from_output(TWENTY, 1024, 262143, True) == 77371252455336267181195264
    for zero_for_one in (False, True):
        assert get_next_sqrt_price_from_output(ONE, ETHER // 10, 0, zero_for_one) == ONE
    with pytest.raises(SwapError):
        get_next_sqrt_price_from_output(ONE, 1, MAX256, True)
    with pytest.raises(SwapError):
        get_next_sqrt_price_from_output(ONE, 1, MAX256, False)


def test_amounts_between_prices() -> None:
    assert get_amount0_delta(ONE, price(2, 1), 0, True) == 0
    assert get_amount0_delta(ONE, ONE, 0, True) == 0
    assert get_amount0_delta(price(1 << 90, 1), price(1 << 96, 1), ETHER, True) == 24869
    assert get_amount0_delta(price(1 << 90, 1), price(1 << 96, 1), ETHER, False) == 24868
    assert get_amount0_delta(price(1 << 96, 1), price(1 << 90, 1), ETHER, True) == 24869
    assert get_amount1_delta(ONE, price(2, 1), 0, True) == 0
    assert get_amount1_delta(ONE, ONE, 0, True) == 0
    assert get_amount1_delta(price(121, 100), ONE, ETHER, True) == 100000000000000000
    with pytest.raises(SwapError, match="price of zero"):
        get_amount0_delta(0, ONE, 1, True)
    assert get_amount0_delta(1, 2, 2, True) == ONE
    assert get_amount1_delta(1, 0, ONE, True) == 1


def test_amounts_that_no_word_holds() -> None:
    """By hand: ``(2**128 - 1) * 2**96 * (2**33 - 1) / 2**33`` rounds up to no more than 2**224."""
    assert get_amount0_delta(1, 1 << 33, MAX128, True) <= MAX256
    with pytest.raises(SwapError, match="uint256"):
        get_amount1_delta(0, MAX256, ONE * 2, False)
    with pytest.raises(SwapError, match="uint256"):
        get_amount1_delta(0, MAX256, ONE + 1, True)
    assert get_amount1_delta(0, MAX256, ONE, True) == MAX256


def test_a_swap_that_moves_by_its_input() -> None:
    sqrt_price = 1025574284609383690408304870162715216695788925244
    after = get_next_sqrt_price_from_input(
        sqrt_price, 50015962439936049619261659728067971248, 406, True
    )
    assert after == 1025574284609383582644711336373707553698163132913
    assert get_amount0_delta(after, sqrt_price, 50015962439936049619261659728067971248, True) == 406


@pytest.mark.parametrize(
    ("current", "target", "liquidity", "remaining", "fee_pips", "expected"),
    [
        (ONE, price(1000, 100), 2 * ETHER, ETHER, 600,
         (None, 999400000000000000, 666399946655997866, 600000000000000)),
        (ONE, price(10000, 100), 2 * ETHER, -ETHER, 600,
         (None, 2000000000000000000, 1000000000000000000, 1200720432259356)),
        (417332158212080721273783715441582, 1452870262520218020823638996,
         159344665391607089467575320103, -1, 1, (417332158212080721273783715441581, 1, 1, 1)),
        (2, 1, 1, 3915081100057732413702495386755767, 1,
         (1, 39614081257132168796771975168, 0, 39614120871253040049813)),
        (2413, 79887613182836312, 1985041575832132834610021537970, 10, 1872, (2413, 0, 0, 10)),
        (TWENTY, TWENTY * 11 // 10, 1024, -4, 3000, (TWENTY * 11 // 10, 26215, 0, 79)),
        (TWENTY, TWENTY * 9 // 10, 1024, -263000, 3000, (TWENTY * 9 // 10, 1, 26214, 1)),
    ],
)  # fmt: skip
def test_swap_steps(
    current: int, target: int, liquidity: int, remaining: int, fee_pips: int,
    expected: tuple[int | None, int, int, int],
) -> None:  # fmt: skip
    reached, *amounts = compute_swap_step(current, target, liquidity, remaining, fee_pips)
    assert tuple(amounts) == expected[1:]
    if expected[0] is not None:
        assert reached == expected[0]
    else:
        assert current < reached < target


def test_liquidity_of_a_tick() -> None:
    assert {
        spacing: max_liquidity_per_tick(spacing) for spacing in (10, 60, 200, 887272, 2302)
    } == {
        10: 1917569901783203986719870431555990,
        60: 11505743598341114571880798222544994,
        200: 38350317471085141830651933667504588,
        887272: 113427455640312821154458202477256070485,
        2302: 441351967472034323558203122479595605,
    }


def test_v2_library() -> None:
    assert get_amount_out(2, 100, 100) == 1
    assert get_amount_in(1, 100, 100) == 2
    for amount, reserve_in, reserve_out in ((0, 100, 100), (2, 0, 100), (2, 100, 0)):
        with pytest.raises(SwapError, match="insufficient"):
            get_amount_out(amount, reserve_in, reserve_out)
        with pytest.raises(SwapError, match="insufficient"):
            get_amount_in(amount, reserve_in, reserve_out)
