"""What clients do with bytes, without any I/O: the sync and the async ones share it."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from torq_codec import Fault, Framer, Message, MessageBuilder, Run, iter_messages, parse_message
from torq_relays.batch import Batch
from torq_relays.control import RELAY_SOURCE, control_message
from torq_relays.domains import POLICIES
from torq_types import (
    TLV,
    Acknowledgement,
    Domain,
    Error,
    ErrorCode,
    GapCause,
    Heartbeat,
    InstrumentId,
    LogPosition,
    RefusedError,
    Role,
    SequenceGap,
    ServiceHello,
    SystemHealth,
    TransportError,
)
from torq_types.system import WantedInstrument, WantedType

__all__ = ["MAX_UNACKNOWLEDGED", "PublisherSession", "Start", "SubscriberSession"]

Start = int | Literal["live", "earliest"]

MAX_UNACKNOWLEDGED = 64 * 1024 * 1024
"""Bytes that a publisher keeps until its relay has them; then sending waits, or fails."""

_ROUTE = struct.Struct("<IBBHQ")
_ROUTE_OFFSET = 8


def _hello(
    domain: Domain,
    role: Role,
    *,
    source: int = 0,
    session: int = 0,
    next_sequence: int = 0,
    start_mode: int = 0,
    position: int = 0,
    log_id: int = 0,
    types: Iterable[int] = (),
    instruments: Iterable[InstrumentId] = (),
    name: str,
) -> bytes:
    hello = ServiceHello(
        start_position=position,
        session=session,
        next_sequence=next_sequence,
        log_id=log_id,
        source=source,
        role=role,
        start_mode=start_mode,
        types=tuple(WantedType(number) for number in types),
        instruments=tuple(WantedInstrument(instrument) for instrument in instruments),
        name=name,
    )
    return control_message(domain, source, hello)


class PublisherSession:
    """Numbers a source's messages, and keeps each until the relay has it."""

    def __init__(self, domain: Domain, source: int, name: str, clock: Callable[[], int]) -> None:
        if not 1 <= source <= 65_535:
            raise TransportError(f"found source {source}; expected 1 to 65535 (0 is the relay's)")
        self.domain = domain
        self.source = source
        self.name = name
        self.sequence = 0
        """The last one given out."""
        self.errors: deque[Error] = deque(maxlen=100)
        """What the relay complained of, newest last."""
        self.error_count = 0
        self.greeted = False
        self._clock = clock
        self._session = clock()
        self._builder = MessageBuilder(domain, source)
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self._unacknowledged_bytes = 0
        self._appended = 0
        self._durable = 0
        self._framer = Framer(domain)

    def encode(self, *tlvs: TLV) -> bytes:
        """The next message, kept for sending again. Raises before it uses up a sequence."""
        try:
            for tlv in tlvs:
                self._builder.add(tlv)
            message = self._builder.build(
                sequence=self.sequence + 1, timestamp_ns=max(self._clock(), self._session)
            )
        except Exception:
            self._builder = MessageBuilder(self.domain, self.source)
            raise
        self.sequence += 1
        self._unacknowledged.append((self.sequence, message))
        self._unacknowledged_bytes += len(message)
        return message

    @property
    def is_full(self) -> bool:
        """Whether too much waits for the relay's word."""
        return self._unacknowledged_bytes > MAX_UNACKNOWLEDGED

    @property
    def is_flushed(self) -> bool:
        """Whether the relay has everything, as durably as the domain promises."""
        durable = POLICIES[self.domain].flush_is_durable
        return (self._durable if durable else self._appended) >= self.sequence

    def hello(self) -> bytes:
        """The first message on a new connection."""
        self.greeted = False
        self._framer = Framer(self.domain)
        first = self._unacknowledged[0][0] if self._unacknowledged else self.sequence + 1
        return _hello(
            self.domain,
            Role.PUBLISHER,
            source=self.source,
            session=self._session,
            next_sequence=first,
            name=self.name,
        )

    def receive(self, chunk: bytes) -> bytes:
        """Take what the relay sent; returns what must be sent again, after its greeting.

        Raises :class:`RefusedError` when the relay refuses the connection.
        """
        for frame in self._framer.feed(chunk):
            if isinstance(frame, Run):
                for message in iter_messages(frame.messages):
                    again = self._take(message)
                    if again:
                        return again
        return b""

    def _take(self, message: Message) -> bytes:
        for tlv in message.tlvs:
            if isinstance(tlv, Acknowledgement):
                self._acknowledge(tlv.appended, tlv.durable)
            elif isinstance(tlv, Error):
                self.errors.append(tlv)
                self.error_count += 1
                if not self.greeted:
                    raise RefusedError(f"the relay refused: {tlv.detail} ({tlv.code.name})")
            elif isinstance(tlv, ServiceHello):
                self.greeted = True
                self._acknowledge(tlv.next_sequence - 1, tlv.next_sequence - 1)
                return b"".join(message for _, message in self._unacknowledged)
        return b""

    def _acknowledge(self, appended: int, durable: int) -> None:
        self._appended = max(self._appended, appended)
        self._durable = max(self._durable, durable)
        unacknowledged = self._unacknowledged
        while unacknowledged and unacknowledged[0][0] <= self._durable:
            self._unacknowledged_bytes -= len(unacknowledged.popleft()[1])


