"""What a log on disk still knows of its sources after a restart."""

from __future__ import annotations

from torq_codec import DEFAULT_MAX_PAYLOAD, kernel, message_size
from torq_relays.log.base import Log
from torq_relays.log.ledger import Ledger
from torq_types import ErrorCode, Header, LogError

__all__ = ["recover_ledger"]

_CHUNK = 1 << 20


def recover_ledger(log: Log) -> Ledger:
    """The last sequence and timestamp of every source in ``log``.

    A publisher that outlived the relay is recognised by them: its session began before the last
    message that the log has of it. Raises :class:`LogError` at a message that is not sound.
    """
    ledger = Ledger()
    position = log.head
    while position < log.tail:
        messages = log.read_messages(position, _CHUNK)
        at = 0
        while at < len(messages):
            at, _, code = ledger.tracker.scan(messages, at, len(messages), 0, DEFAULT_MAX_PAYLOAD)
            if code == ErrorCode.SEQUENCE:
                header = _header(messages, at)
                ledger.tracker.set(header.source, header.sequence - 1, header.timestamp_ns)
            elif code:
                raise LogError(f"no sound message at position {position + at} (code {code})")
        position += len(messages)
    return ledger


def _header(messages: bytes, at: int) -> Header:
    return kernel.Message(messages, at, at + message_size(messages, at)).header
