"""What a log on disk still knows of its sources after a restart."""

from __future__ import annotations

import struct

from torq_codec import message_size
from torq_relays.connections import SourceState
from torq_relays.log import Log

__all__ = ["recover_sources"]

_ORIGIN = struct.Struct("<HQQ")
_ORIGIN_OFFSET = 14
_CHUNK = 1 << 20


def recover_sources(log: Log) -> dict[int, SourceState]:
    """The last sequence and timestamp of every source in ``log``.

    A publisher that outlived the relay is recognised by them: its session began before the last
    message that the log has of it.
    """
    sources: dict[int, SourceState] = {}
    position = log.head
    while position < log.tail:
        messages = log.read_messages(position, _CHUNK)
        at = 0
        while at < len(messages):
            source, sequence, timestamp_ns = _ORIGIN.unpack_from(messages, at + _ORIGIN_OFFSET)
            state = sources.setdefault(source, SourceState())
            state.last_sequence = sequence
            state.last_timestamp_ns = timestamp_ns
            at += message_size(messages, at)
        position += len(messages)
    return sources
