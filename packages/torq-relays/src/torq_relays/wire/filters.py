"""Which messages a subscriber wants, decided on bytes without decoding them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from torq_codec import kernel, layout_of, pack_instrument
from torq_types import REGISTRY, InstrumentId

__all__ = ["Filter", "filter_of"]

Filter = kernel.Filter


def filter_of(types: Iterable[int] = (), instruments: Iterable[InstrumentId] = ()) -> Filter:
    """Passes a message when one of its TLVs has a wanted type and a wanted instrument.

    An empty set wants everything. A TLV that names no instrument is not held back by the
    instruments: a heartbeat concerns every reader.
    """
    packed = [pack_instrument(instrument) for instrument in instruments]
    return Filter(frozenset(types), frozenset(packed), _instrument_offsets())


@cache
def _instrument_offsets() -> dict[int, tuple[int, ...]]:
    """Where each type's instruments stand in its value."""
    return {
        number: tuple(
            part.offset
            for part in layout_of(cls).segments[0].block.parts
            if part.wire == "instrument"
        )
        for number, cls in REGISTRY.items()
    }
