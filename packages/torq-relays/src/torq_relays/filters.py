"""Which messages a subscriber wants, decided on bytes without decoding them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache

from torq_codec import layout_of, message_size, pack_instrument
from torq_types import HEADER_SIZE, INSTRUMENT_SIZE, REGISTRY, InstrumentId

__all__ = ["Filter"]

_TLV = struct.Struct("<HBBI")


class Filter:
    """Passes a message when one of its TLVs has a wanted type and a wanted instrument.

    An empty set wants everything. A TLV that names no instrument is not held back by the
    instruments: a heartbeat concerns every reader.
    """

    def __init__(self, types: Iterable[int] = (), instruments: Iterable[InstrumentId] = ()) -> None:
        self._types = frozenset(types)
        self._instruments = frozenset(pack_instrument(instrument) for instrument in instruments)

    @property
    def passes_all(self) -> bool:
        """Whether nothing is held back."""
        return not self._types and not self._instruments

    def wants(self, messages: bytes, start: int, end: int) -> bool:
        """Whether the message in ``messages[start:end]`` passes."""
        at = start + HEADER_SIZE
        while at < end:
            tlv_type, _, _, length = _TLV.unpack_from(messages, at)
            value = at + 8
            if (not self._types or tlv_type in self._types) and self._names(
                messages, tlv_type, value, length
            ):
                return True
            at = value + length + -length % 8
        return False

    def runs(self, messages: bytes) -> list[tuple[int, int]]:
        """The wanted stretches of ``messages``, neighbours joined, as (start, end)."""
        runs: list[tuple[int, int]] = []
        at = 0
        while at < len(messages):
            end = at + message_size(messages, at)
            if self.wants(messages, at, end):
                if runs and runs[-1][1] == at:
                    runs[-1] = (runs[-1][0], end)
                else:
                    runs.append((at, end))
            at = end
        return runs

    def _names(self, messages: bytes, tlv_type: int, value: int, length: int) -> bool:
        offsets = _instrument_offsets(tlv_type)
        if not self._instruments or not offsets:
            return True
        return any(
            messages[value + offset : value + offset + INSTRUMENT_SIZE] in self._instruments
            for offset in offsets
            if offset + INSTRUMENT_SIZE <= length
        )


@cache
def _instrument_offsets(tlv_type: int) -> tuple[int, ...]:
    """Where a type's instruments stand in its value."""
    cls = REGISTRY.get(tlv_type)
    if cls is None:
        return ()
    block = layout_of(cls).segments[0].block
    return tuple(part.offset for part in block.parts if part.wire == "instrument")
