"""Keeping within what an exchange allows: token buckets, and a breaker for when it says no."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["CircuitBreaker", "TokenBucket", "VenueLimits"]


class VenueLimits(msgspec.Struct, frozen=True):
    """What an exchange documents, for one connection and one address."""

    messages_per_second: int
    """WebSocket messages that a client may send."""
    weight_per_minute: int
    """REST requests, in the exchange's own weights (1 each where it has none)."""


class TokenBucket:
    """``amount`` may be spent in ``seconds``; what is saved up is at most that."""

    def __init__(self, amount: int, seconds: float) -> None:
        self._most = amount
        self._seconds = seconds
        self._saved = amount / 1  # not money: a count of requests, saved up in fractions
        self._at: float | None = None

    def spend(self, now: float, cost: int = 1) -> float:
        """Spend ``cost``; returns the seconds to wait before doing what it pays for.

        A cost above the whole allowance is let through once the bucket is full.
        """
        if self._at is not None:
            earned = (now - self._at) * self._most / self._seconds  # not money: as above
            self._saved = min(self._most, self._saved + earned)
        self._at = now
        self._saved -= min(cost, self._most)
        return max(0.0, -self._saved * self._seconds / self._most)  # not money: seconds


class CircuitBreaker:
    """Stops trying for a while, after too many failures in a row or when the exchange says so.

    *Closed*: go on. *Open*: do not try. *Half open*, after failures: one try decides. A pause that
    the exchange asked for is simply over when it is over.
    """

    def __init__(self, failures: int = 8, open_seconds: float = 15.0) -> None:
        self._allowed = failures
        self._open_seconds = open_seconds
        self._failures = 0
        self._open_until = 0.0
        self._is_on_trial = False
        self.trips = 0

    def state(self, now: float) -> Literal["closed", "open", "half open"]:
        """At ``now``, in the seconds of any monotonic clock."""
        if now < self._open_until:
            return "open"
        return "half open" if self._is_on_trial else "closed"

    def remaining(self, now: float) -> float:
        """Seconds for which nothing should be tried."""
        return max(0.0, self._open_until - now)

    def failed(self, now: float) -> None:
        """A try failed: opens after too many in a row, and at once when half open."""
        self._failures += 1
        if self._failures >= self._allowed or self.state(now) == "half open":
            self._is_on_trial = True
            self.pause(now, self._open_seconds)

    def pause(self, now: float, seconds: float) -> None:
        """Open for ``seconds``: the exchange asked for it."""
        self.trips += 1
        self._failures = 0
        self._open_until = max(now + seconds, self._open_until)

    def succeeded(self) -> None:
        """A try succeeded; a pause that is under way goes on."""
        self._failures = 0
        self._is_on_trial = False
