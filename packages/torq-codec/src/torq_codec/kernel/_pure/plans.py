"""TLVs to bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

from torq_codec.identifiers import pack_instrument, unpack_instrument
from torq_codec.kernel._pure.scanning import Buffer
from torq_codec.layout import Block, Layout, Part, Variable, layout_of
from torq_types import TLV, Decimal64, Entry, FieldError, TruncatedError

__all__ = ["Plan", "plan_for"]

_FORMATS = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "i8": "b",
    "i32": "i",
    "i64": "q",
}
_TLV = struct.Struct("<HBBI")
_U32 = struct.Struct("<I")
_ARRAY = struct.Struct("<II")
_ZEROS = tuple(bytes(count) for count in range(8))


def _pack_wide(size: int, signed: bool) -> Callable[[Any], bytes]:
    def pack(value: Any) -> bytes:
        return int.to_bytes(value, size, "little", signed=signed)

    return pack


def _pack_bytes(size: int) -> Callable[[Any], bytes]:
    def pack(value: Any) -> bytes:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes where {size} belong")
        return bytes(value)

    return pack


def _unpack_wide(signed: bool) -> Callable[[Any], int]:
    def unpack(value: Any) -> int:
        return int.from_bytes(value, "little", signed=signed)

    return unpack


class _BlockPlan:
    """Packs and unpacks one fixed block with a single ``struct`` format."""

    def __init__(self, block: Block) -> None:
        self.size = block.size
        self.fields = block.fields
        self.empty = not block.parts
        if self.empty:
            return
        getter = attrgetter(*(part.attribute for part in block.parts))
        single = len(block.parts) == 1
        self.values: Callable[[Any], tuple[Any, ...]] = (
            (lambda owner: (getter(owner),)) if single else getter
        )
        self.struct = struct.Struct(self._format(block))
        self.packers: list[tuple[int, Callable[[Any], Any]]] = []
        # For each field: the index of its first part, and how to make the value from the parts.
        self.unpackers: list[tuple[int, int, Callable[[Any], Any] | None]] = []
        indices: dict[str, list[int]] = {}
        for index, part in enumerate(block.parts):
            indices.setdefault(part.field, []).append(index)
            packer = self._packer(part)
            if packer is not None:
                self.packers.append((index, packer))
        for field in block.fields:
            first, *rest = indices[field]
            unpacker = None if rest else self._unpacker(block.parts[first])
            self.unpackers.append((first, rest[0] if rest else -1, unpacker))

    @staticmethod
    def _format(block: Block) -> str:
        pieces, offset = ["<"], 0
        for part in block.parts:
            pieces.append(f"{part.offset - offset}x" if part.offset > offset else "")
            pieces.append(_FORMATS.get(part.wire, f"{part.size}s"))
            offset = part.offset + part.size
        pieces.append(f"{block.size - offset}x" if block.size > offset else "")
        return "".join(pieces)

    @staticmethod
    def _packer(part: Part) -> Callable[[Any], Any] | None:
        if part.wire == "instrument":
            return pack_instrument
        if part.wire in _FORMATS:
            return None
        if part.wire.startswith("bytes"):
            return _pack_bytes(part.size)
        return _pack_wide(part.size, signed=part.wire[0] == "i")

    @staticmethod
    def _unpacker(part: Part) -> Callable[[Any], Any] | None:
        if part.enum is not None:
            return part.enum
        if part.wire == "instrument":
            return unpack_instrument
        if part.wire in _FORMATS or part.wire.startswith("bytes"):
            return None
        return _unpack_wide(signed=part.wire[0] == "i")

    def pack(self, owner: Any) -> bytes:
        if self.empty:
            return b""
        values: Any = self.values(owner)
        if self.packers:
            values = list(values)
            for index, packer in self.packers:
                values[index] = packer(values[index])
        return self.struct.pack(*values)

    def unpack(self, view: memoryview, at: int) -> list[Any]:
        """The values of the block's fields, in the block's order of fields."""
        if self.empty:
            return []
        raw = self.struct.unpack_from(view, at)
        values: list[Any] = []
        for first, second, unpacker in self.unpackers:
            if second >= 0:
                values.append(Decimal64(raw[first], raw[second]))
            else:
                values.append(raw[first] if unpacker is None else unpacker(raw[first]))
        return values


class _VariablePlan:
    """Packs and unpacks one text or array."""

    def __init__(self, variable: Variable) -> None:
        self.field = variable.field
        self.entry: type[Entry] | None = variable.entry
        self.blocks = tuple(_BlockPlan(block) for block in variable.blocks)
        self.entry_size = sum(block.size for block in self.blocks)

    def pack(self, value: Any) -> bytes:
        if self.entry is None:
            text = value.encode()
            return b"".join((_U32.pack(len(text)), text, _ZEROS[-(4 + len(text)) % 8]))
        pieces = [_ARRAY.pack(len(value), self.entry_size)]
        for entry in value:
            pieces.extend(block.pack(entry) for block in self.blocks)
        return b"".join(pieces)

    def unpack(self, view: memoryview, at: int, end: int) -> tuple[Any, int]:
        """The value, and where the next one begins."""
        if self.entry is None:
            if at + 4 > end:
                raise TruncatedError(f"{self.field}: the value ends before its text")
            size = _U32.unpack_from(view, at)[0]
            if at + 4 + size > end:
                raise TruncatedError(f"{self.field}: a text of {size} bytes passes the value's end")
            return str(view[at + 4 : at + 4 + size], "utf-8"), at + 4 + size + -(4 + size) % 8
        if at + 8 > end:
            raise TruncatedError(f"{self.field}: the value ends before its array")
        count, entry_size = _ARRAY.unpack_from(view, at)
        at += 8
        if at + count * entry_size > end:
            raise TruncatedError(f"{self.field}: {count} x {entry_size} bytes pass the value's end")
        known, size = self._known(entry_size)
        if size > entry_size or (known < len(self.blocks) and size != entry_size) or not entry_size:
            raise FieldError(f"{self.field}: entries of {entry_size} bytes fit no known version")
        blocks = self.blocks[:known]
        entries = []
        for _ in range(count):
            values: list[Any] = []
            offset = at
            for block in blocks:
                values += block.unpack(view, offset)
                offset += block.size
            entries.append(self.entry(*values))
            at += entry_size
        return tuple(entries), at

    def _known(self, entry_size: int) -> tuple[int, int]:
        """How many of the entry's versions are in ``entry_size`` bytes, and their size."""
        known = size = 0
        for block in self.blocks:
            if size + block.size > entry_size:
                break
            size += block.size
            known += 1
        return known, size


