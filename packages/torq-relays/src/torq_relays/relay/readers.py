"""A relay's side of its subscribers: mapped ones read by themselves, others are streamed to."""

from __future__ import annotations

import socket
from abc import abstractmethod

from torq_codec import Framer, Run, walk_messages
from torq_relays.log.base import Log
from torq_relays.log.ring import RingLog
from torq_relays.log.shared import ReaderPage
from torq_relays.relay.connections import Connection, Registration
from torq_relays.wire.control import RELAY_SOURCE, control_message
from torq_relays.wire.filters import Filter, filter_of
from torq_relays.wire.status import SubscriberStatus
from torq_types import (
    ErrorCode,
    GapCause,
    LogError,
    LogPosition,
    LogRegion,
    SequenceGap,
    ServiceHello,
)

__all__ = ["MappedReader", "Reader", "StreamedReader", "reader_for"]

_CHUNK = 1 << 18
_PUMP_BYTES = 1 << 20
"""A subscriber gets at most this much per turn, so that none keeps the others waiting."""


class Reader(Connection):
    """What a relay wants to know of any subscriber."""

    def __init__(self, registration: Registration, hello: ServiceHello, start: int) -> None:
        super().__init__(registration.relay, registration.socket)
        self.name = hello.name
        self.start = start
        self.gap: SequenceGap | None = None
        """What was lost before it even began."""

    @property
    @abstractmethod
    def position(self) -> int:
        """How far it has read."""

    @abstractmethod
    def status(self) -> SubscriberStatus:
        """For the relay's own account."""

    @abstractmethod
    def log_grew(self) -> None:
        """Called at the end of a turn in which the log's tail moved."""

    def _gap_to(self, position: int, head: int) -> SequenceGap:
        cause = GapCause.LAPPED if isinstance(self.relay.log, RingLog) else GapCause.RETIRED
        return SequenceGap(position, head, 0, 0, RELAY_SOURCE, cause)


class StreamedReader(Reader):
    """A position in the log, moved forward as fast as its client takes bytes from the socket."""

    def __init__(self, registration: Registration, hello: ServiceHello, start: int) -> None:
        super().__init__(registration, hello, start)
        self._position = start
        self._wanted: Filter = filter_of(
            (entry.tlv_type for entry in hello.types),
            (entry.instrument for entry in hello.instruments),
        )
        self._gaps = 0

    @property
    def position(self) -> int:
        """Behind the last byte handed to the socket."""
        return self._position

    def after_registration(self) -> None:
        """Answer with where the stream starts."""
        self.control(self._hello(position=self._position))
        if self.gap is not None:
            self.control(self.gap)

    def log_grew(self) -> None:
        """There may be something to write."""
        self.relay.settle(self)

    def beat(self, heartbeat: bytes, now: int) -> None:
        """Tell how far everything was looked at, though nothing may have been wanted."""
        if not self._outgoing:
            self.control(LogPosition(self._position))
            self.queue(heartbeat)

    def pump(self) -> None:
        """Write from the log until the socket is full, the log is read, or it is others' turn."""
        log = self.relay.log
        written = 0
        while self._flush() and self._position < log.tail and written < _PUMP_BYTES:
            if self._position < log.head:
                self._gaps += 1
                self.control(self._gap_to(self._position, log.head))
                self._position = log.head
            try:
                messages = log.read_messages(self._position, _CHUNK)
            except LogError as error:
                self.relay.log_errors += 1
                self.fail(ErrorCode.OTHER, str(error))
                return
            self._queue_wanted(messages)
            written += len(messages)
        if written >= _PUMP_BYTES and not self.closed:
            self.relay.go_on(self)

    def status(self) -> SubscriberStatus:
        """For the relay's own account."""
        lag = self.relay.log.tail - self._position + len(self._outgoing)
        return SubscriberStatus(
            name=self.name,
            mapped=False,
            position=self._position,
            lag=lag,
            gaps=self._gaps,
            holes=0,
            repeats=0,
            restarts=0,
        )

    def _queue_wanted(self, messages: bytes) -> None:
        if self._wanted.passes_all:
            self.queue(messages)
        else:
            view = memoryview(messages)
            for start, end in self._wanted.runs(messages, 0, len(messages)):
                # A reader of some messages must still know where in the log each stands.
                self.control(LogPosition(self._position + start))
                self.queue(view[start:end])
        self._position += len(messages)


