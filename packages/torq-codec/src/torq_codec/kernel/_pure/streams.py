"""What a relay and its readers do with runs of messages, without making an object for each."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from mmap import mmap

from torq_codec.kernel._pure.scanning import Buffer, verify
from torq_types import HEADER_SIZE, INSTRUMENT_SIZE, ErrorCode

__all__ = [
    "Filter",
    "SequenceTracker",
    "advance",
    "count",
    "fence",
    "gather",
    "load_u64",
    "spin_while",
    "store_u64",
]

_ORIGIN = struct.Struct("<HQQ")
_ORIGIN_OFFSET = 14
_LENGTH = struct.Struct("<I")
_LENGTH_OFFSET = 8
_TLV = struct.Struct("<HBBI")


class SequenceTracker:
    """The last sequence and timestamp of every source in a stream."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}

    def last(self, source: int) -> int:
        """The last sequence of ``source``; 0 when it is unknown."""
        return self._last.get(source, (0, 0))[0]

    def last_timestamp_ns(self, source: int) -> int:
        """The timestamp of the last message of ``source``; 0 when it is unknown."""
        return self._last.get(source, (0, 0))[1]

    def set(self, source: int, sequence: int, timestamp_ns: int) -> None:
        """Go on behind ``sequence``."""
        self._last[source] = (sequence, timestamp_ns)

    def sources(self) -> list[int]:
        """The sources that are known, in order."""
        return sorted(source for source, (sequence, _) in self._last.items() if sequence)

    def clear(self) -> None:
        """Know no source any more."""
        self._last.clear()

    def scan(
        self,
        buffer: Buffer,
        start: int,
        end: int,
        domain: int,
        max_payload: int,
        source: int = 0,
    ) -> tuple[int, int, int]:
        """:func:`scan`, and each message must be the next one of its source.

        With ``source``, only messages of that one pass, from the sequence behind its last (even
        0) on. Without, any source but 0 may begin anywhere. Stops before a message that breaks
        the rule, with ``WRONG_SOURCE`` or ``SEQUENCE`` as the code.
        """
        view = memoryview(buffer)
        known = self._last
        passed = 0
        while True:
            code, size = verify(view, start, end, domain, max_payload)
            if code or not size:
                return start, passed, code
            found, sequence, timestamp_ns = _ORIGIN.unpack_from(view, start + _ORIGIN_OFFSET)
            if not found or (source and found != source):
                return start, passed, ErrorCode.WRONG_SOURCE
            last = known[found][0] if found in known else 0
            if sequence != last + 1 and (source or last):
                return start, passed, ErrorCode.SEQUENCE
            known[found] = (sequence, timestamp_ns)
            start += size
            passed += 1


class Filter:
    """Passes a message when one of its TLVs has a wanted type and a wanted instrument.

    An empty set wants everything. ``offsets`` tells for each type where its instruments stand in
    its value; a TLV that names none is not held back by the instruments: a heartbeat concerns
    every reader.
    """

    def __init__(
        self,
        types: Collection[int],
        instruments: Collection[bytes],
        offsets: Mapping[int, Sequence[int]],
    ) -> None:
        self._types = frozenset(types)
        self._instruments = frozenset(instruments)
        for packed in instruments:
            if len(packed) != INSTRUMENT_SIZE:
                raise ValueError(f"an identifier has 40 bytes; found {len(packed)}")
        self._offsets = {tlv_type: tuple(places[:4]) for tlv_type, places in offsets.items()}
        self.passes_all = not self._types and not self._instruments
        """Whether nothing is held back."""

    def runs(self, buffer: Buffer, start: int, end: int) -> list[tuple[int, int]]:
        """The wanted stretches of verified messages, neighbours joined, as (start, end)."""
        view = memoryview(buffer)[:end]
        runs: list[tuple[int, int]] = []
        for at, size in _places(view, start):
            if not self._wants(view, at, at + size):
                continue
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0], at + size)
            else:
                runs.append((at, at + size))
        return runs

    def _wants(self, view: memoryview, start: int, end: int) -> bool:
        at = start + HEADER_SIZE
        while at + 8 <= end:
            tlv_type, _, _, length = _TLV.unpack_from(view, at)
            value = at + 8
            if (not self._types or tlv_type in self._types) and self._names(
                view, tlv_type, value, min(length, end - value)
            ):
                return True
            at = value + length + -length % 8
        return False

    def _names(self, view: memoryview, tlv_type: int, value: int, length: int) -> bool:
        offsets = self._offsets.get(tlv_type)
        if not self._instruments or not offsets:
            return True
        return any(
            bytes(view[value + offset : value + offset + INSTRUMENT_SIZE]) in self._instruments
            for offset in offsets
            if offset + INSTRUMENT_SIZE <= length
        )


