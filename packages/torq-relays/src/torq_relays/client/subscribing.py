"""What a subscriber is but for waiting: the blocking and the asyncio one share it.

Rules:

- What was read and not handed out stands in the inbox; :attr:`SubscriberCore.position` is behind
  what was handed out, and nothing else moves it.
- While the log that the relay passed has anything to read, nobody asks the socket: ``read`` is the
  whole way of a message, and waits for nothing. Only when it finds nothing is there ``wait``.
- A lost connection is taken up again at the position that was read up to; what the lost relay left
  in its log is read before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from torq_relays.client.following import Follower
from torq_relays.client.inbox import Inbox
from torq_relays.client.link import Event, Link, check_seconds
from torq_relays.client.steps import Read, Received, Steps, Write
from torq_relays.client.subscribing_session import Start, SubscriberSession
from torq_relays.log.bookmark import Bookmark
from torq_relays.transports.paths import socket_path
from torq_types import TLV, ConnectionLostError, Domain, InstrumentId, Role, TransportError

__all__ = ["DESCRIPTORS", "SILENCE_SECONDS", "SubscriberCore", "SubscriberFace"]

DESCRIPTORS: Final = 4
"""A relay passes three with its greeting, and one with a segment."""
SILENCE_SECONDS: Final = 10.0
"""A relay beats once a second: one that is silent for so long is gone."""
_SPINS: Final = 20_000
"""Rounds of polling between two looks at the socket, well under a millisecond."""


class SubscriberCore:
    """A session, its connection's life, the log that it follows, and what was not handed out."""

    def __init__(self, session: SubscriberSession, link: Link, *, busy_poll: bool = False) -> None:
        self.session = session
        self.link = link
        self.inbox = Inbox(session.position, session.log_id)
        self._busy_poll = busy_poll
        self._follower: Follower | None = None
        self._unread = b""
        """What the relay said beside the log, while there was something to read in it."""

    @classmethod
    def of(
        cls,
        domain: Domain,
        *,
        types: Iterable[type[TLV]],
        instruments: Iterable[InstrumentId],
        start: Start,
        runtime_dir: Path | str | None,
        name: str,
        timeout: float,
        role: Role,
        mapped: bool,
        busy_poll: bool = False,
    ) -> SubscriberCore:
        """For a subscriber's ``connect``; see there."""
        check_seconds(timeout)
        session = SubscriberSession(
            domain,
            types=types,
            instruments=instruments,
            start=start,
            name=name,
            role=role,
            mapped=mapped and role is Role.SUBSCRIBER,
        )
        link = Link(socket_path(domain, runtime_dir), timeout, retries_refusals=False)
        return cls(session, link, busy_poll=busy_poll)

    @property
    def is_over(self) -> bool:
        """Whether the subscriber has left, and everything was handed out."""
        return self.link.is_closed and self.inbox.is_empty

    def read(self) -> bool:
        """Put what the log holds, or else what the relay said beside it, into the inbox.

        False when there is nothing: only :meth:`wait` brings more. Raises :class:`TransportError`
        when the log is damaged.
        """
        follower = self._follower
        if follower is None:
            return False
        batches = follower.read()
        self.inbox.put(batches)
        if batches:
            return True
        if self._unread:
            unread, self._unread = self._unread, b""
            self.inbox.put(self.session.receive(unread))
            return True
        self.inbox.reached(self.session.position, self.session.log_id)
        return False

    def wait(self) -> Steps[None]:
        """Wait for what comes next; it may be nothing yet."""
        if not self.link.is_up:  # the relay stayed away too long, and may be back
            yield from self.connect()
            return
        try:
            if self._follower is None:
                yield from self._receive(SILENCE_SECONDS)
            else:
                yield from self._follow(self._follower)
        except ConnectionLostError:
            if not self.link.is_closed:
                self._drain()
                yield from self.connect()

    def connect(self) -> Steps[None]:
        """Search for the relay until it has answered, and be where reading goes on."""
        self.let_go()
        yield from self.link.connect(self._greet)

    def leave(self) -> None:
        """Nothing more is handed out. The shell hangs up, then lets go of the log."""
        self.link.happened(Event.LEFT)
        self.inbox.clear()

    def let_go(self) -> None:
        """Let go of the log."""
        self._unread = b""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _greet(self) -> Steps[None]:
        self.let_go()  # of what an attempt that failed was passed
        yield Write(self.session.hello())
        while not self.session.greeted:
            received = yield Read(self.link.seconds_to_greet())
            if received is not None:
                self._took(received)

    def _follow(self, follower: Follower) -> Steps[None]:
        request = follower.request()
        if request:
            yield Write(request)
        if follower.awaits_region:
            yield from self._receive(SILENCE_SECONDS)
        elif self._busy_poll:
            if not follower.spin(_SPINS):
                received = yield Read(0)
                if received is not None:
                    self._took(received)
        elif follower.lie_down():
            yield from self._receive(SILENCE_SECONDS)
            follower.get_up()

    def _receive(self, seconds: float) -> Steps[None]:
        """Take what comes over the socket, and the descriptors that come with it."""
        received = yield Read(seconds)
        if received is None:
            raise ConnectionLostError(f"the relay at {self.link.path} was silent for {seconds} s")
        self._took(received)

    def _took(self, received: Received) -> None:
        """Take what the relay sent, and over the descriptors that came with it.

        The first two are the gauge and the reader's page; each later one is a region of the log.
        Raises :class:`TransportError` when they are not what the relay said.
        """
        chunk, rest = received
        if self.link.is_closed:  # while it was waited for
            _close(rest)
            self.link.require_open("subscriber")
        if self._follower is not None and not rest and self._follower.has_news():
            self._unread += chunk  # what woke us matters less than what for
            return
        chunk, self._unread = self._unread + chunk, b""
        try:
            self.inbox.put(self.session.receive(chunk))
            if self._follower is None and len(rest) >= 2 and self.session.mapped:
                self._follower = Follower(self.session, rest.pop(0), rest.pop(0))
            while self._follower is not None and rest and self.session.regions:
                self._follower.attach(rest.pop(0))
            if rest:
                raise TransportError("the relay passed descriptors that it did not announce")
        except (OSError, ValueError, OverflowError) as error:
            raise ConnectionLostError(f"cannot map what the relay passed: {error}") from error
        finally:
            _close(rest)
        self.inbox.reached(self.session.position, self.session.log_id)

    def _drain(self) -> None:
        """Read what a relay that is gone has left in its log."""
        if self._follower is not None:
            while batches := self._follower.read():
                self.inbox.put(batches)


class SubscriberFace:
    """What both subscribers tell of themselves."""

    _core: SubscriberCore

    @property
    def position(self) -> int:
        """Behind the last message, or batch, that was handed out."""
        return self._core.inbox.position

    @property
    def bookmark(self) -> Bookmark:
        """:attr:`position` with the log that it belongs to: store it, and ``start`` there."""
        return Bookmark(self._core.inbox.log_id, self.position)

    @property
    def session(self) -> SubscriberSession:
        """What is known of the stream: gaps, and every source's holes, repeats and restarts."""
        return self._core.session

    @property
    def gaps(self) -> int:
        """How often messages were lost."""
        return self._core.session.gaps

    @property
    def reconnects(self) -> int:
        """How often a lost connection was taken up again."""
        return self._core.link.reconnects


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
