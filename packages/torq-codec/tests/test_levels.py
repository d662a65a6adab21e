"""Levels from exchanges' texts and in order: both kernels against a plain model."""

from __future__ import annotations

import re
from decimal import Decimal
from types import ModuleType

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernels import kernel_parameters

from torq_types import Decimal64, Level, PrecisionError

_GRAMMAR = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_I64 = 2**63


@pytest.fixture(params=kernel_parameters(), scope="module")
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def fits(text: str) -> bool:
    """What the documentation of Decimal64.parse promises."""
    if _GRAMMAR.fullmatch(text) is None:
        return False
    mantissa = int(text.replace(".", ""))
    is_negative_zero = text.startswith("-") and not mantissa
    return -_I64 <= mantissa < _I64 and len(text.partition(".")[2]) <= 128 and not is_negative_zero


@given(
    st.from_regex(re.compile(r"-?[0-9]{0,21}\.?[0-9]{0,21}", re.ASCII), fullmatch=True)
    | st.text("0123456789.-+e_ ", max_size=24)
    | st.text(max_size=6)
)
@example("0.04317000")
@example("9223372036854775807")
@example("-9223372036854775808")
@example("9223372036854775808")
@example("00.1")
@example("1.")
@example(".1")
@example("0.000000000000000000")
@example("١٢")
@example("")
def test_digits_are_kept_or_refused(kernel: ModuleType, text: str) -> None:
    if fits(text):
        found = kernel.decimal(text)
        assert type(found) is Decimal64
        assert str(found) == text
        assert found == Decimal64.parse(text) == kernel.decimal(msgspec.Raw(text.encode()))
    else:
        for number in (text, msgspec.Raw(text.encode(errors="replace"))):
            with pytest.raises(PrecisionError):
                kernel.decimal(number)


def test_a_raw_json_number_keeps_its_digits(kernel: ModuleType) -> None:
    raw = msgspec.json.decode(b'{"qty":0.1200000000}', type=dict[str, msgspec.Raw])["qty"]
    assert str(kernel.decimal(raw)) == "0.1200000000"


def test_levels_take_what_stands_first_in_each_entry(kernel: ModuleType) -> None:
    entries = [["1.50", "2", "ignored"], ("7", "0.10")]
    assert kernel.levels(entries) == (
        Level(Decimal64(150, -2), Decimal64(2, 0)),
        Level(Decimal64(7, 0), Decimal64(10, -2)),
    )


class _Update(msgspec.Struct):
    side: str
    price: msgspec.Raw
    quantity: str


class _Pair(msgspec.Struct):
    price: str
    quantity: str


def test_structs_are_taken_by_the_order_of_their_fields(kernel: ModuleType) -> None:
    raw = msgspec.Raw(b"1.50")
    expected = Level(Decimal64(150, -2), Decimal64(2, 0))
    for _ in range(3):  # two kinds in turn: what is known of one must not serve the other
        assert kernel.levels([_Pair("1.50", "2")]) == (expected,)
        assert kernel.sides([_Update("buy", raw, "2"), ("sell", "1.50", "2")], "buy") == (
            (expected,),
            (expected,),
        )
    assert kernel.sides((), "buy") == ((), ())


@pytest.mark.parametrize("wrong", [[["1"]], [()], [["1", 2]], 3, [3], ["12"], [_Pair], [{}]])
def test_what_is_no_level_is_refused(kernel: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError):
        kernel.levels(wrong)
    with pytest.raises(TypeError):
        kernel.sides(wrong, "buy")


def test_a_struct_that_is_too_short_has_no_side(kernel: ModuleType) -> None:
    with pytest.raises(TypeError, match="found 2"):
        kernel.sides([_Pair("1", "2")], "buy")


NUMBERS = st.builds(Decimal64, st.integers(0, 60), st.integers(-3, 1)) | st.builds(
    Decimal64, st.integers(0, _I64 - 1), st.integers(-30, 20)
)
LEVELS = st.builds(Level, NUMBERS, NUMBERS)


@given(
    st.sampled_from([1, -1]),
    st.lists(LEVELS, max_size=12),
    st.lists(
        st.tuples(st.just("put"), st.lists(LEVELS, max_size=6))
        | st.tuples(st.just("evict"), st.integers(0, 8)),
        max_size=12,
    ),
)
def test_a_side_is_its_levels_in_order(
    kernel: ModuleType, sign: int, first: list[Level], steps: list[tuple[str, object]]
) -> None:
    side = kernel.BookSide(sign, first)
    model: dict[Decimal, Level] = {}

    def put(levels: list[Level]) -> None:
        for level in levels:
            price = level.price.to_decimal().normalize()
            if level.quantity.mantissa:
                model[price] = level
            elif levels is not first:
                model.pop(price, None)

    def ordered() -> list[Level]:
        return [model[price] for price in sorted(model, reverse=sign == 1)]

    put(first)
    for verb, argument in steps:
        if verb == "put":
            assert isinstance(argument, list)
            side.put_all(argument)
            put(argument)
        else:
            assert isinstance(argument, int)
            dropped = ordered()[argument:]
            assert side.evict(argument) == dropped[::-1]
            for level in dropped:
                del model[level.price.to_decimal().normalize()]
    expected = ordered()
    assert len(side) == len(expected)
    assert side.top(1000) == expected
    assert side.top(2) == expected[:2]
    assert side.best == (expected[0] if expected else None)
    for (price, level), wanted in zip(side.items(), expected, strict=True):
        assert level == wanted
        assert Decimal(price).scaleb(side.exponent) == wanted.price.to_decimal()
    if expected:
        assert Decimal(side.best_price).scaleb(side.exponent) == expected[0].price.to_decimal()
    else:
        with pytest.raises(IndexError):
            _ = side.best_price
    digits = [f"{level.price.mantissa}{level.quantity.mantissa}" for level in expected]
    assert side.top_digits(3) == "".join(digits[:3]).encode()
    assert side.top_digits(1000) == "".join(digits).encode()
    assert all(level.quantity.exponent >= side.quantity_exponent for level in expected)
    for level in first:
        assert side.get(level) == model.get(level.price.to_decimal().normalize())


@given(st.lists(LEVELS, max_size=4), st.lists(LEVELS, max_size=4))
def test_sides_cross_when_the_best_prices_meet(
    kernel: ModuleType, bids: list[Level], asks: list[Level]
) -> None:
    sides = kernel.BookSide(1, bids), kernel.BookSide(-1, asks)
    finest = min(side.exponent for side in sides)
    for side in sides:
        side.rescale(finest)
    bid, ask = sides[0].best, sides[1].best
    is_crossed = bid and ask and bid.price.to_decimal() >= ask.price.to_decimal()
    assert sides[0].crosses(sides[1]) == bool(is_crossed)


def test_a_side_takes_levels_alone(kernel: ModuleType) -> None:
    side = kernel.BookSide(1)
    with pytest.raises((TypeError, AttributeError)):
        side.put_all([("1", "2")])
    assert len(side) == 0
