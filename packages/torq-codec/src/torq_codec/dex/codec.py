"""Pairs an event with the TLV that carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torq_codec.dex.abi import Event, Value
from torq_codec.dex.log import EventLog
from torq_types import TLV, InstrumentId

__all__ = ["Codec", "EventCodec", "Where", "where"]

Where: TypeAlias = dict[str, Any]
"""The fields that every TLV of a log has: pool, block, transaction, log index."""


def where(log: EventLog, pool: InstrumentId) -> Where:
    """A log's place in the chain."""
    return {
        "pool": pool,
        "block_number": log.block_number,
        "block_hash": log.block_hash,
        "transaction_hash": log.transaction_hash,
        "log_index": log.log_index,
    }


class Codec:
    """Reads one kind of log, and writes it back."""

    topic: bytes

    def decode(self, log: EventLog, pool: InstrumentId) -> TLV:
        """The TLV. Raises :class:`MalformedEventError`."""
        raise NotImplementedError

    def encode(self, event: Any) -> tuple[tuple[bytes, ...], bytes] | None:
        """Topics and payload; None when this is not the kind of log that ``event`` came from."""
        raise NotImplementedError


class EventCodec(Codec):
    """An event of static fields, with the two functions between its values and a TLV."""

    def __init__(
        self,
        event: Event,
        read: Callable[[Where, list[Any]], TLV],
        write: Callable[[Any], list[Value] | None],
    ) -> None:
        self.event = event
        self.topic = event.topic
        self.read = read
        self.write = write

    def decode(self, log: EventLog, pool: InstrumentId) -> TLV:
        """See :class:`Codec`."""
        return self.read(where(log, pool), self.event.decode(log.topics, log.payload))

    def encode(self, event: Any) -> tuple[tuple[bytes, ...], bytes] | None:
        """See :class:`Codec`."""
        values = self.write(event)
        return None if values is None else self.event.encode(values)
