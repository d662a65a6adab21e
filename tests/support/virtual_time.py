"""An event loop whose clock goes on by itself whenever nothing is left to do.

What waits for an hour takes no time, and nothing depends on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["in_virtual_time"]

Result = TypeVar("Result")


class _Selector(selectors.SelectSelector):
    """Does not wait: it lets the clock go on by as much."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen any more")
            self.now = round(
                self.now + timeout, 6
            )  # else sums of fractions come out before their time
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def in_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Run ``main`` to its end; the clock of its loop begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
