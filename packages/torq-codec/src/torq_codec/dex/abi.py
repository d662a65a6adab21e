"""Events whose fields stand at fixed offsets, read and written without a general ABI decoder.

Source: the Contract ABI specification of Solidity: each static field is one 32-byte word, indexed
fields are topics, and a dynamic array is an offset to its length and entries.
"""

from __future__ import annotations

from typing import TypeAlias

from torq_types import MalformedEventError

__all__ = ["Event", "Value", "decode_arrays", "encode_arrays"]

Value: TypeAlias = int | bytes
"""A number, or the bytes of an address (20) or of a ``bytes32``."""

_Word: TypeAlias = tuple[str, int, bool]


class Event:
    """One event: ``Event(topic, "address* sender, uint256 amount")``; ``*`` marks indexed fields.

    Values are listed in the order of the declaration.
    """

    def __init__(self, topic: str, fields: str) -> None:
        self.topic = bytes.fromhex(topic)
        self.words: list[_Word] = []
        self.names: list[str] = []
        for declared in fields.split(", ") if fields else []:
            kind, name = declared.split(" ")
            self.words.append(_word(kind))
            self.names.append(name)
        self.topics = 1 + sum(indexed for _, _, indexed in self.words)
        self.size = 32 * (len(self.words) + 1 - self.topics)
        self._plan: list[tuple[bool, int, str, int, str]] = []
        topic_place, offset = 1, 0
        for (kind, bits, indexed), name in zip(self.words, self.names, strict=True):
            self._plan.append((indexed, topic_place if indexed else offset, kind, bits, name))
            if indexed:
                topic_place += 1
            else:
                offset += 32

    def decode(self, topics: tuple[bytes, ...], payload: bytes) -> list[Value]:
        """The fields' values. Raises :class:`MalformedEventError` for what does not fit exactly."""
        if len(topics) != self.topics or len(payload) != self.size:
            raise MalformedEventError(
                f"expected {self.topics} topics and {self.size} bytes, found {len(topics)} and"
                f" {len(payload)}"
            )
        values: list[Value] = []
        for indexed, place, kind, bits, name in self._plan:
            word = topics[place] if indexed else payload[place : place + 32]
            if kind == "address":
                if word[:12] != _PADDING:
                    raise _out_of_range(name, kind, word)
                values.append(word[12:])
            elif kind == "uint":
                number = int.from_bytes(word, "big")
                if number >> bits:
                    raise _out_of_range(name, f"uint{bits}", word)
                values.append(number)
            elif kind == "int":
                number = int.from_bytes(word, "big", signed=True)
                if number >> (bits - 1) not in (0, -1):
                    raise _out_of_range(name, f"int{bits}", word)
                values.append(number)
            else:
                values.append(word)
        return values

    def encode(self, values: list[Value]) -> tuple[tuple[bytes, ...], bytes]:
        """Topics and payload of an event with these values, in the order of the declaration."""
        topics = [self.topic]
        words: list[bytes] = []
        for (_, _, indexed), value in zip(self.words, values, strict=True):
            (topics if indexed else words).append(_encoded(value))
        return tuple(topics), b"".join(words)


def decode_arrays(payload: bytes, count: int) -> list[list[int]]:
    """The ``count`` dynamic arrays of unsigned words at the head of ``payload``.

    Raises :class:`MalformedEventError` when an offset or a length points outside.
    """
    arrays = []
    for place in range(count):
        offset = int.from_bytes(payload[place * 32 : place * 32 + 32], "big")
        if offset + 32 > len(payload):
            raise MalformedEventError(f"array {place} begins at {offset} of {len(payload)} bytes")
        length = int.from_bytes(payload[offset : offset + 32], "big")
        end = offset + 32 + 32 * length
        if end > len(payload):
            raise MalformedEventError(f"array {place} ends at {end} of {len(payload)} bytes")
        words = (payload[at : at + 32] for at in range(offset + 32, end, 32))
        arrays.append([int.from_bytes(word, "big") for word in words])
    return arrays


def encode_arrays(arrays: list[list[int]], tail: list[int]) -> bytes:
    """Dynamic arrays and the static words that follow them, as the ABI lays them out."""
    offset = 32 * (len(arrays) + len(tail))
    head, body = [], []
    for array in arrays:
        head.append(offset)
        body += [len(array), *array]
        offset += 32 * (1 + len(array))
    return b"".join(map(_encoded, [*head, *tail, *body]))


_PADDING = bytes(12)


def _word(kind: str) -> _Word:
    indexed = kind.endswith("*")
    kind = kind.rstrip("*")
    for name in ("uint", "int"):
        if kind.startswith(name):
            return name, int(kind.removeprefix(name)), indexed
    return kind, 0, indexed


def _encoded(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value.rjust(32, b"\0")
    return value.to_bytes(32, "big", signed=value < 0)


def _out_of_range(name: str, kind: str, word: bytes) -> MalformedEventError:
    return MalformedEventError(f"{name}: 0x{word.hex()} is no {kind}")
