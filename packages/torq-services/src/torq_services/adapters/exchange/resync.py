"""When to ask for a fresh snapshot of one instrument, and when not to yet."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

import msgspec

__all__ = ["ResyncPolicy", "Resynchroniser"]


class ResyncPolicy(msgspec.Struct, frozen=True):
    """Times in seconds."""

    first: float = 0.5
    """Between the first request and a second one, if the first did not help; then it doubles."""
    most: float = 60.0
    patience: float = 10.0
    """How long a snapshot may be on its way before it is asked for again."""
    calm: float = 60.0
    """A book that stayed verified for so long starts from ``first`` again."""
    unanswered: int = 3
    """After so many requests in a row without a snapshot the connection is given up."""


class _Entry:
    __slots__ = ("asked_at", "attempts", "is_wanted", "not_before", "unanswered", "verified_at")

    def __init__(self) -> None:
        self.is_wanted = False
        self.not_before = 0.0
        self.asked_at = 0.0
        self.attempts = 0
        self.unanswered = 0
        self.verified_at: float | None = None


class Resynchroniser:
    """Each instrument has its own delays, so that one that cannot be had costs no other anything,
    and none is asked for again and again without a pause."""

    def __init__(
        self,
        policy: ResyncPolicy,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance or random.Random()
        self._entries: dict[str, _Entry] = {}
        self.requests = 0

    def subscribed(self, symbols: Iterable[str]) -> None:
        """A new connection: every snapshot is on its way."""
        now = self._clock()
        for symbol in symbols:
            entry = self._entries.setdefault(symbol, _Entry())
            entry.is_wanted, entry.unanswered = True, 0
            entry.asked_at, entry.not_before = now, now + self._policy.patience

    def doubted(self, symbol: str) -> None:
        """The instrument needs a snapshot."""
        entry = self._entries.setdefault(symbol, _Entry())
        now = self._clock()
        if entry.is_wanted:
            # Asked for and not there yet; or the answer itself was no good: the delay stands.
            entry.not_before = min(entry.not_before, entry.asked_at + self._delay(entry))
            return
        if entry.verified_at is not None and now - entry.verified_at >= self._policy.calm:
            entry.attempts = 0
        entry.is_wanted = True
        entry.verified_at = None
        entry.not_before = entry.asked_at + self._delay(entry) if entry.attempts else now

    def verified(self, symbol: str) -> None:
        """The snapshot is there, and sound."""
        entry = self._entries.setdefault(symbol, _Entry())
        entry.is_wanted, entry.unanswered = False, 0
        entry.verified_at = self._clock()

    def due(self) -> list[str]:
        """The instruments to ask for now; they count as asked for."""
        now = self._clock()
        ready = [s for s, e in self._entries.items() if e.is_wanted and now >= e.not_before]
        for symbol in ready:
            entry = self._entries[symbol]
            entry.attempts += 1
            entry.unanswered += 1
            entry.asked_at = now
            entry.not_before = now + max(self._policy.patience, self._delay(entry))
        self.requests += len(ready)
        return ready

    def next_due(self) -> float | None:
        """Seconds until something is due; None when nothing is wanted."""
        waiting = [entry.not_before for entry in self._entries.values() if entry.is_wanted]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    @property
    def is_hopeless(self) -> bool:
        """Whether this connection does not answer any more."""
        return any(
            entry.is_wanted and entry.unanswered > self._policy.unanswered
            for entry in self._entries.values()
        )

    def _delay(self, entry: _Entry) -> float:
        """With jitter: a venue's hiccup must not bring every client back in the same moment."""
        doublings = min(max(0, entry.attempts - 1), 20)
        ceiling = min(self._policy.most, self._policy.first * 2**doublings)
        return self._chance.uniform(ceiling / 2, ceiling)
