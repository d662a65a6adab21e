"""A relay's side of a connection, before and after it is known what it is for."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from torq_codec import message_size, parse_message
from torq_relays.log.base import Log
from torq_relays.log.ledger import Ledger
from torq_relays.relay.limits import RelayLimits
from torq_relays.wire.control import RELAY_SOURCE, control_message
from torq_types import TLV, Domain, Error, ErrorCode, ProtocolError, Role, ServiceHello

__all__ = ["Connection", "ConnectionHost", "MonitorConnection", "Registration"]

_RECEIVE = 1 << 16
_MAX_HELLO = 1 << 18


class ConnectionHost(Protocol):
    """What a connection may ask of its relay: the log, the rules, the accounts, and its turns."""

    domain: Domain
    log: Log
    ledger: Ledger
    limits: RelayLimits
    clock: Callable[[], int]
    """UTC nanoseconds."""
    started_ns: int
    wake: bytes
    """The message that wakes a mapped reader."""
    faults: Counter[ErrorCode]
    messages: int
    """Appended so far."""
    bytes_skipped: int
    log_errors: int

    def settle(self, connection: Connection) -> None:
        """Let ``connection`` write, or drop it, at the end of this turn."""

    def go_on(self, connection: Connection) -> None:
        """Let ``connection`` write in the next turn, whatever else happens."""

    def want_write(self, connection: Connection, wanted: bool) -> None:
        """Watch for the moment when ``connection``'s socket takes more, or cease to."""

    def check_buffers(self, connection: Connection) -> None:
        """Close ``connection`` when its unfinished message is one too many for the memory."""

    def health_message(self) -> bytes:
        """The relay's SystemHealth, as its monitors get it."""


class Connection:
    """A client's socket with what is waiting to be written to it."""

    name = ""

    def __init__(self, relay: ConnectionHost, client: socket.socket) -> None:
        self.relay = relay
        self.socket = client
        self.closed = False
        self._outgoing = bytearray()
        self._wants_write = False

    @property
    def pending(self) -> int:
        """Bytes of a message that has not arrived whole."""
        return 0

    def read(self) -> None:
        """Take what the client sent. The base reads only to notice that it left."""
        self._receive()

    def after_registration(self) -> None:
        """Called once when the relay knows the connection."""

    def beat(self, heartbeat: bytes, now: int) -> None:
        """Called once per heartbeat interval."""
        self.queue_if_idle(heartbeat)

    def pump(self) -> None:
        """Write what is waiting, as far as the socket takes it."""
        self._flush()

    def dropped(self) -> None:
        """Called once when the relay lets the connection go."""

    def queue(self, message: bytes | memoryview) -> None:
        """Put ``message`` behind what is waiting; it is written at the end of the turn."""
        self._outgoing += message
        self.relay.settle(self)

    def queue_if_idle(self, message: bytes) -> None:
        """Queue only when nothing is waiting: a stuck client gets no pile of heartbeats."""
        if not self._outgoing:
            self.queue(message)

    def control(self, tlv: TLV) -> None:
        """Queue a message of the relay's own."""
        self.queue(control_message(self.relay.domain, RELAY_SOURCE, tlv))

    def fail(self, code: ErrorCode, detail: str) -> None:
        """Count, tell the client why, and close."""
        self.relay.faults[code] += 1
        self.control(Error(0, code, detail))
        self._flush()
        self.close()

    def close(self) -> None:
        """Nothing more; the relay drops the connection at the end of the turn."""
        self.closed = True
        self.relay.settle(self)

    def _receive(self) -> bytes:
        try:
            chunk = self.socket.recv(_RECEIVE)
        except BlockingIOError:
            return b""
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
        return chunk

    def _flush(self) -> bool:
        """Whether everything was written."""
        while self._outgoing and not self.closed:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return False
            del self._outgoing[:sent]
        self._set_wants_write(bool(self._outgoing) and not self.closed)
        return not self._outgoing

    def _set_wants_write(self, wanted: bool) -> None:
        if wanted != self._wants_write:
            self._wants_write = wanted
            self.relay.want_write(self, wanted)

    def _hello(
        self,
        *,
        position: int = 0,
        next_sequence: int = 0,
        last_timestamp_ns: int = 0,
        mapped: int = 0,
    ) -> ServiceHello:
        return ServiceHello(
            start_position=position,
            session=self.relay.started_ns,
            next_sequence=next_sequence,
            log_id=self.relay.log.log_id,
            last_timestamp_ns=last_timestamp_ns,
            source=RELAY_SOURCE,
            role=Role.RELAY,
            start_mode=0,
            mapped=mapped,
            types=(),
            instruments=(),
            name=f"relay-{self.relay.domain.slug}",
        )


class Registration(Connection):
    """A connection that has not said what it wants."""

    def __init__(self, relay: ConnectionHost, client: socket.socket) -> None:
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
        if size > _MAX_HELLO:
            self.fail(ErrorCode.BAD_LENGTH, f"a ServiceHello of {size} bytes")
        elif len(self._buffer) >= size:
            first, self.rest = self._buffer[:size], self._buffer[size:]
            self._take(first)

    def beat(self, heartbeat: bytes, now: int) -> None:
        """Close a connection that says nothing for too long."""
        seconds = self.relay.limits.registration_seconds
        if now - self._since > seconds * 1_000_000_000:
            self.fail(ErrorCode.REGISTRATION_TIMEOUT, f"no ServiceHello within {seconds} s")

    def _take(self, first: bytes) -> None:
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
            found = message.header.domain.slug
            self.fail(ErrorCode.WRONG_DOMAIN, f"{detail}; the hello is for {found}")
        else:
            self.hello = hello


class MonitorConnection(Connection):
    """Gets the relay's health once per heartbeat."""

    def __init__(self, registration: Registration, hello: ServiceHello) -> None:
        super().__init__(registration.relay, registration.socket)
        self.name = hello.name

    def after_registration(self) -> None:
        """Begin with how things are now."""
        self.queue(self.relay.health_message())

    def beat(self, heartbeat: bytes, now: int) -> None:
        """Say how things are."""
        self.queue_if_idle(self.relay.health_message())
