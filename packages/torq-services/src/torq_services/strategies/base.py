"""What a strategy is: it sees the market change, and it sees time pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from torq_types import Header, InstrumentId

__all__ = ["Strategy"]


class Strategy(ABC):
    """Rules on top of a :class:`torq_services.state.MarketState`; no I/O of its own.

    Time comes in as an argument, so that a replay gives the same signals.
    """

    name: ClassVar[str]
    version: ClassVar[str]

    @abstractmethod
    def market_changed(self, changed: Iterable[InstrumentId], cause: Header, now_ns: int) -> None:
        """Books changed or went stale because of the message with header ``cause``."""

    @abstractmethod
    def time_passed(self, now_ns: int) -> None:
        """Called several times a second, whether or not anything changed."""

    @abstractmethod
    def shut_down(self, now_ns: int) -> None:
        """The last call: take back what should not stand."""

    @abstractmethod
    def account(self) -> msgspec.Struct:
        """What it has done and how it stands, for its ``SystemHealth``."""
