"""The protocol's tables, from the registry: for docs/protocol.md and ``torq demo tlv-info``."""

from __future__ import annotations

from collections.abc import Iterator

from torq_codec import Layout, layout_of
from torq_types import REGISTRY, TLV, TYPE_RANGES

__all__ = ["BEGIN", "END", "describe", "insert", "range_name", "rows", "tables"]

BEGIN = "<!-- generated from the registry: begin -->"
END = "<!-- generated from the registry: end -->"


def range_name(number: int) -> str:
    """The range that a type belongs to."""
    return next(name for name, first, last, _ in TYPE_RANGES if first <= number <= last)


def rows(cls: type[TLV]) -> Iterator[tuple[str, str, str]]:
    """Offset, wire type and name of everything in a type's value, in the order of the bytes."""
    layout: Layout = layout_of(cls)
    for version, segment in enumerate(layout.segments, 1):
        prefix = f"v{version}+" if version > 1 else ""
        for part in segment.block.parts:
            wire = f"{part.wire} ({part.enum.__name__})" if part.enum else part.wire
            yield f"{prefix}{part.offset}", wire, part.attribute
        behind = f"{prefix}{segment.block.size}"
        for variable in segment.variables:
            if variable.entry is None:
                yield behind, "text", variable.field
            else:
                size = sum(block.size for block in variable.blocks)
                yield behind, f"array of {variable.entry.__name__} ({size} bytes)", variable.field
                for block in variable.blocks:
                    for part in block.parts:
                        name = f"{variable.field}[].{part.attribute}"
                        yield f"  {part.offset}", part.wire, name
            behind = "behind it"


def describe(cls: type[TLV]) -> str:
    """The first line of a type's documentation."""
    return (cls.__doc__ or "").strip().splitlines()[0]


def tables() -> str:
    """All types in one overview, then each with its bytes, as Markdown."""
    lines = ["| type | name | range | version | purpose |", "|---|---|---|---|---|"]
    for number in sorted(REGISTRY):
        cls = REGISTRY[number]
        link = f"[{cls.__name__}](#{number}-{cls.__name__.lower()})"
        row = (str(number), link, range_name(number), str(cls.SCHEMA_VERSION), describe(cls))
        lines.append("| " + " | ".join(row) + " |")
    for number in sorted(REGISTRY):
        cls = REGISTRY[number]
        lines += ["", f"### {number} {cls.__name__}", "", describe(cls), ""]
        lines += ["| offset | wire type | field |", "|---|---|---|"]
        lines += [f"| {offset} | {wire} | `{name}` |" for offset, wire, name in rows(cls)]
    return "\n".join(lines)


def insert(document: str) -> str:
    """``document`` with the tables between its two marks. Raises ValueError without them."""
    front, begin, rest = document.partition(BEGIN)
    _, end, back = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return f"{front}{BEGIN}\n\n{tables()}\n\n{END}{back}"
