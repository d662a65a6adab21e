"""A relay's side of its connections: not yet registered, publisher, subscriber, monitor."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torq_codec import Fault, Framer, Run, iter_messages, message_size, parse_message
from torq_relays.control import RELAY_SOURCE, control_message
from torq_relays.filters import Filter
from torq_relays.status import SubscriberStatus
from torq_types import (
    HEADER_SIZE,
    TLV,
    Acknowledgement,
    Error,
    ErrorCode,
    GapCause,
    LogError,
    LogPosition,
    ProtocolError,
    Role,
    SequenceGap,
    ServiceHello,
)

if TYPE_CHECKING:
    from torq_relays.relay import Relay

__all__ = [
    "Connection",
    "MonitorConnection",
    "PublisherConnection",
    "Registration",
    "SourceState",
    "SubscriberConnection",
]

_RECEIVE = 1 << 18
_CHUNK = 1 << 18
_PUMP_BYTES = 1 << 20
"""A subscriber gets at most this much per turn, so that none keeps the others waiting."""
_QUEUE_BYTES = 1 << 16
_ORIGIN = struct.Struct("<HQQ")
_ORIGIN_OFFSET = 14


class SourceState:
    """What a relay knows of one source, across its connections."""

    def __init__(self) -> None:
        self.name = ""
        self.session = 0
        self.connected = False
        self.last_sequence = 0
        self.last_timestamp_ns = 0
        self.messages = 0
        self.rate = 0
        self.holes = 0
        self.repeats = 0
        self.restarts = 0
        self._messages_at_tick = 0

    def greet(self, hello: ServiceHello) -> None:
        """Take up a publisher: the one known, or another that counts from its own start."""
        if self.session:
            is_known = hello.session == self.session
        else:  # recovered from a log: it has messages of this session, or of an older one
            is_known = self.last_timestamp_ns >= hello.session
        if not is_known:
            self.restarts += 1 if self.last_sequence else 0
            self.last_sequence = hello.next_sequence - 1
        self.session = hello.session
        self.name = hello.name
        self.connected = True

    def tick(self, interval_ms: int) -> None:
        """Note the rate since the last tick."""
        self.rate = (self.messages - self._messages_at_tick) * 1000 // interval_ms
        self._messages_at_tick = self.messages


class Connection:
    """A client's socket with what is waiting to be written to it."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        self.relay = relay
        self.socket = client
        self.closed = False
        self.position = 0
        self._outgoing = bytearray()
        self._wants_write = False

    def read(self) -> None:
        """Take what the client sent. The base reads only to notice that it left."""
        self._receive()

    def after_registration(self) -> None:
        """Called once when the relay knows the connection."""

    def pump(self) -> None:
        """Write what is waiting, as far as the socket takes it."""
        self._flush()

    def queue(self, message: bytes) -> None:
        """Put ``message`` behind what is waiting."""
        self._outgoing += message

    def queue_if_idle(self, message: bytes) -> None:
        """Queue only when nothing is waiting: a stuck client gets no pile of heartbeats."""
        if not self._outgoing:
            self.queue(message)

    def fail(self, code: ErrorCode, detail: str) -> None:
        """Count, tell the client why, and close."""
        self.relay.faults[code] += 1
        self.queue(control_message(self.relay.domain, RELAY_SOURCE, Error(0, code, detail)))
        self._flush()
        self.closed = True

    def _receive(self) -> bytes:
        try:
            chunk = self.socket.recv(_RECEIVE)
        except BlockingIOError:
            return b""
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
        return chunk

    def _flush(self) -> bool:
        """Whether everything was written."""
        while self._outgoing and not self.closed:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                break
            except OSError:
                self.closed = True
                return False
            del self._outgoing[:sent]
        self._set_wants_write(bool(self._outgoing) and not self.closed)
        return not self._outgoing

    def _set_wants_write(self, wanted: bool) -> None:
        if wanted != self._wants_write:
            self._wants_write = wanted
            self.relay.want_write(self, wanted)

    def _reply_hello(self, *, name: str, position: int, next_sequence: int) -> None:
        hello = ServiceHello(
            start_position=position,
            session=self.relay.started_ns,
            next_sequence=next_sequence,
            log_id=self.relay.log.log_id,
            source=RELAY_SOURCE,
            role=Role.RELAY,
            start_mode=0,
            types=(),
            instruments=(),
            name=name,
        )
        self.queue(control_message(self.relay.domain, RELAY_SOURCE, hello))


