"""How long to wait before the next attempt."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Exponential, with full jitter: many clients that lost one server do not return as one."""

    def __init__(self, *, first: float, most: float, chance: random.Random | None = None) -> None:
        """``first`` and ``most`` are the bounds of the delay's ceiling, in seconds."""
        self._first = first
        self._most = most
        self._ceiling = first
        self._chance = chance or random.Random()

    def next_delay(self) -> float:
        """Seconds to wait: between half the ceiling and the ceiling, which doubles each time."""
        ceiling = self._ceiling
        self._ceiling = min(self._most, ceiling * 2)
        return self._chance.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """Begin anew: the last attempt succeeded."""
        self._ceiling = self._first
