"""Messages out of a byte stream: any chunk boundaries, any damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from torq_codec import kernel
from torq_codec.parser import DEFAULT_MAX_PAYLOAD, message_size
from torq_types import MAGIC, ErrorCode

__all__ = ["Fault", "Framer", "Run"]

_LENGTH_IS_VERIFIED = frozenset({ErrorCode.WRONG_DOMAIN, ErrorCode.BAD_TLV})


class Run(msgspec.Struct, frozen=True):
    """Verified messages, one behind the other."""

    messages: bytes
    count: int


class Fault(msgspec.Struct, frozen=True):
    """Bytes that were left out, and why."""

    code: ErrorCode
    skipped: int
    sequence: int
    """The sequence that the damaged header names, 0 where there is none."""


class Framer:
    """Cuts a stream into verified runs, and finds its way back after damage.

    A damaged message is left out: by its own length when another message begins right behind it,
    else up to the next magic. ``faults`` counts what was found, ``bytes_skipped`` what was lost.
    """

    def __init__(self, domain: int = 0, max_payload: int = DEFAULT_MAX_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._domain = domain
        self._max_payload = max_payload
        self.faults: Counter[ErrorCode] = Counter()
        self.bytes_skipped = 0

    @property
    def pending(self) -> int:
        """Bytes of a message that has not arrived whole."""
        return len(self._buffer)

    def feed(self, chunk: bytes | bytearray | memoryview) -> Iterator[Run | Fault]:
        """Take the next bytes of the stream; yields what can be told so far.

        Exhaust the iterator before the next call.
        """
        buffer = self._buffer
        buffer += chunk
        at, end = 0, len(buffer)
        try:
            while at < end:
                stop, count, code = kernel.scan(buffer, at, end, self._domain, self._max_payload)
                if count:
                    run = Run(bytes(memoryview(buffer)[at:stop]), count)
                    at = stop
                    yield run
                if code == ErrorCode.INCOMPLETE and self._hides_a_message(at, end):
                    code = ErrorCode.BAD_LENGTH
                if code in (0, ErrorCode.INCOMPLETE):
                    break
                fault = self._fault(ErrorCode(code), at, end)
                at += fault.skipped
                self.faults[fault.code] += 1
                self.bytes_skipped += fault.skipped
                yield fault
        finally:
            del buffer[:at]

    def _hides_a_message(self, at: int, end: int) -> bool:
        """Whether a sound message stands inside the bytes that an unfinished one claims.

        Then the claim is damage: waiting for the rest of it would stall the stream.
        """
        inner = at
        while (inner := kernel.find_magic(self._buffer, inner + 4, end)) >= 0:
            _, count, _ = kernel.scan(self._buffer, inner, end, self._domain, self._max_payload)
            if count:
                return True
        return False

    def _fault(self, code: ErrorCode, at: int, end: int) -> Fault:
        buffer = self._buffer
        if code is ErrorCode.BAD_MAGIC:
            return Fault(code, self._to_next_magic(at + 1, end) - at, 0)
        sequence = int.from_bytes(buffer[at + 16 : at + 24], "little")
        claimed = at + message_size(buffer, at)
        if code in _LENGTH_IS_VERIFIED:
            return Fault(code, claimed - at, sequence)
        follower = bytes(buffer[claimed : claimed + 4])
        if code is not ErrorCode.BAD_LENGTH and claimed <= end and MAGIC.startswith(follower):
            return Fault(code, claimed - at, sequence)
        return Fault(code, self._to_next_magic(at + 4, end) - at, sequence)

    def _to_next_magic(self, start: int, end: int) -> int:
        found = kernel.find_magic(self._buffer, start, end)
        if found >= 0:
            return found
        # The last bytes may be the beginning of a magic that is still under way.
        for keep in (3, 2, 1):
            if end - keep >= start and self._buffer.endswith(MAGIC[:keep]):
                return end - keep
        return end
