"""Each field of each event lands where it belongs: told once, in ``dex_fields.txt``.

An event's arguments are 101, 102, … in the order of its declaration (signed ones negative, an
address its number's low byte twenty times, an array counting on from a thousand times its number),
so that the record shows which argument became which field. It was checked by hand against the
contracts' own declarations, which name the arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dex_events import CASES, as_log, pool_of, types_of

from torq_codec.dex import decode_event
from torq_types import InstrumentId

RECORDED = Path(__file__).parent / "dex_fields.txt"
PLACE = ("pool", "block_number", "block_hash", "transaction_hash", "log_index")


def argument(kind: str, number: int, pool: InstrumentId) -> Any:
    """The value of an event's argument ``number``."""
    if kind.endswith("]"):
        base, _, length = kind[:-1].partition("[")
        return [argument(base, 1000 * number + k, pool) for k in range(int(length or 2))]
    if kind == "address":
        return "0x" + f"{number % 256:02x}" * 20
    if kind == "bytes32":
        return pool.body if number == 101 else bytes([number]) * 32
    if kind == "int128" and pool.venue.name == "CURVE":
        return number - 100  # a coin's place
    return -number if kind.startswith("int") else number


def lines() -> Iterator[str]:
    """An event, and the fields of what it is decoded to that are not zero."""
    for venue, event in CASES:
        pool = pool_of(venue)
        values = [argument(kind, 101 + at, pool) for at, (kind, _) in enumerate(types_of(event))]
        tlv = decode_event(as_log(event, values, pool), pool)
        yield f"{venue.slug} {event}"
        yield f"    {type(tlv).__name__} {' '.join(shown(tlv))}"


def shown(struct: Any) -> Iterator[str]:
    """``field=value`` for everything but zeros and the place in the chain."""
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if name in PLACE or not value or value == bytes(len(value) if type(value) is bytes else 0):
            continue
        if isinstance(value, tuple):
            value = "[" + "; ".join(" ".join(shown(entry)) for entry in value) + "]"
        elif isinstance(value, bytes):
            value = f"{value[0]:02x}*{len(value)}"
        yield f"{name}={value}"


def test_each_argument_becomes_the_field_that_was_recorded() -> None:
    assert list(lines()) == RECORDED.read_text().splitlines()
