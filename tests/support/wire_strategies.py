"""Hypothesis strategies that follow the same annotations as the codec."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from torq_types import TLV, Decimal64, Entry, InstrumentId, Venue, Wire

_INTS = {
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "u128": (0, 2**128 - 1),
    "u160": (0, 2**160 - 1),
    "u256": (0, 2**256 - 1),
    "i8": (-(2**7), 2**7 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "i256": (-(2**255), 2**255 - 1),
}
CHAINS = st.integers(1, 2**32 - 1)
ADDRESSES = st.binary(min_size=20, max_size=20)
symbols = (
    st.text(min_size=1, max_size=32)
    .filter(lambda text: text.isprintable() and " " not in text)
    .filter(lambda text: len(text.encode()) <= 32)
)
decimals = st.builds(Decimal64, st.integers(*_INTS["i64"]), st.integers(*_INTS["i8"]))


@st.composite
def instruments(draw: st.DrawFn) -> InstrumentId:
    venue = draw(st.sampled_from(list(Venue)))
    if venue is Venue.NONE:
        return InstrumentId.token(draw(CHAINS), draw(ADDRESSES))
    if venue.body_size is None:
        return InstrumentId.pair(venue, draw(symbols))
    body = draw(st.binary(min_size=venue.body_size, max_size=venue.body_size))
    return InstrumentId.pool(venue, draw(CHAINS), body)


def field_values(hint: Any) -> st.SearchStrategy[Any]:
    wire = None
    while get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        wire = next((extra for extra in extras if isinstance(extra, Wire)), wire)
    if get_origin(hint) is tuple:
        return st.lists(structs(get_args(hint)[0]), max_size=4).map(tuple)
    assert wire is not None
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return st.sampled_from(list(hint))
    if wire.name == "text":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    if wire.name == "instrument":
        return instruments()
    if wire.name == "decimal":
        return decimals
    if wire.name.startswith("bytes"):
        return st.binary(min_size=wire.size, max_size=wire.size)
    return st.integers(*_INTS[wire.name])


def structs(cls: type[TLV] | type[Entry]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{name: field_values(hints[name]) for name in cls.__struct_fields__})
