"""Amounts of different scales compared to the last digit."""

from __future__ import annotations

import pytest

from torq_services.state.exact import PIPS, compare
from torq_types import Decimal64


@pytest.mark.parametrize(
    ("amount", "exponent", "limit", "expected"),
    [
        (15, -1, "1.5", 0),
        (15, -1, "1.50", 0),
        (150, -2, "1.5", 0),
        (2, 3, "2000", 0),
        (15, -1, "1.4999", 1),
        (15, -1, "1.5001", -1),
        (1, 2, "99.99", 1),
        (1, 2, "100.01", -1),
        (-15, -1, "1.5", -1),
        (10**30, -30, "1", 0),
        (10**30 + 1, -30, "1", 1),
        (10**30 - 1, -30, "1", -1),
    ],
)
def test_the_sign_of_the_difference(amount: int, exponent: int, limit: str, expected: int) -> None:
    assert compare(amount, exponent, Decimal64.parse(limit)) == expected


def test_a_coarse_limit_counts_whole() -> None:
    assert compare(2999, 0, Decimal64(3, 3)) == -1
    assert compare(3000, 0, Decimal64(3, 3)) == 0


def test_a_pip_is_a_hundredth_of_a_basis_point() -> None:
    assert PIPS == 100 * 100 * 100
