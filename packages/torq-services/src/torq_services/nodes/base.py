"""What a node is.

A node takes messages and the time, and gives messages to its sink: it reads no clock, draws no
random number and opens nothing. Fed with the same messages at the same times it publishes the same
bytes, under a supervisor, in a test and in a replay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import msgspec

from torq_codec import Message
from torq_types import TLV, Domain

__all__ = ["Node", "Subscription"]


class Subscription(msgspec.Struct, frozen=True):
    """What a node reads of one domain."""

    domain: Domain
    types: tuple[type[TLV], ...] = ()
    """Messages without any of them are not delivered; empty is all."""
    start: Literal["live", "earliest"] = "live"


class Node(ABC):
    """Whoever runs a node calls it from one thread, and never from within its own calls."""

    subscriptions: ClassVar[tuple[Subscription, ...]]
    """One for each domain that it reads."""
    publishes: ClassVar[Domain]
    """The domain of everything that it gives to its sink."""

    @abstractmethod
    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        """Take one message of a subscribed domain; within a domain they come in the log's order.

        ``now_ns`` is UTC nanoseconds, here and below.
        """

    @abstractmethod
    def on_time(self, now_ns: int) -> None:
        """Called about ten times a second, whether or not anything came."""

    @abstractmethod
    def stop(self, now_ns: int) -> None:
        """The last call: take back what should not stand."""

    @abstractmethod
    def account(self) -> msgspec.Struct:
        """What it has done and how it stands, for its ``SystemHealth``."""
