"""How a TLV type is declared: a frozen struct, annotated fields, one line of registration.

.. code-block:: python

    @tlv_type(1)
    class Trade(TLV, frozen=True, gc=False):
        instrument: Instrument
        price: Dec64
        trade_id: Text

That declaration is the schema. :mod:`torq_codec.layout` works out the bytes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeVar

import msgspec

from torq_types.decimals import Decimal64
from torq_types.domains import is_defined_type
from torq_types.instrument import InstrumentId

__all__ = [
    "I8",
    "I32",
    "I64",
    "I256",
    "REGISTRY",
    "TLV",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "U160",
    "U256",
    "Address",
    "Dec64",
    "Entry",
    "Hash32",
    "Instrument",
    "Since",
    "Text",
    "Wire",
    "tlv_type",
]


class Wire(msgspec.Struct, frozen=True):
    """The wire form of a field: its name in docs/protocol.md, and its size and alignment."""

    name: str
    size: int
    """Bytes in the fixed block; 0 for an array or a text, which stand behind it."""
    align: int


class Since(msgspec.Struct, frozen=True):
    """Marks a field appended in a later schema version; it needs a default for older messages."""

    schema_version: int


U8 = Annotated[int, Wire("u8", 1, 1)]
U16 = Annotated[int, Wire("u16", 2, 2)]
U32 = Annotated[int, Wire("u32", 4, 4)]
U64 = Annotated[int, Wire("u64", 8, 8)]
I8 = Annotated[int, Wire("i8", 1, 1)]
I32 = Annotated[int, Wire("i32", 4, 4)]
I64 = Annotated[int, Wire("i64", 8, 8)]
U128 = Annotated[int, Wire("u128", 16, 8)]
U160 = Annotated[int, Wire("u160", 20, 8)]
U256 = Annotated[int, Wire("u256", 32, 8)]
I256 = Annotated[int, Wire("i256", 32, 8)]
Address = Annotated[bytes, Wire("bytes20", 20, 4)]
Hash32 = Annotated[bytes, Wire("bytes32", 32, 8)]
Text = Annotated[str, Wire("text", 0, 8)]
Instrument = Annotated[InstrumentId, Wire("instrument", 40, 8)]
Dec64 = Annotated[Decimal64, Wire("decimal", 9, 8)]
"""An i64 mantissa and an i8 exponent, which the layout places among the i64s and the i8s."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One row of an array field: fixed-size fields only."""


class TLV(msgspec.Struct, frozen=True, gc=False):
    """The base of every message part. Fields are declared with the annotations above."""

    TYPE: ClassVar[int]
    SCHEMA_VERSION: ClassVar[int]


_registry: dict[int, type[TLV]] = {}
REGISTRY: Mapping[int, type[TLV]] = MappingProxyType(_registry)
"""Every declared type by its number. Filled while ``torq_types`` is imported."""

T = TypeVar("T", bound=type[TLV])


def tlv_type(number: int, *, schema_version: int = 1, register: bool = True) -> Callable[[T], T]:
    """Declare a TLV class as type ``number``.

    ``register=False`` leaves the registry alone: for tests that need a second version of a type,
    and for vendor types (200 to 254) that a deployment keeps to itself.
    """

    def declare(cls: T) -> T:
        if not is_defined_type(number):
            raise ValueError(f"TLV type {number} lies outside every range of the protocol")
        cls.TYPE = number
        cls.SCHEMA_VERSION = schema_version
        if register:
            if number in _registry:
                raise ValueError(f"TLV type {number} is taken by {_registry[number].__name__}")
            _registry[number] = cls
        return cls

    return declare
