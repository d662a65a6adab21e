"""What the blocking and the asyncio subscriber have in common: everything but waiting."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from torq_relays.client.following import Follower
from torq_relays.client.inbox import Inbox
from torq_relays.client.subscribing_session import SubscriberSession
from torq_relays.log.bookmark import Bookmark
from torq_types import TransportError

__all__ = ["RECEIVE", "SubscriberBase"]

RECEIVE = 1 << 18
"""Bytes taken from the socket at a time."""


class SubscriberBase:
    """A session, its socket, the log that it follows, and what was not handed out yet."""

    def __init__(self, session: SubscriberSession, path: Path, timeout: float) -> None:
        self._session = session
        self._path = path
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._follower: Follower | None = None
        self._inbox = Inbox(session.position, session.log_id)
        self._unread = b""
        """What the relay said beside the log, while there was something to read in it."""
        self._closed = False
        self.reconnects = 0
        """How often a lost connection was taken up again."""

    @property
    def position(self) -> int:
        """Behind the last message, or batch, that was handed out."""
        return self._inbox.position

    @property
    def bookmark(self) -> Bookmark:
        """:attr:`position` with the log that it belongs to: store it, and ``start`` there."""
        return Bookmark(self._inbox.log_id, self.position)

    @property
    def session(self) -> SubscriberSession:
        """What is known of the stream: gaps, and every source's holes, repeats and restarts."""
        return self._session

    @property
    def gaps(self) -> int:
        """How often messages were lost."""
        return self._session.gaps

    def __del__(self) -> None:
        # A loop over Subscriber.connect(...) leaves nobody else to close it.
        self._disconnect()

    def _took(self, chunk: bytes, descriptors: list[int]) -> None:
        """Take what the relay sent, and over the descriptors that came with it.

        The first two are the gauge and the reader's page; each later one is a region of the log.
        Raises :class:`TransportError` when they are not what the relay said.
        """
        if self._follower is not None and not descriptors and self._follower.has_news():
            self._unread += chunk  # what woke us matters less than what for
            return
        chunk, self._unread = self._unread + chunk, b""
        rest = list(descriptors)
        try:
            self._inbox.put(self._session.receive(chunk))
            if self._follower is None and len(rest) >= 2 and self._session.mapped:
                self._follower = Follower(self._session, rest.pop(0), rest.pop(0))
            while self._follower is not None and rest and self._session.regions:
                self._follower.attach(rest.pop(0))
            if rest:
                raise TransportError("the relay passed descriptors that it did not announce")
        finally:
            for descriptor in rest:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._inbox.reached(self._session.position, self._session.log_id)

    def _read(self, follower: Follower) -> bool:
        """Put what the log holds, or else what the relay said beside it, into the inbox."""
        batches = follower.read()
        self._inbox.put(batches)
        if batches:
            return True
        if self._unread:
            unread, self._unread = self._unread, b""
            self._inbox.put(self._session.receive(unread))
            return True
        self._inbox.reached(self._session.position, self._session.log_id)
        return False

    def _drain(self) -> None:
        """Read what a relay that is gone has left in its log."""
        if self._follower is not None:
            while batches := self._follower.read():
                self._inbox.put(batches)

    def _disconnect(self) -> None:
        self._unread = b""
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