class Plan:
    """Encodes and decodes one TLV type; made once per type from its layout."""

    def __init__(self, layout: Layout) -> None:
        self.tlv = layout.tlv
        self.fields = layout.fields
        self.defaults = layout.defaults
        self.segments = tuple(
            (
                _BlockPlan(segment.block),
                tuple(_VariablePlan(variable) for variable in segment.variables),
            )
            for segment in layout.segments
        )

    def encode(self, tlv: TLV) -> bytes:
        """Header, value and filling of ``tlv``. Raises :class:`FieldError`."""
        pieces: list[bytes] = [b""]
        try:
            for block, variables in self.segments:
                pieces.append(block.pack(tlv))
                pieces.extend(variable.pack(getattr(tlv, variable.field)) for variable in variables)
        except (struct.error, OverflowError, ValueError, TypeError, AttributeError) as error:
            raise FieldError(f"{self.tlv.__name__}: a field does not fit: {error}") from error
        length = sum(map(len, pieces))
        pieces[0] = _TLV.pack(self.tlv.TYPE, self.tlv.SCHEMA_VERSION, 0, length)
        return b"".join(pieces)

    def decode(self, buffer: Buffer, start: int, length: int, schema_version: int) -> TLV:
        """The TLV whose value is ``buffer[start:start + length]``. Raises a ProtocolError."""
        view = memoryview(buffer)
        if start + length > len(view):
            raise TruncatedError(f"{self.tlv.__name__}: the buffer ends before the value")
        values = dict(self.defaults)
        at, end = start, start + length
        try:
            for block, variables in self.segments[:schema_version]:
                if at + block.size > end:
                    raise TruncatedError(
                        f"{self.tlv.__name__}: {length} bytes, too few for version {schema_version}"
                    )
                values.update(zip(block.fields, block.unpack(view, at), strict=True))
                at += block.size
                for variable in variables:
                    values[variable.field], at = variable.unpack(view, at, end)
        except (ValueError, TypeError, OverflowError) as error:
            raise FieldError(f"{self.tlv.__name__}: a field has no legal value: {error}") from error
        return self.tlv(*[values[name] for name in self.fields])


@cache
def plan_for(cls: type[TLV]) -> Plan:
    """The plan of a TLV type, made once."""
    return Plan(layout_of(cls))
