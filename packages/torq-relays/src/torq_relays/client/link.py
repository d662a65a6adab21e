"""The life of a client's connection to its relay, without any I/O and without waiting.

Rules:

- A client is AWAY until a socket is open, GREETING until the relay has answered its hello, then UP.
  Whatever goes wrong brings it back to AWAY.
- While it is away it tries again, after pauses that grow, for as long as its patience lasts; then
  whoever waits for it is told, and the next who wants something may begin a new search.
- A relay that lets a client in and at once out again is not hammered at: the pause before the
  next attempt goes on growing until a connection has lasted.
- CLOSED is the end: nothing brings a client back from there.

Both publishers and both subscribers have one. What waits (opening, reading, pausing) is
the shell's: see :mod:`torq_relays.client.steps`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from torq_relays.client.backoff import Backoff
from torq_relays.client.steps import HangUp, Open, Pause, Steps
from torq_types import ConfigError, ConnectionLostError, RefusedError, TransportError

__all__ = ["Event", "Link", "State", "check_seconds"]


class State(Enum):
    """Where a client's connection stands."""

    AWAY = auto()
    """No socket is open."""
    GREETING = auto()
    """One is; the relay has not answered the hello."""
    UP = auto()
    """It has."""
    CLOSED = auto()
    """The client has left for good."""


class Event(Enum):
    """What happens to it."""

    OPENED = auto()
    GREETED = auto()
    LOST = auto()
    """The connection, or an attempt at one."""
    LEFT = auto()
    """The client wants no more."""


_NEXT: Final = {
    (State.AWAY, Event.OPENED): State.GREETING,
    (State.AWAY, Event.LOST): State.AWAY,
    (State.AWAY, Event.LEFT): State.CLOSED,
    (State.GREETING, Event.GREETED): State.UP,
    (State.GREETING, Event.LOST): State.AWAY,
    (State.GREETING, Event.LEFT): State.CLOSED,
    (State.UP, Event.LOST): State.AWAY,
    (State.UP, Event.LEFT): State.CLOSED,
    (State.CLOSED, Event.OPENED): State.CLOSED,
    (State.CLOSED, Event.GREETED): State.CLOSED,
    (State.CLOSED, Event.LOST): State.CLOSED,
    (State.CLOSED, Event.LEFT): State.CLOSED,
}
"""Everything that can happen; what is not here never does."""

_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
"""For a relay that has accepted a connection to answer its hello, at most."""
_SETTLED_SECONDS: Final = 1.0
"""A connection that lasted so long was a good one."""


