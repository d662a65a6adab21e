"""A verified run of messages, as it stands in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torq_codec import Message, iter_messages, layout_of, message_size
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


class Batch:
    """One or more verified messages, one behind the other."""

    __slots__ = ("_count", "messages", "position", "start")

    def __init__(self, messages: bytes, start: int, *, in_log: bool = True) -> None:
        self.messages = messages
        """The bytes, as their publishers sent them."""
        self.start = start
        """Position of the first message."""
        self.position = start + len(messages) if in_log else start
        """Position behind the last: where a reader who is done with this batch goes on."""
        self._count = -1

    def __iter__(self) -> Iterator[Message]:
        return iter_messages(self.messages)

    def __len__(self) -> int:
        """How many messages."""
        if self._count < 0:
            self._count = sum(1 for _ in self._starts())
        return self._count

    def _starts(self) -> Iterator[int]:
        at = 0
        while at < len(self.messages):
            yield at
            at += message_size(self.messages, at)

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
        offsets = [part.offset for part in block.parts]
        value = numpy.dtype(
            {"names": names, "formats": formats, "offsets": offsets, "itemsize": block.size}
        )
        origin = [("source", "<u2"), ("sequence", "<u8"), ("timestamp_ns", "<u8")]
        row = numpy.dtype(origin + list(zip(names, formats, strict=True)))
        rows = []
        for start in self._starts():
            end = start + message_size(self.messages, start)
            message = Message(self.messages, start, end)
            header = message.header
            for at in message.offsets(cls.TYPE):
                fixed = numpy.frombuffer(self.messages, value, 1, at)[0].tolist()
                rows.append((header.source, header.sequence, header.timestamp_ns, *fixed))
        return numpy.array(rows, row)