class MappedReader(Reader):
    """A client that reads the log through descriptors it was passed.

    The relay only wakes it when it sleeps, passes it the next segment when it asks, and looks at
    its page to know how far it is. Everything on that page is the client's word and is used for
    nothing but the status, the wake-up, and what retention spares.
    """

    def __init__(self, registration: Registration, hello: ServiceHello, start: int) -> None:
        super().__init__(registration, hello, start)
        self._page = ReaderPage()
        self._page.position = start
        self._framer = Framer(self.relay.domain, _CHUNK)
        self._asked: int | None = None

    @property
    def position(self) -> int:
        """By the reader's own word."""
        return min(self._page.position, self.relay.log.tail)

    def after_registration(self) -> None:
        """Answer with where it starts; pass the gauge, the reader's page and the log there."""
        hello = control_message(
            self.relay.domain, RELAY_SOURCE, self._hello(position=self.start, mapped=1)
        )
        if self.gap is not None:
            hello += control_message(self.relay.domain, RELAY_SOURCE, self.gap)
        gauge, page = self.relay.log.gauge.descriptor, self._page.descriptor
        self._answer(self.start, hello, [gauge, page])

    def read(self) -> None:
        """Take the one thing that a mapped reader asks for: a region of the log."""
        for frame in self._framer.feed(self._receive()):
            if not isinstance(frame, Run):
                self.fail(ErrorCode.MALFORMED_INPUT, "a subscriber sends sound messages only")
                return
            for message in walk_messages(bytes(frame.messages)):
                asked = message.get(LogPosition)
                if asked is not None:
                    self._asked = asked.position
                    self.relay.settle(self)

    def log_grew(self) -> None:
        """Wake the reader, if it sleeps."""
        if self._page.is_waiting:
            self._page.is_waiting = False
            try:
                if not self._outgoing:  # else what waits there wakes it
                    self.socket.send(self.relay.wake)
            except BlockingIOError:
                return  # so much is there to be read that it cannot sleep
            except OSError:
                self.close()

    def pump(self) -> None:
        """Write what waits; then pass the region that was asked for."""
        if self._flush() and self._asked is not None and not self.closed:
            position, self._asked = self._asked, None
            self._answer(position, b"", [])
            self._flush()

    def dropped(self) -> None:
        """The page goes with its reader."""
        self._page.close()

    def status(self) -> SubscriberStatus:
        """For the relay's own account."""
        gaps, holes, repeats, restarts = self._page.reported
        position = self.position
        return SubscriberStatus(
            name=self.name,
            mapped=True,
            position=position,
            lag=self.relay.log.tail - position,
            gaps=gaps,
            holes=holes,
            repeats=repeats,
            restarts=restarts,
        )

    def _answer(self, position: int, messages: bytes, descriptors: list[int]) -> None:
        """Send ``messages``, and what the log holds at ``position``."""
        log = self.relay.log
        if position > log.tail:
            detail = f"position {position} is not in this log, which ends at {log.tail}"
            self.fail(ErrorCode.BAD_START, detail)
            return
        if position < log.head and not isinstance(log, RingLog):
            gap = self._gap_to(position, log.head)
            messages += control_message(self.relay.domain, RELAY_SOURCE, gap)
            position = log.head
        region = log.region(position)
        described = LogRegion(region.base, region.end, region.ring_bytes)
        messages += control_message(self.relay.domain, RELAY_SOURCE, described)
        self._pass(messages, [*descriptors, region.descriptor])

    def _pass(self, message: bytes, descriptors: list[int]) -> None:
        """Send ``message`` with descriptors; nothing may be waiting before it."""
        try:
            sent = socket.send_fds(self.socket, [message], descriptors)
        except BlockingIOError:
            self.fail(ErrorCode.OTHER, "the socket of a mapped reader is full")
            return
        except OSError:
            self.close()
            return
        if sent < len(message):
            self.queue(message[sent:])


def reader_for(registration: Registration, hello: ServiceHello) -> Reader | None:
    """The reader that ``hello`` asks for, or None after refusing it."""
    log = registration.relay.log
    gap: SequenceGap | None = None
    position = {0: log.tail, 1: log.head}.get(hello.start_mode, hello.start_position)
    if hello.start_mode > 2:
        detail = f"start mode {hello.start_mode}; expected 0 (live), 1 (earliest) or 2 (a position)"
        registration.fail(ErrorCode.BAD_START, detail)
        return None
    if hello.start_mode == 2:
        if hello.log_id not in (0, log.log_id):
            gap = SequenceGap(position, log.head, 0, 0, RELAY_SOURCE, GapCause.LOG_REPLACED)
            position = log.head
        elif position > log.tail or position % 8:
            detail = f"position {position} is not in this log, which ends at {log.tail}"
            if position % 8:
                detail = f"position {position} is no multiple of 8: no message begins there"
            registration.fail(ErrorCode.BAD_START, detail)
            return None
        elif log.head <= position < log.tail and not _begins_at(log, position):
            registration.fail(ErrorCode.BAD_START, f"no message begins at position {position}")
            return None
    made = (MappedReader if hello.mapped else StreamedReader)(registration, hello, position)
    made.gap = gap
    return made


def _begins_at(log: Log, position: int) -> bool:
    """Whether a message does: its four first bytes may stand in a text as well."""
    try:
        return bool(log.read_messages(position, 0))
    except LogError:
        return False