class Link:
    """State, patience and counts of one client's connection."""

    def __init__(
        self,
        path: Path,
        timeout: float,
        *,
        retries_refusals: bool,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        """``timeout`` is the patience of a search for the relay, in seconds.

        ``retries_refusals`` is for those whose refusal may pass: a source that is in use is free
        again when its last publisher's connection is gone.
        """
        self.path = path
        self.timeout = timeout
        self.state = State.AWAY
        self.connections = 0
        """How often the relay has answered a hello."""
        self.problem = ""
        """What last went wrong, in words; empty while nothing did."""
        self.answer_seconds = _ANSWER_SECONDS
        """How long the search that is under way waits for the answer to a hello."""
        self._searches = 0
        self._retries_refusals = retries_refusals
        self._clock = clock
        self._backoff = backoff or Backoff(first=_FIRST_PAUSE_SECONDS, most=_LONGEST_PAUSE_SECONDS)
        self._up_since: float | None = None
        self._opened_at = 0.0
        self._changing = threading.RLock()

    @property
    def is_up(self) -> bool:
        """Whether the relay has answered, and has not been lost since."""
        return self.state is State.UP

    @property
    def is_closed(self) -> bool:
        """Whether the client has left."""
        return self.state is State.CLOSED

    @property
    def reconnects(self) -> int:
        """How often a lost connection was taken up again."""
        return max(self.connections - 1, 0)

    def happened(self, event: Event) -> None:
        """Go where ``event`` leads."""
        with self._changing:  # who leaves in another thread must not be brought back
            following = _NEXT.get((self.state, event))
            if following is None:
                state = self.state
                raise RuntimeError(f"{event.name} cannot happen to a connection that is {state}")
            if following is State.UP:
                self.connections += 1
                self.problem = ""
                self._up_since = self._clock()
            elif following is State.GREETING:
                self._opened_at = self._clock()
            self.state = following

    def seconds_to_greet(self) -> float:
        """How long to wait on for the answer to the hello, whatever else the relay says meanwhile.

        Raises :class:`ConnectionLostError` when it is overdue.
        """
        left = self._opened_at + self.answer_seconds - self._clock()
        if left <= 0:
            raise ConnectionLostError(
                f"the relay at {self.path} does not answer a hello (waited {self.answer_seconds} s)"
            )
        return left

    def was_forked(self) -> None:
        """In the child: another thread of the parent's may have been in the middle of a change."""
        self._changing = threading.RLock()

    def require_open(self, what: str) -> None:
        """Raises :class:`ConnectionLostError` when the client, a ``what``, was closed."""
        if self.state is State.CLOSED:
            raise ConnectionLostError(f"this {what} is closed; connect another")

    def connect(
        self, greet: Callable[[], Steps[None]], patience: float | None = None
    ) -> Steps[None]:
        """Leave what there is, and search until the relay has answered ``greet``.

        For ``patience`` seconds, by default the client's own. Returns early when the client leaves
        meanwhile. Raises :class:`TransportError` when patience is over, with what went wrong last;
        a :class:`RefusedError` at once unless refusals may pass.
        """
        self._searches += 1
        mine = self._searches
        seconds = self.timeout if patience is None else patience
        deadline = self._clock() + seconds
        # No patience is one attempt, and the usual time for its answer.
        self.answer_seconds = min(_ANSWER_SECONDS, seconds or _ANSWER_SECONDS)
        yield from self._hang_up()
        pause = self._first_pause()
        while True:
            if pause and not self._is_settled_without(mine):
                yield Pause(pause)
            if self._is_settled_without(mine):
                break
            try:
                yield Open()
                if self.is_closed:
                    break
                if self._searches != mine:  # whose socket this is, nobody can tell
                    mine, pause = self._searches, 0.0
                    yield from self._hang_up()
                    continue
                self.happened(Event.OPENED)
                yield from greet()
            except TransportError as error:
                if self._is_settled_without(mine):
                    break
                self.problem = str(error)
                yield from self._hang_up()
                is_final = isinstance(error, RefusedError) and not self._retries_refusals
                if is_final or self._clock() >= deadline:
                    raise
                pause = self.next_pause()
            else:
                if not self._is_settled_without(mine):
                    self.happened(Event.GREETED)
                break
        if self.is_closed:
            yield HangUp()

    def _is_settled_without(self, search: int) -> bool:
        """Whether ``search`` has nothing left to do: the client left, or a later search did it.

        A signal handler that sends, in the middle of a search, makes one of its own.
        """
        return self.is_closed or (self._searches != search and self.is_up)

    def next_pause(self) -> float:
        """Seconds before the next attempt, or before the next search."""
        return self._backoff.next_delay()

    def _hang_up(self) -> Steps[None]:
        self.happened(Event.LOST)
        yield HangUp()

    def _first_pause(self) -> float:
        """Before the first attempt: 0, unless the last connection did not last."""
        up_since, self._up_since = self._up_since, None
        if up_since is None:
            return 0.0
        if self._clock() - up_since <= _SETTLED_SECONDS:
            return self._backoff.next_delay()
        self._backoff.reset()
        return 0.0


def check_seconds(timeout: float) -> None:
    """Raises :class:`ConfigError` for a patience that is none: negative, or no number."""
    if not isinstance(timeout, int | float) or not timeout >= 0:
        raise ConfigError(f"found timeout {timeout!r}; expected seconds, 0 or more")
