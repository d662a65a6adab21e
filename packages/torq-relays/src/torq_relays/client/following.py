"""How a subscriber reads a log that it has mapped, without any socket."""

from __future__ import annotations

import os

from torq_relays.client.batch import Batch
from torq_relays.client.mapped import LappedError, MappedLog
from torq_relays.client.subscribing_session import SubscriberSession
from torq_relays.log.shared import Gauge, ReaderPage
from torq_relays.wire.control import RELAY_SOURCE, control_message
from torq_types import LogPosition, TransportError

__all__ = ["Follower"]

_CHUNK = 1 << 18
_LAPS = 3
"""Lapped so often in a row at the oldest message, a reader goes on at the newest."""


class Follower:
    """Moves a session along a mapped log, and its page with it."""

    def __init__(self, session: SubscriberSession, gauge: int, page: int) -> None:
        """Takes over the descriptors of the gauge and of the reader's page."""
        self._session = session
        try:
            self._gauge = Gauge(gauge)
        except TransportError:
            os.close(page)
            raise
        try:
            self._page = ReaderPage(page)
        except TransportError:
            self._gauge.close()
            raise
        self._log = MappedLog(self._gauge)
        self._chunk = _CHUNK
        self._laps = 0
        self._asked: int | None = None
        self._log_ended = False

    def attach(self, descriptor: int) -> None:
        """Use the region whose descriptor came with the session's next LogRegion."""
        region = self._session.regions.popleft()
        self._log.attach(descriptor, region.base, region.end, region.ring_bytes)
        self._asked = None
        self._log_ended = False

    def request(self) -> bytes:
        """What to send the relay so that reading can go on: nothing, most of the time."""
        position = self._session.position
        wanted = self._log.wants_segment_at(position) or (
            self._log_ended and self._gauge.tail > position
        )
        if not wanted or self._asked == position:
            return b""
        self._asked = position
        return control_message(self._session.domain, RELAY_SOURCE, LogPosition(position))

    @property
    def awaits_region(self) -> bool:
        """Whether nothing can be read before the relay has answered a request."""
        return self._asked is not None

    def read(self) -> list[Batch]:
        """What has been appended since the last call, or part of it.

        Raises :class:`TransportError` when the log is damaged.
        """
        session = self._session
        self._page.position = session.position
        if not self._log.is_attached or self._log.wants_segment_at(session.position):
            return []
        try:
            chunk = self._log.read(session.position, self._chunk)
        except LappedError:
            return [self._lapped()]
        self._log_ended = not chunk and self._gauge.tail > session.position
        if not chunk:
            return []
        self._laps = 0
        batches, needed = session.take(chunk)
        self._chunk = max(_CHUNK, needed)
        return batches

    def _lapped(self) -> Batch:
        self._laps += 1
        head = self._gauge.head if self._laps <= _LAPS else self._gauge.tail
        gap = self._session.lapped(max(head, self._session.position))
        self.report()
        return gap

    def report(self) -> None:
        """Let the relay see what was counted."""
        totals = self._session.ledger.totals()
        self._page.report(self._session.gaps, totals.holes, totals.repeats, totals.restarts)

    def has_news(self) -> bool:
        """Whether anything stands behind the session's position."""
        return self._gauge.tail > self._session.position

    def spin(self, rounds: int) -> bool:
        """Poll for news at most ``rounds`` times; whether there are any."""
        position = self._session.position
        return self._gauge.spin(position, rounds) > position

    def lie_down(self) -> bool:
        """Ask to be woken. False when there is news already: then there is nothing to wait for."""
        self._page.position = self._session.position
        self.report()
        self._page.is_waiting = True
        if self.has_news():
            self._page.is_waiting = False
            return False
        return True

    def get_up(self) -> None:
        """Not waiting any more."""
        self._page.is_waiting = False

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()
        self._page.close()
