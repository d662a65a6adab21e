"""One fixed block to bytes and back, by functions written for it once.

Reading and writing a field at a time would cost a call each. So the source of two functions is
made from the block's parts, as :mod:`dataclasses` does for constructors, and compiled once per
type: they do nothing but name the fields and call ``struct``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from torq_codec.identifiers import pack_instrument, unpack_instrument
from torq_codec.layout import Block, Part
from torq_types import Decimal64

__all__ = ["BlockPlan"]

_FORMATS = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "i8": "b",
    "i32": "i",
    "i64": "q",
}


class BlockPlan:
    """Packs and unpacks one fixed block with a single ``struct`` format."""

    def __init__(self, block: Block) -> None:
        self.size = block.size
        self.fields = block.fields
        layout = struct.Struct(_format(block))
        names: dict[str, Any] = {
            "write": layout.pack,
            "read": layout.unpack_from,
            "Decimal64": Decimal64,
            "pack_instrument": pack_instrument,
            "unpack_instrument": unpack_instrument,
            "to_bytes": int.to_bytes,
            "from_bytes": int.from_bytes,
            "exactly": _exactly,
        }
        by_field: dict[str, list[tuple[int, Part]]] = {}
        for index, part in enumerate(block.parts):
            by_field.setdefault(part.field, []).append((index, part))
            if part.enum is not None:
                names[f"Enum{index}"] = part.enum
                names[f"members{index}"] = {int(member): member for member in part.enum}
        written = ", ".join(_written(part) for part in block.parts)
        read = ", ".join(f"v{index}" for index in range(len(block.parts)))
        made = ", ".join(_made(by_field[field]) for field in block.fields)
        source = f"def pack(owner):\n    return write({written})\n"
        source += "def unpack(view, at):\n"
        source += f"    {read}, = read(view, at)\n" if block.parts else ""
        source += f"    return ({made}{',' if made else ''})\n"
        exec(source, names)  # the source is made of this package's own declarations only
        self.pack: Callable[[Any], bytes] = names["pack"]
        self.unpack: Callable[[memoryview, int], tuple[Any, ...]] = names["unpack"]
        """The values of the block's fields, in the block's order of fields."""


def _format(block: Block) -> str:
    pieces, offset = ["<"], 0
    for part in block.parts:
        pieces.append(f"{part.offset - offset}x" if part.offset > offset else "")
        pieces.append(_FORMATS.get(part.wire, f"{part.size}s"))
        offset = part.offset + part.size
    pieces.append(f"{block.size - offset}x" if block.size > offset else "")
    return "".join(pieces)


def _written(part: Part) -> str:
    """The expression that ``struct`` packs for a part of ``owner``."""
    value = f"owner.{part.attribute}"
    if part.wire == "instrument":
        return f"pack_instrument({value})"
    if part.wire in _FORMATS:
        return value
    if part.wire.startswith("bytes"):
        return f"exactly({value}, {part.size})"
    return f"to_bytes({value}, {part.size}, 'little', signed={part.wire[0] == 'i'})"


def _made(parts: list[tuple[int, Part]]) -> str:
    """The expression for a field's value, of what ``struct`` unpacked."""
    (index, part), *rest = parts
    if rest:
        return f"Decimal64(v{index}, v{rest[0][0]})"
    if part.enum is not None:
        known = f"members{index}[v{index}] if v{index} in members{index}"
        return f"({known} else Enum{index}(v{index}))"
    if part.wire == "instrument":
        return f"unpack_instrument(v{index})"
    if part.wire in _FORMATS or part.wire.startswith("bytes"):
        return f"v{index}"
    return f"from_bytes(v{index}, 'little', signed={part.wire[0] == 'i'})"


def _exactly(value: Any, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes where {size} belong")
    return bytes(value)
