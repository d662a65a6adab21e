"""The relay's engine: one thread, one epoll, one log."""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from torq_relays.log.base import Log
from torq_relays.log.disk import DiskLog
from torq_relays.log.recovery import recover_ledger
from torq_relays.relay.connections import Connection, MonitorConnection, Registration
from torq_relays.relay.limits import RelayLimits
from torq_relays.relay.publishers import PublisherConnection, SourceState
from torq_relays.relay.readers import Reader, reader_for
from torq_relays.transports import unix
from torq_relays.wire.control import RELAY_SOURCE, control_message
from torq_relays.wire.status import RelayStatus
from torq_types import (
    Domain,
    Error,
    ErrorCode,
    Heartbeat,
    LogError,
    Role,
    ServiceHello,
    SystemHealth,
)

__all__ = ["Relay"]

_SECOND_NS = 1_000_000_000
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class Relay:
    """Appends what publishers send, and lets subscribers read it, for one domain."""

    def __init__(
        self,
        domain: Domain,
        log: Log,
        path: Path,
        *,
        limits: RelayLimits | None = None,
        busy_poll: bool = False,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``busy_poll`` never sleeps: the least delay, for a processor of its own."""
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
        self.ledger = recover_ledger(log)
        self.sources = {source: SourceState(source) for source in self.ledger.tracker.sources()}
        self._dirty: set[Connection] = set()
        """Connections that have something to write, or to be dropped for, in this turn."""
        self._unfinished: set[Connection] = set()
        """Connections that go on in the next turn, whatever else happens."""
        self.wake = control_message(domain, RELAY_SOURCE, Heartbeat(0, self.limits.heartbeat_ms))
        """The message that wakes a mapped reader."""
        self._busy_poll = busy_poll
        self._is_accepting = True
        self._rate = 0
        self._messages_at_tick = 0
        self._published = log.tail
        self._durable = log.durable
        self._next_tick = clock()
        self._stopping = False
        self._connections: dict[int, Connection] = {}
        self._readers: list[Reader] = []
        self._listener = unix.listen(path)
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._wake_receiver, select.EPOLLIN)
        if isinstance(log, DiskLog):
            log.on_durable = self._nudge

    def run(self) -> None:
        """Serve until :meth:`stop`; then close every connection, the socket and the log."""
        try:
            while not self._stopping:
                self._turn()
            self._say_the_last_word()
        finally:
            self._close()

    def stop(self) -> None:
        """End :meth:`run`. May be called from another thread or a signal handler."""
        self._stopping = True
        self._nudge()

    def _nudge(self) -> None:
        """End the wait of this turn, from any thread."""
        try:
            self._wake_sender.send(b"x")
        except OSError:
            return  # nudged often enough already, or at its end

    def _turn(self) -> None:
        """One round: read from publishers, make durable, let readers see, acknowledge."""
        if self._busy_poll or self._unfinished:
            timeout = 0.0
        else:
            timeout = max(0, self._next_tick - self.clock()) / _SECOND_NS
        if self._unfinished:
            self._dirty |= self._unfinished
            self._unfinished.clear()
        for descriptor, mask in self._epoll.poll(timeout):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._serve_own(descriptor)
                continue
            if mask & _READABLE:
                connection.read()
                if isinstance(connection, Registration) and connection.hello is not None:
                    self._register(connection, connection.hello)
            if mask & select.EPOLLOUT:
                self._dirty.add(connection)
        log = self.log
        if log.durable != log.tail:
            log.sync()
        if log.tail != self._published:
            log.publish()
            self._published = log.tail
            for reader in self._readers:
                reader.log_grew()
        if log.durable != self._durable:
            self._durable = log.durable
            self._dirty.update(
                c for c in self._connections.values() if isinstance(c, PublisherConnection)
            )
        self._settle()
        if self.clock() >= self._next_tick:
            self._tick()

    def _settle(self) -> None:
        """Let every connection that has something to write do so, and drop the closed ones."""
        while self._dirty:
            batch, self._dirty = self._dirty, set()
            for connection in batch:
                connection.pump()
                # What it queued meanwhile it has written, or its socket says when it can.
                self._dirty.discard(connection)
                if connection.closed:
                    self._drop(connection)

    def _serve_own(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor == self._wake_receiver.fileno():
            self._wake_receiver.recv(4096)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in unix.OUT_OF_DESCRIPTORS:
                raise
            self.faults[ErrorCode.TOO_MANY_CONNECTIONS] += 1
            self._is_accepting = False  # until the next tick: whoever waits keeps its place
            self._epoll.modify(self._listener, 0)
            return
        client.setblocking(False)
        if unix.peer_uid(client) != os.geteuid():
            self._refuse(client, ErrorCode.FOREIGN_USER, "another user's process")
        elif len(self._connections) >= self.limits.connections:
            detail = f"this relay serves {self.limits.connections} connections"
            self._refuse(client, ErrorCode.TOO_MANY_CONNECTIONS, detail)
        else:
            self._connections[client.fileno()] = Registration(self, client)
            self._epoll.register(client, select.EPOLLIN)

    def _drop(self, connection: Connection) -> None:
        self._unfinished.discard(connection)
        if self._connections.pop(connection.socket.fileno(), None) is None:
            return
        if isinstance(connection, Reader):
            self._readers.remove(connection)
        self._epoll.unregister(connection.socket)
        connection.socket.close()
        connection.dropped()

    def settle(self, connection: Connection) -> None:
        """Let ``connection`` write, or drop it, at the end of this turn."""
        self._dirty.add(connection)

    def go_on(self, connection: Connection) -> None:
        """Let ``connection`` write in the next turn, whatever else happens."""
        self._unfinished.add(connection)

    def want_write(self, connection: Connection, wanted: bool) -> None:
        """Watch for the moment when ``connection``'s socket takes more, or cease to."""
        events = select.EPOLLIN | (select.EPOLLOUT if wanted else 0)
        self._epoll.modify(connection.socket, events)

    def check_buffers(self, connection: Connection) -> None:
        """Close ``connection`` when its unfinished message is one too many for the memory."""
        total = sum(each.pending for each in self._connections.values())
        if total > self.limits.buffered_bytes:
            detail = f"unfinished messages fill {total} bytes of {self.limits.buffered_bytes}"
            connection.fail(ErrorCode.TOO_MUCH_BUFFERED, detail)

    def _refuse(self, client: socket.socket, code: ErrorCode, detail: str) -> None:
        self.faults[code] += 1
        try:
            client.send(control_message(self.domain, RELAY_SOURCE, Error(0, code, detail)))
        except OSError:
            self.faults[ErrorCode.OTHER] += 1
        client.close()

    def _register(self, registration: Registration, hello: ServiceHello) -> None:
        """Replace the registration by what the client asked to be."""
        connection: Connection | None
        if hello.role is Role.PUBLISHER:
            connection = self._publisher(registration, hello)
        elif hello.role is Role.SUBSCRIBER:
            connection = reader_for(registration, hello)
        elif hello.role is Role.MONITOR:
            connection = MonitorConnection(registration, hello)
        else:
            detail = "a client is a publisher, a subscriber or a monitor"
            registration.fail(ErrorCode.NOT_A_HELLO, detail)
            return
        if connection is None:
            return
        self._dirty.discard(registration)
        self._connections[connection.socket.fileno()] = connection
        if isinstance(connection, Reader):
            self._readers.append(connection)
        connection.after_registration()

    def _publisher(
        self, registration: Registration, hello: ServiceHello
    ) -> PublisherConnection | None:
        if hello.source == RELAY_SOURCE:
            registration.fail(ErrorCode.WRONG_SOURCE, "source 0 is the relay's; use 1 to 65535")
            return None
        state = self.sources.setdefault(hello.source, SourceState(hello.source))
        if state.connected:
            detail = f"source {hello.source} is in use by {state.name!r}; choose another"
            registration.fail(ErrorCode.SOURCE_TAKEN, detail)
            return None
        state.greet(hello, self.ledger)
        return PublisherConnection(registration, hello, state)

    def health_message(self) -> bytes:
        """This relay's SystemHealth, as its monitors get it."""
        counters = msgspec.json.encode(self.status()).decode()
        name = f"relay-{self.domain.slug}"
        health = SystemHealth(self.started_ns, 1, name, counters)
        return control_message(self.domain, RELAY_SOURCE, health)

    def status(self) -> RelayStatus:
        """The relay as of the last full second."""
        log = self.log
        return RelayStatus(
            domain=self.domain.slug,
            position=log.tail,
            head=log.head,
            durable=log.durable,
            messages=self.messages,
            rate=self._rate,
            connections=len(self._connections),
            publishers=[state.status(self.ledger) for _, state in sorted(self.sources.items())],
            subscribers=sorted((r.status() for r in self._readers), key=lambda s: s.name),
            faults={code.name.lower(): count for code, count in sorted(self.faults.items())},
            bytes_skipped=self.bytes_skipped,
            log_errors=self.log_errors,
        )

    def _tick(self) -> None:
        """Once per heartbeat: rates, heartbeats, limits of time, what the log need not keep."""
        now = self.clock()
        interval_ms = self.limits.heartbeat_ms
        self._next_tick = now + interval_ms * 1_000_000
        self._rate = (self.messages - self._messages_at_tick) * 1000 // interval_ms
        self._messages_at_tick = self.messages
        for state in self.sources.values():
            state.tick(interval_ms)
        self.log.retain([reader.position for reader in self._readers])
        beat = Heartbeat(self.log.tail, interval_ms)
        heartbeat = control_message(self.domain, RELAY_SOURCE, beat)
        for connection in list(self._connections.values()):
            connection.beat(heartbeat, now)
        self._settle()
        if not self._is_accepting:
            self._is_accepting = True
            self._epoll.modify(self._listener, select.EPOLLIN)

    def _say_the_last_word(self) -> None:
        """Acknowledge what is in the log: nobody need send that again, nor wait for an answer."""
        try:
            self.log.finish()
        except LogError:
            self.log_errors += 1  # appended, then, and not durable
        for connection in self._connections.values():
            if isinstance(connection, PublisherConnection):
                connection.acknowledge_all()

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._epoll.close()
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self.log.close()
        self._wake_receiver.close()
        self._wake_sender.close()
