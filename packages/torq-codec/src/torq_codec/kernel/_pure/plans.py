"""TLVs to bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any

from torq_codec.kernel._pure.blocks import BlockPlan
from torq_codec.kernel._pure.scanning import Buffer
from torq_codec.layout import Layout, Variable, layout_of
from torq_types import TLV, Entry, FieldError, TruncatedError

__all__ = ["Plan", "plan_for"]

_TLV = struct.Struct("<HBBI")
_U32 = struct.Struct("<I")
_ARRAY = struct.Struct("<II")
_ZEROS = tuple(bytes(count) for count in range(8))


class _VariablePlan:
    """Packs and unpacks one text or array."""

    def __init__(self, variable: Variable) -> None:
        self.field = variable.field
        self.entry: type[Entry] | None = variable.entry
        self.blocks = tuple(BlockPlan(block) for block in variable.blocks)
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
                BlockPlan(segment.block),
                tuple(_VariablePlan(variable) for variable in segment.variables),
            )
            for segment in layout.segments
        )
        self.in_order = [
            name
            for block, variables in self.segments
            for name in (*block.fields, *(variable.field for variable in variables))
        ]
        """The fields as their values stand on the wire."""
        places = [self.in_order.index(name) for name in self.fields]
        self.arrange: Callable[[list[Any]], Any] = itemgetter(*places) if len(places) > 1 else tuple
        """From that order to the constructor's."""

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
        at, end = start, start + length
        values: list[Any] = []
        try:
            for block, variables in self.segments[:schema_version]:
                if at + block.size > end:
                    raise TruncatedError(
                        f"{self.tlv.__name__}: {length} bytes, too few for version {schema_version}"
                    )
                values += block.unpack(view, at)
                at += block.size
                for variable in variables:
                    value, at = variable.unpack(view, at, end)
                    values.append(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise FieldError(f"{self.tlv.__name__}: a field has no legal value: {error}") from error
        if len(values) < len(self.fields):
            known = dict(zip(self.in_order, values, strict=False))
            return self.tlv(**{**self.defaults, **known})
        return self.tlv(*self.arrange(values))


@cache
def plan_for(cls: type[TLV]) -> Plan:
    """The plan of a TLV type, made once."""
    return Plan(layout_of(cls))
