"""The wire as it stands in every log that exists: numbers, layouts and names, written out once.

``wire.txt`` is the referee. A line that changes breaks what was recorded: lines are added there,
and none is changed.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import torq_types
from torq_types import REGISTRY, Domain, Entry, Since, Venue, Wire, is_type_allowed

RECORDED = Path(__file__).parent / "wire.txt"


def wire_lines() -> Iterator[str]:
    """Constants, enumerations, and each type's fields with their sizes and alignments."""
    public = {name: getattr(torq_types, name) for name in sorted(torq_types.__all__)}
    for name, value in public.items():
        if isinstance(value, int | bytes):
            yield f"{name} = {value!r}"
    for name, value in public.items():
        if isinstance(value, type) and issubclass(value, IntEnum):
            yield f"{name}: {' '.join(f'{member.name}={member}' for member in value)}"
    for domain in Domain:
        legal = [str(number) for number in range(300) if is_type_allowed(domain, number)]
        yield f"{domain.slug}: {' '.join(legal)}"
    for venue in Venue:
        yield f"{venue.slug}: bodies of {venue.body_size} bytes"
    entries: dict[str, type[Entry]] = {}
    for number, declared in sorted(REGISTRY.items()):
        yield f"{number} {declared.__name__} v{declared.SCHEMA_VERSION}"
        yield from _fields(declared, entries)
    for name, entry in sorted(entries.items()):
        yield f"entry {name}"
        yield from _fields(entry, entries)


def _fields(declared: type[Any], entries: dict[str, type[Entry]]) -> Iterator[str]:
    names, values = declared.__struct_fields__, declared.__struct_defaults__
    defaults = {
        name: f" = {value!r}"
        for name, value in zip(names[len(names) - len(values) :], values, strict=True)
    }
    for name, hint in typing.get_type_hints(declared, include_extras=True).items():
        if name in declared.__struct_fields__:
            yield f"    {name} {_described(hint, entries)}{defaults.get(name, '')}"


def _described(hint: Any, entries: dict[str, type[Entry]]) -> str:
    if typing.get_origin(hint) is not Annotated:  # an array: tuple[Entry, ...]
        (entry, _) = typing.get_args(hint)
        entries[entry.__name__] = entry
        return f"{entry.__name__}[]"
    inner, *notes = typing.get_args(hint)
    said = "" if typing.get_origin(inner) is None else _described(inner, entries) + " "
    for note in notes:
        if isinstance(note, Wire):
            said += f"{note.name} {note.size} {note.align}"
        elif isinstance(note, Since):
            said += f" since {note.schema_version}"
    return said if inner.__name__ in ("int", "str", "bytes") else f"{said} {inner.__name__}"


def test_the_wire_is_what_was_recorded() -> None:
    assert list(wire_lines()) == RECORDED.read_text().splitlines()
