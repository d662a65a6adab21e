"""The relay's engine: one thread, one selector, one log."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from torq_codec import DEFAULT_MAX_PAYLOAD
from torq_relays.connections import (
    Connection,
    MonitorConnection,
    PublisherConnection,
    Registration,
    SourceState,
    SubscriberConnection,
)
from torq_relays.control import RELAY_SOURCE, control_message
from torq_relays.filters import Filter
from torq_relays.log import Log
from torq_relays.recovery import recover_sources
from torq_relays.status import PublisherStatus, RelayStatus
from torq_relays.transports import unix
from torq_types import (
    Domain,
    Error,
    ErrorCode,
    Heartbeat,
    Role,
    SequenceGap,
    ServiceHello,
    SystemHealth,
)

__all__ = ["Relay", "RelayLimits"]

_SECOND_NS = 1_000_000_000


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay grants its clients."""

    connections: int = 256
    max_payload: int = DEFAULT_MAX_PAYLOAD
    registration_seconds: int = 5
    heartbeat_ms: int = 1000


class Relay:
    """Appends what publishers send and streams it to subscribers, for one domain."""

    def __init__(
        self,
        domain: Domain,
        log: Log,
        path: Path,
        *,
        limits: RelayLimits | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.domain = domain
        self.log = log
        self.path = path
        self.limits = limits or RelayLimits()
        self.clock = clock
        self.started_ns = clock()
        self.faults: Counter[ErrorCode] = Counter()
        self.bytes_skipped = 0
        self.log_errors = 0
        self.messages = 0
        self.sources: dict[int, SourceState] = recover_sources(log)
        self._rate = 0
        self._messages_at_tick = 0
        self._next_tick = clock()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._listener = unix.listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._connections: set[Connection] = set()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Serve until :meth:`stop`; then close every connection, the socket and the log."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._close()

    def stop(self) -> None:
        """End :meth:`run`. May be called from another thread or a signal handler."""
        self._stopping = True
        self._wake_sender.send(b"x")

    def _turn(self) -> None:
        """One round: read from publishers, make durable, acknowledge, feed subscribers."""
        timeout = max(0, self._next_tick - self.clock()) / _SECOND_NS
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is not self._wake_receiver:
                self._serve(key.data, mask)
        self.log.sync()
        for connection in list(self._connections):
            connection.pump()
            if connection.closed:
                self._drop(connection)
        if self.clock() >= self._next_tick:
            self._tick()

    def _serve(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            connection.read()
        if isinstance(connection, Registration) and connection.hello is not None:
            self._register(connection, connection.hello)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setblocking(False)
        if unix.peer_uid(client) != os.geteuid():
            self._refuse(client, ErrorCode.FOREIGN_USER, "another user's process")
        elif len(self._connections) >= self.limits.connections:
            detail = f"this relay serves {self.limits.connections} connections"
            self._refuse(client, ErrorCode.TOO_MANY_CONNECTIONS, detail)
        else:
            self._add(Registration(self, client))

    def _add(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def want_write(self, connection: Connection, wanted: bool) -> None:
        """Called by a connection whose socket is full, or is not any more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(connection.socket, events, connection)

    def _refuse(self, client: socket.socket, code: ErrorCode, detail: str) -> None:
        self.faults[code] += 1
        try:
            client.send(control_message(self.domain, RELAY_SOURCE, Error(0, code, detail)))
        except OSError:
            self.faults[ErrorCode.OTHER] += 1
        client.close()

    def _register(self, registration: Registration, hello: ServiceHello) -> None:
        """Replace the registration by what the client asked to be."""
        connection: Connection
        if hello.role is Role.PUBLISHER:
            state = self._source_state(registration, hello)
            if state is None:
                return
            connection = PublisherConnection(registration, hello, state)
        elif hello.role is Role.SUBSCRIBER:
            subscriber = self._subscriber(registration, hello)
            if subscriber is None:
                return
            connection = subscriber
        elif hello.role is Role.MONITOR:
            connection = MonitorConnection(registration, hello)
            connection.queue(self.health_message())
        else:
            detail = "a client is a publisher, a subscriber or a monitor"
            registration.fail(ErrorCode.NOT_A_HELLO, detail)
            return
        self._connections.discard(registration)
        self._connections.add(connection)
        self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
        connection.after_registration()

    def _source_state(self, registration: Registration, hello: ServiceHello) -> SourceState | None:
        if hello.source == RELAY_SOURCE:
            registration.fail(ErrorCode.WRONG_SOURCE, "source 0 is the relay's; use 1 to 65535")
            return None
        state = self.sources.setdefault(hello.source, SourceState())
        if state.connected:
            detail = f"source {hello.source} is in use by {state.name!r}; choose another"
            registration.fail(ErrorCode.SOURCE_TAKEN, detail)
            return None
        state.greet(hello)
        return state

    def _subscriber(
        self, registration: Registration, hello: ServiceHello
    ) -> SubscriberConnection | None:
        log = self.log
        wanted = Filter(
            (entry.tlv_type for entry in hello.types),
            (entry.instrument for entry in hello.instruments),
        )
        gap: SequenceGap | None = None
        position = {0: log.tail, 1: log.head}.get(hello.start_mode, hello.start_position)
        if hello.start_mode == 2:
            if hello.log_id not in (0, log.log_id):
                gap = SubscriberConnection.replaced(position, log.head)
                position = log.head
            elif position > log.tail or position % 8:
                detail = f"position {position} is not in this log, which ends at {log.tail}"
                registration.fail(ErrorCode.BAD_START, detail)
                return None
            elif log.head <= position < log.tail and not self._is_boundary(position):
                detail = f"no message begins at position {position}"
                registration.fail(ErrorCode.BAD_START, detail)
                return None
        return SubscriberConnection(registration, hello, position, wanted, gap)

    def _is_boundary(self, position: int) -> bool:
        return self.log.read(position, 4) == b"TORQ"

    def health_message(self) -> bytes:
        """This relay's SystemHealth, as its monitors get it."""
        counters = msgspec.json.encode(self.status()).decode()
        name = f"relay-{self.domain.slug}"
        health = SystemHealth(self.started_ns, 1, name, counters)
        return control_message(self.domain, RELAY_SOURCE, health)

    def status(self) -> RelayStatus:
        """The relay as of the last full second."""
        log = self.log
        subscribers = [c for c in self._connections if isinstance(c, SubscriberConnection)]
        return RelayStatus(
            domain=self.domain.slug,
            position=log.tail,
            head=log.head,
            messages=self.messages,
            rate=self._rate,
            connections=len(self._connections),
            publishers=[
                PublisherStatus(
                    name=state.name,
                    source=source,
                    connected=state.connected,
                    sequence=state.last_sequence,
                    messages=state.messages,
                    rate=state.rate,
                    holes=state.holes,
                    repeats=state.repeats,
                    restarts=state.restarts,
                )
                for source, state in sorted(self.sources.items())
            ],
            subscribers=sorted((c.status() for c in subscribers), key=lambda s: s.name),
            faults={code.name.lower(): count for code, count in sorted(self.faults.items())},
            bytes_skipped=self.bytes_skipped,
            log_errors=self.log_errors,
        )

    def _tick(self) -> None:
        """Once per heartbeat: rates, heartbeats, health, clients that never said hello."""
        now = self.clock()
        interval_ms = self.limits.heartbeat_ms
        self._next_tick = now + interval_ms * 1_000_000
        self._rate = (self.messages - self._messages_at_tick) * 1000 // interval_ms
        self._messages_at_tick = self.messages
        for state in self.sources.values():
            state.tick(interval_ms)
        health = None
        for connection in list(self._connections):
            if isinstance(connection, MonitorConnection):
                health = health or self.health_message()
                connection.queue_if_idle(health)
            elif isinstance(connection, Registration):
                connection.check_age(now)
            else:
                beat = Heartbeat(connection.position, interval_ms)
                connection.queue_if_idle(control_message(self.domain, RELAY_SOURCE, beat))
            connection.pump()
            if connection.closed:
                self._drop(connection)

    def _close(self) -> None:
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self._selector.unregister(self._wake_receiver)
        self._wake_receiver.close()
        self._wake_sender.close()
        self._selector.close()
        self.log.close()