class SubscriberSession:
    """Follows a position through the stream, and sees what is missing."""

    def __init__(
        self,
        domain: Domain,
        *,
        types: Iterable[type[TLV]] = (),
        instruments: Iterable[InstrumentId] = (),
        start: Start = "live",
        name: str = "subscriber",
        role: Role = Role.SUBSCRIBER,
    ) -> None:
        self.domain = domain
        self.name = name
        self.position = start if isinstance(start, int) else 0
        """Where the next message begins: store it, and pass it as ``start`` to go on there."""
        self.gaps = 0
        self.greeted = False
        self._role = role
        self._start_mode = {"live": 0, "earliest": 1}.get(str(start), 2)
        self._types = tuple(cls.TYPE for cls in types)
        self._instruments = tuple(instruments)
        self._is_filtered = bool(self._types or self._instruments)
        self._log_id = 0
        self._framer = Framer(domain)
        self._last: dict[int, int] = {}

    def hello(self) -> bytes:
        """The first message on a new connection; later ones go on where the last one ended."""
        self.greeted = False
        self._framer = Framer(self.domain)
        return _hello(
            self.domain,
            self._role,
            start_mode=self._start_mode,
            position=self.position,
            log_id=self._log_id,
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
            yield from self._split(frame.messages)

    def _split(self, messages: bytes) -> Iterator[Batch]:
        """Separate the log's messages from the relay's own."""
        at = start = 0
        while at < len(messages):
            length, _, _, source, sequence = _ROUTE.unpack_from(messages, at + _ROUTE_OFFSET)
            end = at + 32 + length
            missing = 0 if source == RELAY_SOURCE else self._missing(source, sequence)
            if source == RELAY_SOURCE or missing:
                yield from self._batch(messages[start:at])
                start = at
            if source == RELAY_SOURCE:
                yield from self._control(parse_message(messages[at:end]))
                start = end
            elif missing:
                yield self._hole(source, sequence - missing, sequence - 1)
            at = end
        yield from self._batch(messages[start:])

    def _batch(self, messages: bytes) -> Iterator[Batch]:
        if messages:
            batch = Batch(messages, self.position)
            self.position = batch.position
            yield batch

    def _missing(self, source: int, sequence: int) -> int:
        """How many messages of a source are missing before this one, in an unfiltered stream."""
        last = self._last.get(source, 0)
        self._last[source] = sequence
        if self._is_filtered or not last or sequence <= last:
            return 0
        return sequence - last - 1

    def _hole(self, source: int, first: int, last: int) -> Batch:
        gap = SequenceGap(self.position, self.position, first, last, source, GapCause.SOURCE_HOLE)
        return self._gap(gap)

    def _gap(self, gap: SequenceGap) -> Batch:
        self.gaps += 1
        return Batch(control_message(self.domain, RELAY_SOURCE, gap), self.position, in_log=False)

    def _control(self, message: Message) -> Iterator[Batch]:
        for tlv in message.tlvs:
            if isinstance(tlv, LogPosition | Heartbeat):
                self.position = tlv.position
            elif isinstance(tlv, SequenceGap):
                self.position = tlv.to_position
                self._last.clear()
                yield self._gap(tlv)
            elif isinstance(tlv, ServiceHello):
                self.greeted = True
                self.position = tlv.start_position
                self._log_id = tlv.log_id
                self._start_mode = 2
            elif isinstance(tlv, SystemHealth):
                self.greeted = True  # a monitor gets no other greeting
                yield Batch(message.tobytes(), self.position, in_log=False)
            elif isinstance(tlv, Error):
                if tlv.code is not ErrorCode.OTHER or not self.greeted:
                    raise RefusedError(f"the relay refused: {tlv.detail} ({tlv.code.name})")
                raise TransportError(f"the relay reports: {tlv.detail}")
