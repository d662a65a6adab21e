"""Messages out of a byte stream: any chunk boundaries, any damage."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

import msgspec

from torq_codec import kernel
from torq_codec.faults import DEFAULT_MAX_PAYLOAD, message_size
from torq_types import MAGIC, ErrorCode

__all__ = ["Break", "Fault", "Framer", "Run"]

_LENGTH_IS_VERIFIED = frozenset({ErrorCode.WRONG_DOMAIN, ErrorCode.BAD_TLV})
_OUT_OF_ORDER = frozenset({ErrorCode.WRONG_SOURCE, ErrorCode.SEQUENCE})
_ORIGIN = struct.Struct("<HQQ")
_ORIGIN_OFFSET = 14
_SMALL = 1 << 18


class Run(msgspec.Struct, frozen=True):
    """Verified messages, one behind the other."""

    messages: memoryview
    """Lies in the framer's buffer, until the framer is asked for what comes next."""
    count: int


class Fault(msgspec.Struct, frozen=True):
    """Bytes that were left out, and why."""

    code: ErrorCode
    skipped: int
    sequence: int
    """The sequence that the damaged header names, 0 where there is none."""


class Break(msgspec.Struct, frozen=True):
    """A sound message that is not the next one of its source.

    Accept it with :meth:`Framer.accept` or leave it out with :meth:`Framer.leave_out`.
    """

    code: ErrorCode
    """``SEQUENCE`` or ``WRONG_SOURCE``."""
    message: bytes
    source: int
    sequence: int
    timestamp_ns: int


class Framer:
    """Cuts a stream into verified runs, and finds its way back after damage.

    A damaged message is left out: by its own length when another message begins right behind it,
    else up to the next magic. ``faults`` counts what was found, ``bytes_skipped`` what was lost.

    Write into :meth:`space`, say how much with :meth:`wrote`, then take what :meth:`next` gives
    until it gives None. :meth:`feed` does the three for a chunk that is already in memory.
    """

    def __init__(
        self,
        domain: int = 0,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        tracker: kernel.SequenceTracker | None = None,
        source: int = 0,
    ) -> None:
        """``domain`` 0 accepts any; with a ``tracker``, a message out of order is a Break."""
        self._domain = domain
        self._max_payload = max_payload
        self._tracker = tracker
        self._source = source
        self._buffer = bytearray(_SMALL)
        self._at = 0
        self._end = 0
        self.faults: Counter[ErrorCode] = Counter()
        self.bytes_skipped = 0
        self.work_wasted = 0
        """Bytes whose checksum was computed and did not fit; a hostile peer drives this up."""

    @property
    def pending(self) -> int:
        """Bytes of a message that has not arrived whole."""
        return self._end - self._at

    def space(self) -> memoryview:
        """Where the next bytes of the stream go: room for 64 KiB or more."""
        if self._at == self._end:
            self._at = self._end = 0
            if len(self._buffer) > _SMALL:  # a long message is through: give its room back
                self._buffer = bytearray(_SMALL)
        elif len(self._buffer) - self._end < _SMALL // 4:
            rest = self._buffer[self._at : self._end]
            if len(self._buffer) - len(rest) < _SMALL // 4:
                self._buffer = bytearray(2 * len(self._buffer))
            self._buffer[: len(rest)] = rest
            self._at, self._end = 0, len(rest)
        return memoryview(self._buffer)[self._end :]

    def wrote(self, size: int) -> None:
        """The first ``size`` bytes of :meth:`space` are the stream's next."""
        self._end += size

    def feed(self, chunk: bytes | bytearray | memoryview) -> Iterator[Run | Fault | Break]:
        """Take the next bytes of the stream; yields what can be told so far.

        Exhaust the iterator before the next call.
        """
        view = memoryview(chunk)
        while view:
            space = self.space()
            size = min(len(space), len(view))
            space[:size] = view[:size]
            space.release()
            view = view[size:]
            self.wrote(size)
            while (frame := self.next()) is not None:
                yield frame

    def next(self) -> Run | Fault | Break | None:
        """What comes next in the stream, or None when more bytes are needed to tell."""
        at, end = self._at, self._end
        if at == end:
            return None
        buffer = self._buffer
        if self._tracker is None:
            stop, count, code = kernel.scan(buffer, at, end, self._domain, self._max_payload)
        else:
            stop, count, code = self._tracker.scan(
                buffer, at, end, self._domain, self._max_payload, self._source
            )
        if count:
            self._at = stop
            return Run(memoryview(buffer)[at:stop], count)
        if code in _OUT_OF_ORDER:
            message = bytes(buffer[at : at + message_size(buffer, at)])
            return Break(ErrorCode(code), message, *_ORIGIN.unpack_from(message, _ORIGIN_OFFSET))
        if code == ErrorCode.INCOMPLETE:
            if not self._hides_a_message(at, end):
                return None
            code = ErrorCode.BAD_LENGTH
        fault = self._fault(ErrorCode(code), at, end)
        self._at += fault.skipped
        self.faults[fault.code] += 1
        self.bytes_skipped += fault.skipped
        return fault

    def accept(self, broken: Break) -> None:
        """Let the message pass after all: :meth:`next` gives it, and goes on behind it."""
        if self._tracker is not None:
            self._tracker.set(broken.source, broken.sequence - 1, 0)

    def leave_out(self, broken: Break) -> None:
        """Go on behind the message."""
        self._at += len(broken.message)

    def _hides_a_message(self, at: int, end: int) -> bool:
        """Whether a sound message stands inside the bytes that an unfinished one claims.

        Then the claim is damage: waiting for the rest of it would stall the stream.
        """
        inner = at
        budget = self.work_wasted + 4 * (end - at)
        while (inner := kernel.find_magic(self._buffer, inner + 4, end)) >= 0:
            _, count, code = kernel.scan(self._buffer, inner, end, self._domain, self._max_payload)
            if count:
                return True
            if code == ErrorCode.BAD_CHECKSUM:
                self.work_wasted += message_size(self._buffer, inner)
            if self.work_wasted > budget:  # bytes made to cost: wait for the message's own end
                return False
        return False

    def _fault(self, code: ErrorCode, at: int, end: int) -> Fault:
        buffer = self._buffer
        if code is ErrorCode.BAD_MAGIC:
            return Fault(code, self._to_next_magic(at + 1, end) - at, 0)
        sequence = int.from_bytes(buffer[at + 16 : at + 24], "little")
        claimed = at + message_size(buffer, at)
        if code in _LENGTH_IS_VERIFIED:
            return Fault(code, claimed - at, sequence)
        if code is ErrorCode.BAD_CHECKSUM:
            self.work_wasted += claimed - at
        follower = bytes(buffer[claimed : min(claimed + 4, end)])
        if code is not ErrorCode.BAD_LENGTH and claimed <= end and MAGIC.startswith(follower):
            return Fault(code, claimed - at, sequence)
        return Fault(code, self._to_next_magic(at + 4, end) - at, sequence)

    def _to_next_magic(self, start: int, end: int) -> int:
        found = kernel.find_magic(self._buffer, start, end)
        if found >= 0:
            return found
        # The last bytes may be the beginning of a magic that is still under way.
        for keep in (3, 2, 1):
            if end - keep >= start and self._buffer[end - keep : end] == MAGIC[:keep]:
                return end - keep
        return end