def _places(view: Buffer, at: int) -> Iterator[tuple[int, int]]:
    """Where each verified message begins, and its size."""
    while at + HEADER_SIZE <= len(view):
        size = HEADER_SIZE + _LENGTH.unpack_from(view, at + _LENGTH_OFFSET)[0]
        if at + size > len(view):
            return
        yield at, size
        at += size


def count(buffer: Buffer) -> int:
    """How many verified messages ``buffer`` holds."""
    return sum(1 for _ in _places(buffer, 0))


def advance(ring: Buffer | mmap, head: int, target: int) -> int:
    """The first message boundary at or behind ``target`` in a ring whose oldest is at ``head``.

    Positions count from the first byte ever written; ``ring`` is as long as its capacity, a
    multiple of 8, so that no header word is cut in two.
    """
    capacity = len(ring)
    while head < target:
        head += HEADER_SIZE + _LENGTH.unpack_from(ring, (head + _LENGTH_OFFSET) % capacity)[0]
    return head


def gather(buffer: Buffer, tlv_type: int, block_size: int) -> bytes:
    """A row for every ``tlv_type`` in verified messages: what a structured array is made of.

    A row is u16 source, u64 sequence, u64 timestamp, then the first ``block_size`` bytes of the
    value; a shorter value is left out.
    """
    view = memoryview(buffer)
    rows: list[memoryview] = []
    for start, size in _places(view, 0):
        at = start + HEADER_SIZE
        while at + 8 <= start + size:
            found, _, _, length = _TLV.unpack_from(view, at)
            if found == tlv_type and length >= block_size:
                rows.append(view[start + _ORIGIN_OFFSET : start + HEADER_SIZE])
                rows.append(view[at + 8 : at + 8 + block_size])
            at += 8 + length + -length % 8
    return b"".join(rows)


def load_u64(buffer: Buffer | mmap, offset: int) -> int:
    """The word at ``offset``, which another process may be writing; an acquiring load."""
    return _word(buffer, offset)[0]


def store_u64(buffer: Buffer | mmap, offset: int, value: int) -> None:
    """Write the word at ``offset`` with one releasing store."""
    _word(buffer, offset)[0] = value


def _word(buffer: Buffer | mmap, offset: int) -> memoryview[int]:
    if offset < 0 or offset % 8 or offset + 8 > len(buffer):
        raise ValueError(f"no aligned word at offset {offset} of {len(buffer)} bytes")
    # Native "Q" moves the word whole; struct's "<Q" would go byte by byte.
    return memoryview(buffer)[offset : offset + 8].cast("Q")


def fence() -> None:
    """What was stored before is seen by others before what is loaded after.

    Nothing to do here: the interpreter takes far longer from one access to the next than a
    processor takes to empty its store buffer.
    """


def spin_while(buffer: Buffer | mmap, offset: int, seen: int, rounds: int) -> int:
    """Load the word at ``offset`` until it is not ``seen``, at most ``rounds`` times; its value."""
    word = _word(buffer, offset)
    value = seen
    for _ in range(rounds):
        value = word[0]
        if value != seen:
            break
    return value
