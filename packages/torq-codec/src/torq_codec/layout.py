"""Annotations to byte layout, worked out once per type.

The value of a TLV is a sequence of *segments*, one per schema version of its type. A segment is
a fixed block followed by that version's arrays and texts in order of declaration. Within a fixed
block the parts stand in order of falling alignment, then of declaration, so that a block has no
holes but at its end, which is filled up to a multiple of 8. A later version only adds a segment
behind the others: an old reader stops before it, a new reader of an old message fills it with
defaults.

An array is u32 count, u32 entry size, entries; an entry is laid out like fixed blocks alone. A
text is u32 length and UTF-8, zero-filled to a multiple of 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from torq_types import TLV, Entry, Since, Wire

__all__ = ["Block", "Layout", "Part", "Segment", "Variable", "layout_of"]


class Part(msgspec.Struct, frozen=True):
    """One value in a fixed block. A decimal is two parts: its mantissa and its exponent."""

    field: str
    attribute: str
    """Path from the struct to the value, such as ``price.mantissa``."""
    wire: str
    offset: int
    size: int
    enum: type[IntEnum] | None = None


class Block(msgspec.Struct, frozen=True):
    """A fixed block: its parts by offset, and its size with the filling."""

    parts: tuple[Part, ...]
    size: int
    fields: tuple[str, ...]


class Variable(msgspec.Struct, frozen=True):
    """A text, or an array with the blocks of its entry (one per version of the entry)."""

    field: str
    entry: type[Entry] | None = None
    blocks: tuple[Block, ...] = ()
    defaults: dict[str, Any] = {}
    """Values for fields that an older entry lacks."""


class Segment(msgspec.Struct, frozen=True):
    """What one schema version adds."""

    block: Block
    variables: tuple[Variable, ...]


class Layout(msgspec.Struct, frozen=True):
    """The bytes of one TLV type."""

    tlv: type[TLV]
    segments: tuple[Segment, ...]
    fields: tuple[str, ...]
    """In the order of the constructor's arguments."""
    defaults: dict[str, Any]
    """Values for fields that an older message lacks."""


class _Field(msgspec.Struct):
    name: str
    python_type: Any
    wire: Wire | None
    since: int

    @property
    def is_variable(self) -> bool:
        return self.wire is None or self.wire.size == 0


@cache
def layout_of(cls: type[TLV]) -> Layout:
    """The layout of a declared TLV type."""
    fields = tuple(_fields(cls))
    versions = range(1, cls.SCHEMA_VERSION + 1)
    return Layout(
        cls,
        tuple(_segment([field for field in fields if field.since == v]) for v in versions),
        tuple(field.name for field in fields),
        _defaults(cls),
    )


def _segment(fields: list[_Field]) -> Segment:
    block = _block([field for field in fields if not field.is_variable])
    return Segment(block, tuple(_variable(field) for field in fields if field.is_variable))


def _variable(field: _Field) -> Variable:
    if field.wire is not None:
        return Variable(field.name)
    origin, args = get_origin(field.python_type), get_args(field.python_type)
    if origin is not tuple or len(args) != 2 or not issubclass(args[0], Entry):
        raise TypeError(f"{field.name}: no wire form; annotate it, or use tuple[SomeEntry, ...]")
    entry = args[0]
    entry_fields = list(_fields(entry))
    if any(item.is_variable for item in entry_fields):
        raise TypeError(f"{entry.__name__}: an entry has only fixed-size fields")
    last = max(item.since for item in entry_fields)
    blocks = tuple(
        _block([item for item in entry_fields if item.since == v]) for v in range(1, last + 1)
    )
    return Variable(field.name, entry, blocks, _defaults(entry))


def _block(fields: list[_Field]) -> Block:
    pieces: list[tuple[int, int, str, str, str, type[IntEnum] | None]] = []
    for field in fields:
        wire = field.wire
        if wire is None:
            raise TypeError(f"{field.name}: an array cannot stand in a fixed block")
        if wire.name == "decimal":
            pieces.append((8, 8, field.name, f"{field.name}.mantissa", "i64", None))
            pieces.append((1, 1, field.name, f"{field.name}.exponent", "i8", None))
            continue
        python_type = field.python_type
        is_enum = isinstance(python_type, type) and issubclass(python_type, IntEnum)
        enum = python_type if is_enum else None
        pieces.append((wire.align, wire.size, field.name, field.name, wire.name, enum))
    parts: list[Part] = []
    offset = 0
    for align, size, name, attribute, wire_name, enum in sorted(pieces, key=lambda p: -p[0]):
        offset = -(-offset // align) * align
        parts.append(Part(name, attribute, wire_name, offset, size, enum))
        offset += size
    return Block(tuple(parts), -(-offset // 8) * 8, tuple(field.name for field in fields))


def _fields(cls: type[msgspec.Struct]) -> Iterator[_Field]:
    hints = get_type_hints(cls, include_extras=True)
    for name in cls.__struct_fields__:
        hint, wire, since = hints[name], None, 1
        while get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            for extra in extras:
                if isinstance(extra, Wire):
                    wire = extra
                elif isinstance(extra, Since):
                    since = extra.schema_version
        yield _Field(name, hint, wire, since)


def _defaults(cls: type[msgspec.Struct]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        if field.default is not msgspec.NODEFAULT:
            defaults[field.name] = field.default
    for item in _fields(cls):
        if item.since > 1 and item.name not in defaults:
            raise TypeError(f"{cls.__name__}.{item.name}: a field added later needs a default")
    return defaults
