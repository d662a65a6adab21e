from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torq_types import Decimal64, PrecisionError

texts = st.from_regex(r"\A-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,8})?\Z").filter(
    lambda text: not (text.startswith("-") and not text.strip("-0."))
)


@given(texts)
def test_text_to_decimal_to_text_is_the_identity(text: str) -> None:
    value = Decimal64.parse(text)
    assert str(value) == text
    assert value.to_decimal() == Decimal(text)
    assert str(value.to_decimal().as_tuple().exponent) == str(value.exponent)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-128, 0))
def test_every_value_prints_and_parses_back(mantissa: int, exponent: int) -> None:
    value = Decimal64(mantissa, exponent)
    if mantissa or not str(value).startswith("-"):
        assert Decimal64.parse(str(value)) == value


def test_trailing_zeros_are_kept() -> None:
    value = Decimal64.parse("0.04317000")
    assert (value.mantissa, value.exponent) == (4317000, -8)
    assert str(value) == "0.04317000"
    assert Decimal64.parse("1.0") != Decimal64.parse("1.00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1e-8",
        "1E5",
        "+1",
        ".5",
        "5.",
        "01",
        "-0",
        "-0.00",
        "1,5",
        "NaN",
        "inf",
        " 1",
        "1\n",
        "١",
    ],
)
def test_text_that_would_not_print_back_is_refused(text: str) -> None:
    with pytest.raises(PrecisionError, match="found"):
        Decimal64.parse(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "0.12345678901234567890", "9" * 10_000])
def test_what_does_not_fit_is_refused_not_rounded(text: str) -> None:
    with pytest.raises(PrecisionError, match="does not fit"):
        Decimal64.parse(text)
    assert str(Decimal64.parse("9223372036854775807")) == "9223372036854775807"
    assert str(Decimal64.parse("-9223372036854775808")) == "-9223372036854775808"


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-20, 5))
def test_scaling_is_exact_or_refused(mantissa: int, exponent: int) -> None:
    value = Decimal64(mantissa, exponent)
    assert value.scaled(exponent - 3) == mantissa * 1000
    if mantissa % 10:
        with pytest.raises(PrecisionError):
            value.scaled(exponent + 1)
    assert (
        Decimal64.from_scaled(mantissa * 10**30, exponent - 30).to_decimal() == value.to_decimal()
    )
