"""What a subscriber does with bytes, without any I/O: the blocking and the async one share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

from torq_codec import Break, Fault, Framer, Message, message_size, parse_message
from torq_relays.client.batch import Batch
from torq_relays.log.bookmark import Bookmark
from torq_relays.log.ledger import Ledger, Verdict
from torq_relays.wire.control import RELAY_SOURCE, control_message, hello_message
from torq_relays.wire.filters import filter_of
from torq_types import (
    TLV,
    ConfigError,
    Domain,
    Error,
    ErrorCode,
    GapCause,
    Header,
    InstrumentId,
    LogPosition,
    LogRegion,
    RefusedError,
    Role,
    SequenceGap,
    ServiceHello,
    SystemHealth,
    TransportError,
)

__all__ = ["Start", "SubscriberSession"]

Start = int | Bookmark | Literal["live", "earliest"]

_STARTS = {"live": 0, "earliest": 1}
_EXPECTED_START = "'live', 'earliest', a position from 0 to 2^64-1, or a Bookmark"
_ANY_PAYLOAD = 0xFFFF_FFF8
"""The relay has judged the length of what stands in its log."""


class SubscriberSession:
    """Follows a position through the log, and sees what is missing."""

    def __init__(
        self,
        domain: Domain,
        *,
        types: Iterable[type[TLV]] = (),
        instruments: Iterable[InstrumentId] = (),
        start: Start = "live",
        name: str = "subscriber",
        role: Role = Role.SUBSCRIBER,
        mapped: bool = False,
    ) -> None:
        self.domain = domain
        self.name = name
        self.position = 0
        """Where the next message will be read."""
        self.log_id = 0
        self.gaps = 0
        self.ledger = Ledger()
        self.greeted = False
        self.mapped = mapped
        """Wanted before the greeting, granted after it."""
        self.regions: deque[LogRegion] = deque()
        """What the relay has passed descriptors for, in order."""
        self._role = role
        self._wants_mapped = mapped
        self._types = tuple(cls.TYPE for cls in types)
        self._instruments = tuple(instruments)
        self._filter = filter_of(self._types, self._instruments)
        self._framer = Framer(domain)
        if isinstance(start, Bookmark):
            self._start_mode, self.position, self.log_id = 2, start.position, start.log_id
        elif isinstance(start, str):
            if start not in _STARTS:
                raise ConfigError(f"found start {start!r}; expected {_EXPECTED_START}")
            self._start_mode = _STARTS[start]
        else:
            self._start_mode, self.position = 2, start
        # A caller without a type checker may pass anything.
        if type(self.position) is not int or not 0 <= self.position < 1 << 64:
            raise ConfigError(f"found start {start!r}; expected {_EXPECTED_START}")

    def hello(self) -> bytes:
        """The first message on a new connection; later ones go on where the last one ended."""
        self.greeted = False
        self.regions.clear()
        self._framer = Framer(self.domain, _ANY_PAYLOAD, self.ledger.tracker)
        return hello_message(
            self.domain,
            self._role,
            start_mode=self._start_mode,
            position=self.position,
            log_id=self.log_id,
            mapped=self._wants_mapped,
            types=self._types,
            instruments=self._instruments,
            name=self.name,
        )

    def receive(self, chunk: bytes) -> Iterator[Batch]:
        """The verified runs in what the relay sent; gaps stand between them as messages.

        Raises :class:`RefusedError` when the relay refuses the connection, and
        :class:`TransportError` when its stream is damaged.
        """
        for frame in self._framer.feed(chunk):
            if isinstance(frame, Fault):
                raise TransportError(f"the relay's stream is damaged: {frame.code.name.lower()}")
            if not isinstance(frame, Break):
                yield self._batch(bytes(frame.messages), frame.count)
            elif frame.source == RELAY_SOURCE:
                self._framer.leave_out(frame)
                yield from self._control(parse_message(frame.message))
            else:
                keep, gaps = self._judge(frame.source, frame.sequence, frame.timestamp_ns)
                yield from gaps
                if keep:
                    self._framer.accept(frame)
                else:
                    self._framer.leave_out(frame)
                    self.position += len(frame.message)

    def take(self, chunk: bytes) -> tuple[list[Batch], int]:
        """The wanted runs in a copy of what stands at :attr:`position` of a mapped log.

        Also returns how many bytes would be needed to get any further; 0 after progress. Raises
        :class:`TransportError` for bytes that are no messages.
        """
        batches: list[Batch] = []
        tracker = self.ledger.tracker
        at, end = 0, len(chunk)
        while True:
            stop, count, code = tracker.scan(chunk, at, end, self.domain, _ANY_PAYLOAD)
            if count:
                self._wanted(chunk, at, stop, count, batches)
                at = stop
            if code == ErrorCode.SEQUENCE:
                header = _header(chunk, at)
                keep, gaps = self._judge(header.source, header.sequence, header.timestamp_ns)
                batches += gaps
                if keep:
                    tracker.set(header.source, header.sequence - 1, header.timestamp_ns)
                else:
                    at += 32 + header.length
                    self.position += 32 + header.length
            elif code in (0, ErrorCode.INCOMPLETE):
                break
            else:
                name = ErrorCode(code).name.lower()
                raise TransportError(f"the log is damaged at position {self.position}: {name}")
        return batches, 0 if at else message_size(chunk, 0)

    def lapped(self, head: int) -> Batch:
        """Go on at ``head``: what stood before it was overwritten before it could be read."""
        cause = GapCause.LAPPED
        return self._gap(SequenceGap(self.position, head, 0, 0, RELAY_SOURCE, cause))

    def _wanted(self, chunk: bytes, at: int, stop: int, count: int, batches: list[Batch]) -> None:
        whole = chunk if at == 0 and stop == len(chunk) else None
        if self._filter.passes_all:
            batches.append(
                Batch(whole or chunk[at:stop], self.position, log_id=self.log_id, count=count)
            )
        else:
            origin = self.position - at
            batches += [
                Batch(chunk[start:end], origin + start, log_id=self.log_id)
                for start, end in self._filter.runs(chunk, at, stop)
            ]
        self.position += stop - at

    def _batch(self, messages: bytes, count: int) -> Batch:
        batch = Batch(messages, self.position, log_id=self.log_id, count=count)
        self.position = batch.position
        return batch

    def _judge(self, source: int, sequence: int, timestamp_ns: int) -> tuple[bool, list[Batch]]:
        """Whether a message that is out of order is to be kept, and what is missing before it."""
        last = self.ledger.tracker.last(source)
        if sequence > last and not self.mapped and not self._filter.passes_all:
            return True, []  # the relay left out what was not wanted
        verdict = self.ledger.judge(source, sequence, timestamp_ns)
        if verdict is Verdict.REPEAT:
            return False, []
        first = 1 if verdict is Verdict.RESTART else last + 1
        if sequence == first or (not self.mapped and not self._filter.passes_all):
            return True, []
        cause = GapCause.SOURCE_HOLE
        here = self.position
        return True, [self._gap(SequenceGap(here, here, first, sequence - 1, source, cause))]

    def _gap(self, gap: SequenceGap) -> Batch:
        self.gaps += 1
        if gap.cause in (GapCause.LAPPED, GapCause.RETIRED):
            self.ledger.tracker.clear()
        self.position = gap.to_position
        return self._aside(control_message(self.domain, RELAY_SOURCE, gap))

    def _aside(self, message: bytes) -> Batch:
        """A batch of what stands in no log."""
        return Batch(message, self.position, log_id=self.log_id, in_log=False)

    def _control(self, message: Message) -> Iterator[Batch]:
        for tlv in message.tlvs:
            if isinstance(tlv, LogPosition):
                self.position = tlv.position
            elif isinstance(tlv, LogRegion):
                self.regions.append(tlv)
            elif isinstance(tlv, SequenceGap):
                yield self._gap(tlv)
            elif isinstance(tlv, ServiceHello):
                self.greeted = True
                self.position = tlv.start_position
                self.log_id = tlv.log_id
                self.mapped = bool(tlv.mapped)
                self._start_mode = 2
            elif isinstance(tlv, SystemHealth):
                self.greeted = True  # a monitor gets no other greeting
                yield self._aside(message.tobytes())
            elif isinstance(tlv, Error):
                if tlv.code is not ErrorCode.OTHER or not self.greeted:
                    raise RefusedError(f"the relay refused: {tlv.detail} ({tlv.code.name})")
                raise TransportError(f"the relay reports: {tlv.detail}")


def _header(messages: bytes, at: int) -> Header:
    return Message(messages, at, at + message_size(messages, at)).header
