"""What a client's core asks of its shell: the only things that wait.

The core of a publisher or a subscriber says what to do next; its shell does it, blocking or in an
event loop, and says what came of it. What the core does over several such steps is a generator:
it yields a step and gets back the result, or the :class:`TransportError` that the step ended in.
So the order of things is written once, and a shell is a loop over steps and nothing more.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import msgspec

__all__ = ["HangUp", "Open", "Pause", "Read", "Received", "Step", "Steps", "Write"]

T = TypeVar("T")


class Open(msgspec.Struct, frozen=True):
    """Open a socket to the relay. Ends in a :class:`TransportError` when nobody answers there."""


class Write(msgspec.Struct, frozen=True):
    """Send these bytes. Ends in a :class:`ConnectionLostError` when they cannot be sent."""

    data: bytes | memoryview


class Read(msgspec.Struct, frozen=True):
    """Wait until the relay has said something; the result is that, or None after ``seconds``.

    Ends in a :class:`ConnectionLostError` when the relay has hung up.
    """

    seconds: float
    """0 takes what is there already."""


class Pause(msgspec.Struct, frozen=True):
    """Let time pass."""

    seconds: float


class HangUp(msgspec.Struct, frozen=True):
    """Close the socket, if one is open."""


Step = Open | Write | Read | Pause | HangUp
Received = tuple[bytes, list[int]]
"""Bytes, and the descriptors that came with them: the receiver's to close."""
Steps = Generator[Step, "Received | None", T]
