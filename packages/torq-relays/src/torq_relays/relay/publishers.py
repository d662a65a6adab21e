"""A relay's side of a publisher: verify, append, acknowledge."""

from __future__ import annotations

import time
from collections import deque

import msgspec

from torq_codec import Break, Fault, Framer, Run
from torq_relays.log.ledger import Ledger, SourceCounts, Verdict
from torq_relays.relay.connections import Connection, Registration
from torq_relays.wire.status import PublisherStatus
from torq_types import HEADER_SIZE, Acknowledgement, Error, ErrorCode, LogError, ServiceHello

__all__ = ["PublisherConnection", "SourceState"]

_QUEUE_BYTES = 1 << 16
"""Complaints waiting for a publisher that does not read them; later ones are only counted."""
_ACKNOWLEDGE_BYTES = 1 << 18
"""Acknowledged without being asked when the log has grown so much, and once per heartbeat."""
_SMALL = 1 << 20


class SourceState(msgspec.Struct):
    """What a relay knows of one source, across its connections."""

    source: int
    name: str = ""
    session: int = 0
    connected: bool = False
    messages: int = 0
    rate: int = 0
    messages_at_tick: int = 0

    def greet(self, hello: ServiceHello, ledger: Ledger) -> None:
        """Take up a publisher: the one known, or another that counts from its own start."""
        tracker = ledger.tracker
        last = tracker.last(self.source)
        if self.session:
            is_known = hello.session == self.session
        else:  # recovered from a log: it has messages of this session, or of an older one
            is_known = tracker.last_timestamp_ns(self.source) >= hello.session
        if not is_known:
            if last:
                ledger.counts[self.source].restarts += 1
            timestamp_ns = tracker.last_timestamp_ns(self.source)
            tracker.set(self.source, max(hello.next_sequence, 1) - 1, timestamp_ns)
        self.session = hello.session
        self.name = hello.name
        self.connected = True

    def tick(self, interval_ms: int) -> None:
        """Note the rate since the last tick."""
        self.rate = (self.messages - self.messages_at_tick) * 1000 // interval_ms
        self.messages_at_tick = self.messages

    def status(self, ledger: Ledger) -> PublisherStatus:
        """For the relay's own account."""
        counts = ledger.counts.get(self.source, SourceCounts())
        return PublisherStatus(
            name=self.name,
            source=self.source,
            connected=self.connected,
            sequence=ledger.tracker.last(self.source),
            messages=self.messages,
            rate=self.rate,
            holes=counts.holes,
            missing=counts.missing,
            repeats=counts.repeats,
            restarts=counts.restarts,
        )