class Registration(Connection):
    """A connection that has not said what it wants."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        super().__init__(relay, client)
        self.hello: ServiceHello | None = None
        self.rest = b""
        """What came behind the hello already."""
        self._since = relay.clock()
        self._buffer = b""

    def read(self) -> None:
        """Collect the first message, which must be a ServiceHello."""
        self._buffer += self._receive()
        if len(self._buffer) < 32 and b"TORQ".startswith(self._buffer[:4]):
            return
        if self._buffer[:4] != b"TORQ":
            detail = "a connection begins with a ServiceHello message"
            self.fail(ErrorCode.NOT_A_HELLO, f"{detail}; found {self._buffer[:4]!r}")
            return
        size = message_size(self._buffer, 0)
        if size > _RECEIVE:
            self.fail(ErrorCode.BAD_LENGTH, f"a ServiceHello of {size} bytes")
        elif len(self._buffer) >= size:
            first, self.rest = self._buffer[:size], self._buffer[size:]
            try:
                message = parse_message(first)
                hello = message.get(ServiceHello)
            except ProtocolError as error:
                self.fail(ErrorCode.NOT_A_HELLO, f"the ServiceHello cannot be read: {error}")
                return
            if hello is None:
                self.fail(ErrorCode.NOT_A_HELLO, f"expected a ServiceHello; found {message!r}")
            elif message.header.domain is not self.relay.domain:
                detail = f"this is the {self.relay.domain.slug} relay"
                self.fail(
                    ErrorCode.WRONG_DOMAIN,
                    f"{detail}; the hello is for {message.header.domain.slug}",
                )
            else:
                self.hello = hello

    def check_age(self, now: int) -> None:
        """Close a connection that says nothing for too long."""
        seconds = self.relay.limits.registration_seconds
        if now - self._since > seconds * 1_000_000_000:
            self.fail(ErrorCode.REGISTRATION_TIMEOUT, f"no ServiceHello within {seconds} s")


class PublisherConnection(Connection):
    """Verifies and appends what one source sends."""

    def __init__(self, registration: Registration, hello: ServiceHello, state: SourceState) -> None:
        super().__init__(registration.relay, registration.socket)
        self.name = hello.name
        self.source = hello.source
        self.state = state
        limit = min(self.relay.limits.max_payload, self.relay.log.max_message - HEADER_SIZE)
        self._framer = Framer(self.relay.domain, limit)
        self._rest = registration.rest
        self._acknowledged = -1

    def after_registration(self) -> None:
        """Answer, and take what came with the hello."""
        self._reply_hello(
            name=f"relay-{self.relay.domain.slug}",
            position=self.relay.log.tail,
            next_sequence=self.state.last_sequence + 1,
        )
        self._take(self._rest)

    def read(self) -> None:
        """Append what has arrived whole."""
        self._take(self._receive())
        if self.closed:
            self.state.connected = False
            if self._framer.pending:
                self.relay.faults[ErrorCode.INCOMPLETE] += 1

    def pump(self) -> None:
        """Acknowledge as far as the log has grown; one acknowledgement at a time."""
        self.position = self.relay.log.tail
        last = self.state.last_sequence
        if last != self._acknowledged and not self._outgoing:
            self._acknowledged = last
            # pump() comes after the log's sync(): what is appended is durable.
            acknowledgement = Acknowledgement(appended=last, durable=last)
            self.queue(control_message(self.relay.domain, RELAY_SOURCE, acknowledgement))
        self._flush()
        if self.closed:
            self.state.connected = False

    def _take(self, chunk: bytes) -> None:
        for frame in self._framer.feed(chunk):
            if isinstance(frame, Run):
                self._append(frame)
            else:
                self._report(frame)

    def _append(self, run: Run) -> None:
        accepted = b"".join(self._accepted(run)) if self._needs_care(run) else run.messages
        if not accepted:
            return
        try:
            self.relay.log.append(accepted)
        except LogError as error:
            self.relay.log_errors += 1
            self.fail(ErrorCode.OTHER, str(error))
            self.state.connected = False
            return
        sequence = timestamp_ns = count = 0
        for at in _starts(accepted):
            _, sequence, timestamp_ns = _ORIGIN.unpack_from(accepted, at + _ORIGIN_OFFSET)
            count += 1
        self.state.last_sequence = sequence
        self.state.last_timestamp_ns = timestamp_ns
        self.state.messages += count
        self.relay.messages += count

    def _needs_care(self, run: Run) -> bool:
        """Whether any message is not simply this source's next one."""
        expected = self.state.last_sequence
        for at in _starts(run.messages):
            source, sequence, _ = _ORIGIN.unpack_from(run.messages, at + _ORIGIN_OFFSET)
            expected += 1
            if source != self.source or sequence != expected:
                return True
        return False

    def _accepted(self, run: Run) -> Iterator[bytes]:
        """Drop repeats and other sources' messages; keep what follows a hole, and count it."""
        last = self.state.last_sequence
        for message in iter_messages(run.messages):
            header = message.header
            if header.source != self.source:
                detail = f"this connection is source {self.source}; found {header.source}"
                self._tell(ErrorCode.WRONG_SOURCE, detail, header.sequence)
            elif header.sequence <= last:
                self.state.repeats += 1
            else:
                if header.sequence != last + 1:
                    self.state.holes += 1
                    detail = f"sequence {header.sequence} follows {last}: some are missing"
                    self._tell(ErrorCode.SEQUENCE, detail, header.sequence)
                last = header.sequence
                yield message.tobytes()

    def _report(self, fault: Fault) -> None:
        self.relay.bytes_skipped += fault.skipped
        detail = f"{fault.code.name.lower()}: {fault.skipped} bytes left out"
        self._tell(fault.code, detail, fault.sequence)

    def _tell(self, code: ErrorCode, detail: str, sequence: int) -> None:
        self.relay.faults[code] += 1
        if len(self._outgoing) < _QUEUE_BYTES:
            error = Error(sequence, code, detail)
            self.queue(control_message(self.relay.domain, RELAY_SOURCE, error))


