"""What a publisher is but for waiting: the blocking and the asyncio one share it.

Rules:

- A message has its sequence when it is encoded. From then on it is either *collected* (it waits
  for those behind it) or *kept* (written, or to be written when the relay is there again); kept
  messages stay until the relay has acknowledged them.
- Whatever is kept and unacknowledged is sent again over a new connection, before anything else.
- ``flush`` waits for the relay's word on everything, and asks for it once on each connection. It
  gives up when the relay takes nothing for too long, not when there is much to take.
- A relay that stops acknowledges all that it has: what it said last is heard before another is
  searched for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from torq_relays.client.link import Event, Link, check_seconds
from torq_relays.client.publishing_session import PublisherSession
from torq_relays.client.steps import Read, Steps, Write
from torq_relays.transports.paths import socket_path
from torq_types import ConnectionLostError, Domain, TransportError

__all__ = ["MANY", "Progress", "PublisherCore", "PublisherFace"]

MANY: Final = 1024
"""Messages that ``send_many`` numbers and writes at a time: all of them, or none."""
_LONGEST_SECONDS: Final = 86_400.0
"""Of one wait; whoever is more patient waits again."""


class PublisherCore:
    """A session, its connection's life, and what was collected."""

    def __init__(self, session: PublisherSession, link: Link) -> None:
        self.session = session
        self.link = link
        self.collected = bytearray()
        """Encoded, and waiting for more to be written with."""

    @classmethod
    def of(
        cls,
        domain: Domain,
        source: int,
        runtime_dir: Path | str | None,
        name: str,
        timeout: float,
        clock: Callable[[], int],
    ) -> PublisherCore:
        """For a publisher's ``connect``; see there."""
        check_seconds(timeout)
        path = socket_path(domain, runtime_dir)
        session = PublisherSession(domain, source, name, clock)
        return cls(session, Link(path, timeout, retries_refusals=True))

    def take_collected(self) -> bytes:
        """What was collected, kept from now on: to be written, or sent again after a greeting."""
        taken = bytes(self.collected)
        if taken:
            self.session.keep(taken, self.session.sequence)
            self.collected.clear()
        return taken

    def connect(self) -> Steps[None]:
        """Search for the relay until it has answered.

        What it has not got is the shell's to send, before everything else:
        :meth:`PublisherSession.unacknowledged`.
        """
        yield from self.link.connect(self._greet)

    def reconnect(self, patience: float | None = None) -> Steps[None]:
        """Connect, and send what the relay has not got; ``patience`` as in :meth:`Link.connect`."""
        yield from self.link.connect(self._greet_and_send_again, patience)
        self.link.require_open("publisher")

    def _greet(self) -> Steps[None]:
        session = self.session
        yield Write(session.hello())
        while not session.greeted:
            received = yield Read(self.link.seconds_to_greet())
            self.link.require_open("publisher")
            if received is not None:
                session.receive(received[0])

    def _greet_and_send_again(self) -> Steps[None]:
        yield from self._greet()
        if self.link.is_up:  # a later search has come in between, and has sent it
            return
        again = self.session.unacknowledged()
        if again:
            yield Write(again)

    def leave(self) -> None:
        """Nothing more is sent; the shell hangs up."""
        self.link.happened(Event.LEFT)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> Steps[None]:
        """Take acknowledgements until ``condition``, for as long as they tell of any progress.

        Raises :class:`TransportError`, with the relay's complaint, when they do not any more.
        """
        progress = Progress(self, seconds)
        asked_on = 0
        while not condition():
            # Whoever has no time at all takes the acknowledgements that are there.
            left = progress.seconds_left() if asked_on else max(seconds, 0.0)
            if not self.link.is_up:
                yield from self.reconnect(left)
                continue
            try:
                if asked_on != self.link.connections:
                    asked_on = self.link.connections
                    yield Write(self.session.ask())
                received = yield Read(left)
            except ConnectionLostError:
                yield from self._hear_the_last_word()
                if not condition():
                    yield from self.reconnect(left)
            else:
                if received is not None:
                    self.session.receive(received[0])

    def _hear_the_last_word(self) -> Steps[None]:
        """Take what the relay said before it was lost: it acknowledges when it stops."""
        try:
            while received := (yield Read(0)):
                self.session.receive(received[0])
        except TransportError as error:
            self.link.problem = str(error)


class PublisherFace:
    """What both publishers tell of themselves."""

    _core: PublisherCore

    @property
    def sequence(self) -> int:
        """The last sequence given out."""
        return self._core.session.sequence

    @property
    def last_timestamp_ns(self) -> int:
        """Of the source's last message, an earlier session's too: the next one is not before it."""
        return self._core.session.last_timestamp_ns

    @property
    def connections(self) -> int:
        """How often the relay has answered a hello."""
        return self._core.link.connections

    @property
    def reconnects(self) -> int:
        """How often a lost connection was taken up again."""
        return self._core.link.reconnects

    @property
    def session(self) -> PublisherSession:
        """What is known of the relay's answers: errors, acknowledgements."""
        return self._core.session


class Progress:
    """The patience of one who waits for acknowledgements: it begins anew with each."""

    def __init__(
        self, core: PublisherCore, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._core = core
        self._seconds = seconds
        self._clock = clock
        self._known = core.session.acknowledged
        self._deadline = clock() + seconds

    def seconds_left(self) -> float:
        """How long to wait for the next one. Raises :class:`TransportError` when it is overdue."""
        session, now = self._core.session, self._clock()
        if session.acknowledged != self._known:
            self._known, self._deadline = session.acknowledged, now + self._seconds
        elif now >= self._deadline:
            link = self._core.link
            reason = link.problem or (session.errors[-1].detail if session.errors else "")
            raise TransportError(
                f"the relay at {link.path} has taken nothing for {self._seconds} s"
                + (f": {reason}" if reason else "")
            )
        return min(self._deadline - now, _LONGEST_SECONDS)
