"""A verified run of messages, as it stands in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torq_codec import Message, kernel, layout_of, walk_messages
from torq_types import TLV, TransportError

if TYPE_CHECKING:
    import numpy

__all__ = ["Batch"]

_NUMPY = {
    "u8": "u1",
    "u16": "<u2",
    "u32": "<u4",
    "u64": "<u8",
    "i8": "i1",
    "i32": "<i4",
    "i64": "<i8",
}
_ORIGIN_SIZE = 18
"""Bytes of the header that a row begins with: source, sequence, timestamp."""


class Batch:
    """One or more verified messages, one behind the other."""

    __slots__ = ("_count", "in_log", "log_id", "messages", "position", "start")

    def __init__(
        self, messages: bytes, start: int, *, log_id: int = 0, in_log: bool = True, count: int = -1
    ) -> None:
        self.messages = messages
        """The bytes, as their publishers sent them."""
        self.start = start
        """Position of the first message."""
        self.position = start + len(messages) if in_log else start
        """Position behind the last: where a reader who is done with this batch goes on."""
        self.log_id = log_id
        """The log in which the positions mean something."""
        self.in_log = in_log
        """Whether it stands in the log; what is said about the log itself does not."""
        self._count = count

    def __iter__(self) -> Iterator[Message]:
        return walk_messages(self.messages)

    def __len__(self) -> int:
        """How many messages."""
        if self._count < 0:
            self._count = kernel.count(self.messages)
        return self._count

    def to_numpy(self, cls: type[TLV]) -> numpy.ndarray[Any, Any]:
        """Every ``cls`` in the batch as a structured array, with the header's fields in front.

        Columns are the header's source, sequence and timestamp_ns, then the type's fixed fields;
        a decimal is two columns (``price_mantissa``, ``price_exponent``), wide integers and
        identifiers are raw bytes, and texts and arrays are left out. Raises
        :class:`TransportError` where numpy is not installed.
        """
        try:
            import numpy
        except ImportError:
            raise TransportError(
                "to_numpy needs numpy: install it with 'pip install torq-relays[numpy]'"
            ) from None
        block = layout_of(cls).segments[0].block
        names = [part.attribute.replace(".", "_") for part in block.parts]
        formats = [_NUMPY.get(part.wire, f"V{part.size}") for part in block.parts]
        row = numpy.dtype(
            {
                "names": ["source", "sequence", "timestamp_ns", *names],
                "formats": ["<u2", "<u8", "<u8", *formats],
                "offsets": [0, 2, 10, *(_ORIGIN_SIZE + part.offset for part in block.parts)],
                "itemsize": _ORIGIN_SIZE + block.size,
            }
        )
        return numpy.frombuffer(kernel.gather(self.messages, cls.TYPE, block.size), row)
