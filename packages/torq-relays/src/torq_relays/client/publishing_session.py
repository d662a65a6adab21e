"""What a publisher does with bytes, without any I/O: the blocking and the async one share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from torq_codec import DEFAULT_MAX_PAYLOAD, Framer, Message, MessageBuilder, Run, kernel
from torq_codec.faults import error_for
from torq_relays.log.domains import POLICIES
from torq_relays.wire.control import control_message, hello_message
from torq_types import (
    TLV,
    Acknowledgement,
    ConnectionLostError,
    Domain,
    Error,
    Heartbeat,
    ProtocolError,
    RefusedError,
    Role,
    ServiceHello,
    TransportError,
)

__all__ = ["MAX_UNACKNOWLEDGED", "PublisherSession"]

MAX_UNACKNOWLEDGED = 64 * 1024 * 1024
"""Bytes that a publisher keeps until its relay has them; then sending waits, or fails."""


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
        self._timestamp_ns = self._session
        self._builder = MessageBuilder(domain, source)
        self._tracker = kernel.SequenceTracker()
        self._unacknowledged: deque[tuple[int, bytes | memoryview]] = deque()
        self._unacknowledged_bytes = 0
        self._kept = 0
        self._appended = 0
        self._durable = 0
        self._relay_has = 0
        self._framer = Framer(domain)

    def encode(self, *tlvs: TLV) -> bytes:
        """The next message. Raises before it uses up a sequence.

        Whoever writes it calls :meth:`keep` before.
        """
        timestamp_ns = self._clock()
        if timestamp_ns < self._timestamp_ns:  # a clock may go back; a source's time may not
            timestamp_ns = self._timestamp_ns
        message = self._builder.build_one(
            tlvs, sequence=self.sequence + 1, timestamp_ns=timestamp_ns
        )
        self._timestamp_ns = timestamp_ns
        self.sequence += 1
        return message

    def encode_messages(self, messages: Iterable[tuple[TLV, ...]]) -> bytes:
        """A message for each tuple, one behind the other; all or none."""
        listed, before = list(messages), self.sequence
        try:
            return b"".join([self.encode(*tlvs) for tlvs in listed])
        except BaseException:  # whatever it was: nothing of it was kept
            self.sequence = before
            raise

    def encode_each(self, tlvs: Iterable[TLV]) -> bytes:
        """A message for each TLV, one behind the other; all or none."""
        self._timestamp_ns = max(self._clock(), self._timestamp_ns)
        messages, count = self._builder.build_each(
            tlvs, sequence=self.sequence + 1, timestamp_ns=self._timestamp_ns
        )
        self.sequence += count
        return messages

    def keep(self, messages: bytes | memoryview, last: int) -> None:
        """Hold messages, ``last`` being the last one's sequence, until the relay has them."""
        self._kept = last
        if messages:
            self._unacknowledged.append((last, messages))
            self._unacknowledged_bytes += len(messages)

    def take_back(self, collected: int) -> None:
        """Go on behind what is kept, and ``collected`` messages that wait behind it."""
        self.sequence = self._kept + collected

    def take_built(self, messages: bytes | memoryview) -> None:
        """Messages that were built elsewhere: this source's next ones.

        Raises :class:`ProtocolError` unless each is sound and follows the one before.
        """
        view = memoryview(messages)
        self._tracker.set(self.source, self.sequence, 0)
        stop, count, code = self._tracker.scan(
            view, 0, len(view), self.domain, DEFAULT_MAX_PAYLOAD, self.source
        )
        if code:
            raise error_for(code, view, stop)
        if count:
            self.sequence += count
            last_timestamp_ns = self._tracker.last_timestamp_ns(self.source)
            self._timestamp_ns = max(self._timestamp_ns, last_timestamp_ns)

    @property
    def last_timestamp_ns(self) -> int:
        """What the next message's time is not before."""
        return self._timestamp_ns

    @property
    def acknowledged(self) -> tuple[int, int]:
        """The highest sequences that the relay has appended, and made durable."""
        return self._appended, self._durable

    @property
    def is_full(self) -> bool:
        """Whether too much waits for the relay's word."""
        return self._unacknowledged_bytes > MAX_UNACKNOWLEDGED

    def is_flushed(self, sequence: int) -> bool:
        """Whether the relay has all up to ``sequence``, as durably as the domain promises."""
        durable = POLICIES[self.domain].flush_is_durable
        return (self._durable if durable else self._appended) >= sequence

    def ask(self) -> bytes:
        """What makes the relay acknowledge at once; otherwise it does now and then."""
        return control_message(self.domain, self.source, Heartbeat(0, 0))

    def hello(self) -> bytes:
        """The first message on a new connection."""
        self.greeted = False
        self._framer = Framer(self.domain)
        return hello_message(
            self.domain,
            Role.PUBLISHER,
            source=self.source,
            session=self._session,
            next_sequence=self._first_unacknowledged(),
            name=self.name,
        )

    def _first_unacknowledged(self) -> int:
        if not self._unacknowledged:
            return self._kept + 1  # later ones may be encoded already, and wait to be written
        first = Message(memoryview(self._unacknowledged[0][1]), 0, 32)
        return first.header.sequence

    def unacknowledged(self) -> bytes:
        """What the relay did not have when it greeted: the first thing to send it."""
        return b"".join(_behind(messages, self._relay_has) for _, messages in self._unacknowledged)

    def receive(self, chunk: bytes) -> None:
        """Take what the relay sent.

        Raises :class:`RefusedError` when the relay refuses the connection, and
        :class:`TransportError` when it must be opened anew.
        """
        try:
            for frame in self._framer.feed(chunk):
                if isinstance(frame, Run):
                    for message in kernel.walk_messages(bytes(frame.messages)):
                        self._take(message)
        except ProtocolError as error:
            raise ConnectionLostError(f"the relay says what cannot be read: {error}") from error

    def _take(self, message: Message) -> None:
        for tlv in message.tlvs:
            if isinstance(tlv, Acknowledgement):
                self._acknowledge(tlv.appended, tlv.durable)
            elif isinstance(tlv, Error):
                self.errors.append(tlv)
                self.error_count += 1
                if not self.greeted:
                    raise RefusedError(f"the relay refused: {tlv.detail} ({tlv.code.name})")
            elif isinstance(tlv, ServiceHello):
                self._greeted(tlv)

    def _greeted(self, hello: ServiceHello) -> None:
        last = hello.next_sequence - 1
        if last > self.sequence:
            # The relay takes this for an earlier session, which sent more: the clock went back
            # since then. A session that begins later than all that is told apart.
            self._session = self._timestamp_ns = hello.last_timestamp_ns + 1
            raise TransportError(
                f"source {self.source} has {last} messages in the log and this session"
                f" {self.sequence}: the clock went back; beginning a later session"
            )
        self.greeted = True
        self._timestamp_ns = max(self._timestamp_ns, hello.last_timestamp_ns)
        self._relay_has = last
        self._acknowledge(last, last)

    def _acknowledge(self, appended: int, durable: int) -> None:
        self._appended = max(self._appended, appended)
        self._durable = max(self._durable, durable)
        unacknowledged = self._unacknowledged
        while unacknowledged and unacknowledged[0][0] <= self._durable:
            self._unacknowledged_bytes -= len(unacknowledged.popleft()[1])


def _behind(messages: bytes | memoryview, sequence: int) -> bytes:
    """Of one source's ``messages``, those behind ``sequence``."""
    return b"".join(
        message.tobytes()
        for message in kernel.walk_messages(messages)
        if message.header.sequence > sequence
    )
