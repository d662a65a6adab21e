"""Balancer's power function against the decimal module's, at its tables' digits and its bounds.

Digit for digit it is compared with the contract in ``test_contract_amounts``; here by the error
that its documentation promises: 10000 units of the 18th place, relative.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from torq_amm import log_exp
from torq_amm.log_exp import (
    ONE,
    complement,
    div_down,
    div_up,
    mul_down,
    mul_up,
    pow_down,
    pow_up,
)
from torq_types import SwapError

LARGEST = 38877084059945950922200000000000000000000000000000000000
"""e**128, as LogExpMath writes it."""
MILD_EXPONENT_BOUND = 289480223093290488558927462521719769633174961664101410098
"""2**254 / 10**20, rounded down."""


def exact(x: int, y: int) -> Decimal:
    """``x ** y`` with 80 digits, in units of the 18th place."""
    return ((Decimal(x) / ONE).ln() * (Decimal(y) / ONE)).exp() * ONE


def test_the_tables_are_powers_of_e() -> None:
    """To as many digits as LogExpMath writes, from 128 down to a sixteenth."""
    tables = [(Decimal(x) / ONE, power, 1) for x, power in log_exp._LARGE]
    tables += [(Decimal(x) / 10**20, power, 10**20) for x, power in log_exp._SMALL]
    with localcontext() as context:
        context.prec = 90
        for exponent, power, unit in tables:
            digits = len(str(power).rstrip("0"))
            assert abs(exponent.exp() * unit - power) <= 10 ** (len(str(power)) - digits)
            assert digits >= 20
            # The logarithm of such a power takes it out whole.
            whole = power * ONE // unit
            assert abs(log_exp._ln(whole) - exponent * ONE) <= 2


def test_the_tables_are_complete() -> None:
    """Halved from 128 to a sixteenth, each as often as it may be taken."""
    large = [Decimal(x) / ONE for x, _ in log_exp._LARGE]
    small = [Decimal(x) / 10**20 for x, _ in log_exp._SMALL]
    assert large + small == [Decimal(2) ** power for power in range(7, -5, -1)]


@given(
    st.integers(1, 10**36) | st.integers(9 * 10**17, 11 * 10**17) | st.integers(1, 10**70),
    st.integers(1, 10**18) | st.integers(10**18, 10**20),
)
@example(9 * 10**17, 3 * ONE)
@example(11 * 10**17, 3 * ONE)
@example(9 * 10**17 + 1, 99 * ONE)
@example(11 * 10**17 - 1, 99 * ONE)
@example(LARGEST * ONE, ONE)
@example(2 * ONE, 91 * ONE)
@example(2 * ONE, 93 * ONE)
@example(3 * ONE, ONE)
@example(ONE - 1, 10**20)
@example(ONE + 1, 10**20)
def test_the_power_lies_between_its_two_roundings(x: int, y: int) -> None:
    with localcontext() as context:
        context.prec = 80
        logarithm = (Decimal(x) / ONE).ln() * (Decimal(y) / ONE)
        if not Decimal("-40.9") < logarithm < Decimal("129.9"):
            return
        power = exact(x, y)
        up, down = pow_up(x, y), pow_down(x, y)
        assert down <= power <= up
        # Twice the error that may be, and the two units that are always added.
        assert up - down <= 2 * power / 10**14 * Decimal("1.01") + 4


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**8))
def test_near_one_the_logarithm_has_36_places(distance: int, times: int) -> None:
    """An exponent of a hundred million would show an error of the 18th place."""
    with localcontext() as context:
        context.prec = 80
        power = exact(ONE + distance, times * ONE)
        assert abs(pow_up(ONE + distance, times * ONE) - power) <= 2 * power / 10**14 + 2


def test_powers_by_hand() -> None:
    assert (pow_up(0, ONE), pow_down(0, ONE)) == (1, 0)
    for x in (0, 1, ONE, 5 * ONE):
        assert pow_up(x, 0) == ONE + 10**4 + 1
        assert pow_down(x, 0) == ONE - 10**4 - 1
    assert pow_up(ONE, 5) == ONE + 10**4 + 1
    # e**128 is its own table entry: the logarithm is 128, and the exponential gives it back.
    raw = LARGEST * ONE
    assert pow_up(raw, ONE) == raw + -(-raw * 10**4 // ONE) + 1
    assert pow_down(raw, ONE) == raw - -(-raw * 10**4 // ONE) - 1


def test_beyond_the_bounds_the_contract_reverts() -> None:
    """Bounds of ``LogExpMath.pow``: a base below 2**255, and e's exponent from -41 to 130."""
    # The logarithm of 2**255 / 10**18 is 135.3.
    assert pow_up((1 << 255) - 1, 1) == ONE + 135 + 10**4 + 2
    for x, y in ((1 << 255, 1), ((1 << 256) - 1, 1), (ONE, MILD_EXPONENT_BOUND)):
        with pytest.raises(SwapError, match="base or exponent"):
            pow_up(x, y)
    assert pow_up(ONE, MILD_EXPONENT_BOUND - 1) == ONE + 10**4 + 1
    # e**128 to the power of 130/128, exactly, and of one unit more.
    largest = 1_015_625 * 10**12
    assert pow_up(LARGEST * ONE, largest) > 2 * 10**56 * ONE
    with pytest.raises(SwapError, match="result"):
        pow_up(LARGEST * ONE, largest + 1)
    # 10**-18 to the power of 41 / (18 * ln 10) is e**-41.
    smallest = int(41 / (18 * Decimal(10).ln()) * ONE)
    # Less than two units, the contract's error of one, and one more.
    assert pow_up(1, smallest - 1000) == 3
    with pytest.raises(SwapError, match="result"):
        pow_up(1, smallest + 1000)


def test_fixed_point_rounds_as_it_says() -> None:
    assert [mul_down(3 * ONE, n) for n in (0, 1, 5)] == [0, 3, 15]
    assert (mul_down(ONE + 1, ONE - 1), mul_up(ONE + 1, ONE - 1)) == (ONE - 1, ONE)
    assert (mul_up(ONE, ONE), mul_up(0, ONE)) == (ONE, 0)
    assert (div_down(2, 3), div_up(2, 3)) == (666666666666666666, 666666666666666667)
    assert (div_down(4, 2), div_up(4, 2)) == (2 * ONE, 2 * ONE)
    assert [complement(x) for x in (0, 1, ONE - 1, ONE, ONE + 1)] == [ONE, ONE - 1, 1, 0, 0]