class SubscriberConnection(Connection):
    """A position in the log, moved forward as fast as its client reads."""

    def __init__(
        self,
        registration: Registration,
        hello: ServiceHello,
        position: int,
        wanted: Filter,
        gap: SequenceGap | None,
    ) -> None:
        super().__init__(registration.relay, registration.socket)
        self.name = hello.name
        self.position = position
        self._wanted = wanted
        self._gap = gap
        self._gaps = 0

    @staticmethod
    def replaced(position: int, head: int) -> SequenceGap:
        """The gap of a reader whose log is gone: another has taken its place."""
        return SequenceGap(position, head, 0, 0, RELAY_SOURCE, GapCause.LOG_REPLACED)

    def after_registration(self) -> None:
        """Answer with where the stream starts."""
        name = f"relay-{self.relay.domain.slug}"
        self._reply_hello(name=name, position=self.position, next_sequence=0)
        if self._gap is not None:
            self._control(self._gap)

    def pump(self) -> None:
        """Write from the log until the socket is full, the log is read, or it is others' turn."""
        log = self.relay.log
        written = 0
        while self._flush() and self.position < log.tail and written < _PUMP_BYTES:
            if self.position < log.head:
                self._skip_to(log.head)
            messages = log.read_messages(self.position, _CHUNK)
            self._queue_wanted(messages)
            written += len(messages)
        if written >= _PUMP_BYTES and not self.closed:
            self._set_wants_write(True)

    def status(self) -> SubscriberStatus:
        """For the relay's own account."""
        lag = self.relay.log.tail - self.position + len(self._outgoing)
        return SubscriberStatus(self.name, self.position, lag, self._gaps)

    def _skip_to(self, head: int) -> None:
        self._gaps += 1
        gap = SequenceGap(self.position, head, 0, 0, RELAY_SOURCE, GapCause.LAPPED)
        self.position = head
        self._control(gap)

    def _queue_wanted(self, messages: bytes) -> None:
        if self._wanted.passes_all:
            self.queue(messages)
        else:
            for start, end in self._wanted.runs(messages):
                # A reader of some messages must still know where in the log each stands.
                self._control(LogPosition(self.position + start))
                self.queue(messages[start:end])
        self.position += len(messages)

    def _control(self, tlv: TLV) -> None:
        self.queue(control_message(self.relay.domain, RELAY_SOURCE, tlv))


class MonitorConnection(Connection):
    """Gets the relay's health once per heartbeat."""

    def __init__(self, registration: Registration, hello: ServiceHello) -> None:
        super().__init__(registration.relay, registration.socket)
        self.name = hello.name


def _starts(messages: bytes) -> Iterator[int]:
    at = 0
    while at < len(messages):
        yield at
        at += message_size(messages, at)