class PublisherConnection(Connection):
    """Verifies and appends what one source sends."""

    def __init__(self, registration: Registration, hello: ServiceHello, state: SourceState) -> None:
        super().__init__(registration.relay, registration.socket)
        relay = self.relay
        self.name = hello.name
        self.source = hello.source
        self.state = state
        limit = min(relay.limits.max_payload, relay.log.max_message - HEADER_SIZE)
        self._framer = Framer(relay.domain, limit, relay.ledger.tracker, hello.source)
        self._rest = registration.rest
        self._appended = self._durable = relay.ledger.tracker.last(self.source)
        self._told = (-1, -1)
        self._told_at = relay.log.tail
        self._is_asked = False
        self._undurable: deque[tuple[int, int]] = deque()
        self._progress = time.monotonic()

    @property
    def pending(self) -> int:
        """Bytes of a message that has not arrived whole."""
        return self._framer.pending

    def after_registration(self) -> None:
        """Answer, and take what came with the hello."""
        tracker = self.relay.ledger.tracker
        hello = self._hello(
            position=self.relay.log.tail,
            next_sequence=self._appended + 1,
            last_timestamp_ns=tracker.last_timestamp_ns(self.source),
        )
        self.control(hello)
        if self._rest:
            rest = memoryview(self._rest)
            while rest:
                space = self._framer.space()
                size = min(len(space), len(rest))
                space[:size] = rest[:size]
                rest = rest[size:]
                self._take(size)
            self._rest = b""

    def read(self) -> None:
        """Append what has arrived whole."""
        try:
            size = self.socket.recv_into(self._framer.space())
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            self._take(size)
        else:
            self.close()

    def pump(self) -> None:
        """Acknowledge as far as the log has grown; one acknowledgement at a time."""
        log = self.relay.log
        while self._undurable and self._undurable[0][0] <= log.durable:
            self._durable = self._undurable.popleft()[1]
        told = (self._appended, self._durable)
        owed = self._is_asked or log.tail - self._told_at >= _ACKNOWLEDGE_BYTES
        # What waits goes first: an acknowledgement is worth sending only when it is the last word.
        if self._flush() and owed and told != self._told and not self.closed:
            self._acknowledge()
            self._flush()

    def acknowledge_all(self) -> None:
        """Owe the publisher an answer, and give it as far as the socket takes it."""
        self._is_asked = True
        self.pump()

    def _acknowledge(self) -> None:
        self._told = (self._appended, self._durable)
        self._told_at = self.relay.log.tail
        self._is_asked = self._is_asked and self._durable < self._appended
        self.control(Acknowledgement(*self._told))

    def beat(self, heartbeat: bytes, now: int) -> None:
        """Close a connection that stopped in the middle of a message."""
        super().beat(heartbeat, now)
        if self._told != (self._appended, self._durable):
            self._acknowledge()
        seconds = self.relay.limits.stall_seconds
        if self._framer.pending and time.monotonic() - self._progress > seconds:
            detail = f"{self._framer.pending} bytes of a message, and nothing more for {seconds} s"
            self.fail(ErrorCode.STALLED, detail)

    def dropped(self) -> None:
        """The source is free for another connection."""
        self.state.connected = False
        if self._framer.pending:
            self.relay.faults[ErrorCode.INCOMPLETE] += 1

    def _take(self, size: int) -> None:
        framer = self._framer
        framer.wrote(size)
        while not self.closed and (frame := framer.next()) is not None:
            if type(frame) is Run:
                self._append(frame)
            elif isinstance(frame, Break):
                self._decide(frame)
            elif isinstance(frame, Fault):
                self._report(frame)
        self._progress = time.monotonic()
        if framer.pending > _SMALL:
            self.relay.check_buffers(self)

    def _append(self, run: Run) -> None:
        relay = self.relay
        try:
            relay.log.append(run.messages)
        except LogError as error:
            relay.log_errors += 1
            # What could not be appended was not seen: the publisher sends it again later.
            tracker = relay.ledger.tracker
            tracker.set(self.source, self._appended, tracker.last_timestamp_ns(self.source))
            self.fail(ErrorCode.OTHER, str(error))
            return
        self._appended = relay.ledger.tracker.last(self.source)
        if len(self._undurable) >= 64:  # a later position covers the earlier ones
            self._undurable.pop()
        self._undurable.append((relay.log.tail, self._appended))
        self.state.messages += run.count
        relay.messages += run.count
        relay.settle(self)

    def _decide(self, broken: Break) -> None:
        """Drop repeats and other sources' messages; keep what follows a hole, and count it."""
        if broken.code is ErrorCode.WRONG_SOURCE:
            detail = f"this connection is source {self.source}; found {broken.source}"
            self._tell(ErrorCode.WRONG_SOURCE, detail, broken.sequence)
            self._framer.leave_out(broken)
            return
        if (
            broken.sequence == 0
        ):  # outside every sequence: the publisher wants to know how far it is
            self._framer.leave_out(broken)
            self._is_asked = True
            self._told = (-1, -1)
            self.relay.settle(self)
            return
        ledger = self.relay.ledger
        last = ledger.tracker.last(self.source)
        if broken.sequence <= last:
            ledger.counts[self.source].repeats += 1
            self._framer.leave_out(broken)
            return
        if ledger.judge(self.source, broken.sequence, broken.timestamp_ns) is Verdict.HOLE:
            detail = f"sequence {broken.sequence} follows {last}: some are missing"
            self._tell(ErrorCode.SEQUENCE, detail, broken.sequence)
        self._framer.accept(broken)

    def _report(self, fault: Fault) -> None:
        self.relay.bytes_skipped += fault.skipped
        detail = f"{fault.code.name.lower()}: {fault.skipped} bytes left out"
        self._tell(fault.code, detail, fault.sequence)
        limit = self.relay.limits.garbage_bytes
        if self._framer.bytes_skipped + self._framer.work_wasted > limit:
            self.fail(ErrorCode.GARBAGE, f"more than {limit} bytes that are no messages")

    def _tell(self, code: ErrorCode, detail: str, sequence: int) -> None:
        self.relay.faults[code] += 1
        if len(self._outgoing) < _QUEUE_BYTES:
            self.control(Error(sequence, code, detail))
