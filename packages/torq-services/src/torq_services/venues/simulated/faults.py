"""What can go wrong between an exchange and its client, on purpose and the same for a seed."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

import msgspec

__all__ = [
    "Abort", "Action", "Close", "Dialect", "Fault", "FaultLine", "Fragments", "Stall", "Text",
    "Wait", "fault_plan",
]  # fmt: skip

_STRUCTURE = '{}[]"'
_DIGITS = "0123456789"


class Fault(Enum):
    """A fault, done to the message whose turn it is."""

    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    CORRUPT = "corrupt"
    TRUNCATE = "truncate"
    SPLIT = "split"
    CHECKSUM = "wrong checksum"
    SEQUENCE_JUMP = "sequence jump"
    DISCONNECT = "disconnect in the middle of a message"
    SNAPSHOT_DISCONNECT = "disconnect in the middle of a snapshot"
    STALL = "silent stall"
    RATE_LIMIT = "rate limit error"
    MAINTENANCE = "maintenance message"
    DAY_OVER = "24 hour disconnect"
    UNKNOWN = "unknown message type"
    SCIENTIFIC = "a number in scientific notation"
    DIGITS = "a quantity of twenty digits"


class Text(msgspec.Struct, frozen=True):
    """Send this message."""

    text: str


class Fragments(msgspec.Struct, frozen=True):
    """Send this message in several frames."""

    parts: tuple[str, ...]


class Wait(msgspec.Struct, frozen=True):
    """Do nothing for a while."""

    seconds: float


class Abort(msgspec.Struct, frozen=True):
    """Break the connection off, after the beginning of a frame."""

    beginning: str


class Close(msgspec.Struct, frozen=True):
    """Close the connection in an orderly way."""

    code: int
    reason: str


class Stall(msgspec.Struct, frozen=True):
    """Say nothing any more, and leave the connection open."""


Action = Text | Fragments | Wait | Abort | Close | Stall


class Dialect(Protocol):
    """What a fault needs to know of an exchange's messages."""

    def is_snapshot(self, text: str) -> bool:
        """Whether this is a whole book."""

    def with_wrong_checksum(self, text: str) -> str | None:
        """The same with another checksum; None where there is none."""

    def with_sequence_jump(self, text: str) -> str | None:
        """The same with a later number, and all after it too; None where there are none."""

    def with_quantity(self, text: str, quantity: str) -> str | None:
        """The same with another quantity in its first level; None where there is none."""

    def rate_limit(self) -> str:
        """What it says to those who ask too often."""

    def maintenance(self) -> str | None:
        """What it says before maintenance; None where it just closes connections."""

    def unknown(self) -> str | None:
        """A message of a kind that nobody has heard of; None where it will come by itself."""

    @property
    def proves_digits(self) -> bool:
        """Whether a changed digit can be seen, by a checksum."""


def fault_plan(seed: int, kinds: Iterable[Fault], span: int, count: int) -> dict[int, Fault]:
    """``count`` faults at places up to ``span`` in the stream of messages."""
    chance = random.Random(seed)
    choice = sorted(kinds, key=lambda kind: kind.value)
    places = chance.sample(range(1, span), count)
    return {place: chance.choice(choice) for place in places}


class FaultLine:
    """Stands between a venue and its clients: the n-th message of all gets the plan's fault."""

    def __init__(self, plan: dict[int, Fault], dialect: Dialect, seed: int) -> None:
        self._waiting = dict(plan)
        self._places = sorted(plan)
        self._dialect = dialect
        self._chance = random.Random(seed)
        self._count = 0
        self._held: str | None = None
        self._is_breaking_off = False
        self.done: list[tuple[int, Fault]] = []
        """What was done, and to which message."""
        self.on_done: Callable[[int, Fault], None] | None = None
        """Told of each, before anything is sent."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will go wrong."""
        return not self._waiting and self._held is None

    def new_connection(self) -> None:
        """What was held back belonged to the last one."""
        self._held = None

    def call_off(self) -> None:
        """Let everything pass from now on."""
        self._waiting.clear()
        self._places.clear()

    def actions(self, text: str) -> list[Action]:
        """What to do instead of sending ``text``."""
        self._count += 1
        held, self._held = self._held, None
        actions = self._actions(text)
        return [*actions, Text(held)] if held is not None else actions

    def _actions(self, text: str) -> list[Action]:
        for place in self._places[: bisect_right(self._places, self._count)]:
            fault = self._waiting[place]
            if fault is Fault.SNAPSHOT_DISCONNECT and not self._dialect.is_snapshot(text):
                if self._is_breaking_off:
                    continue
                # Whoever comes back gets the snapshot that breaks off.
                self._is_breaking_off = True
                return [Abort("")]
            actions = self._apply(fault, text)
            if actions is not None:
                del self._waiting[place]
                self._places.remove(place)
                self._is_breaking_off &= fault is not Fault.SNAPSHOT_DISCONNECT
                self.done.append((self._count, fault))
                if self.on_done is not None:
                    self.on_done(self._count, fault)
                return actions
        return [Text(text)]

    def _apply(self, fault: Fault, text: str) -> list[Action] | None:
        """The actions, or None to wait for a message that this can be done to."""
        dialect, cut = self._dialect, self._chance.randrange(1, max(2, len(text) - 1))
        if fault is Fault.DROP:
            return []
        if fault is Fault.DELAY:
            return [Wait(0.05), Text(text)]
        if fault is Fault.DUPLICATE:
            return [Text(text), Text(text)]
        if fault is Fault.REORDER:
            self._held = text
            return []
        if fault is Fault.CORRUPT:
            return [Text(self._corrupted(text))]
        if fault is Fault.TRUNCATE:
            return [Text(text[:cut])]
        if fault is Fault.SPLIT:
            middle = (cut + len(text)) // 2
            return [Fragments((text[:cut], text[cut:middle], text[middle:]))]
        if fault in (Fault.DISCONNECT, Fault.SNAPSHOT_DISCONNECT):
            return [Abort(text[:cut])]
        if fault is Fault.STALL:
            return [Stall()]
        if fault is Fault.RATE_LIMIT:
            return [Text(dialect.rate_limit()), Text(text)]
        if fault is Fault.MAINTENANCE:
            said = dialect.maintenance()
            return [Close(1012, "maintenance")] if said is None else [Text(said), Text(text)]
        if fault is Fault.DAY_OVER:
            return [Close(1001, "24 hours are over")]
        if fault is Fault.UNKNOWN:
            said = dialect.unknown()
            return [Text(text)] if said is None else [Text(said), Text(text)]
        return self._rewritten(fault, text)

    def _rewritten(self, fault: Fault, text: str) -> list[Action] | None:
        dialect = self._dialect
        if fault is Fault.CHECKSUM:
            changed = dialect.with_wrong_checksum(text)
        elif fault is Fault.SEQUENCE_JUMP:
            changed = dialect.with_sequence_jump(text)
        elif fault is Fault.SCIENTIFIC:
            changed = dialect.with_quantity(text, "1.5e-7")
        else:
            changed = dialect.with_quantity(text, "12345678901.234567891")
        return None if changed is None else [Text(changed)]

    def _corrupted(self, text: str) -> str:
        """One character replaced: one that holds the message together, or a digit where a
        checksum would show it. Elsewhere a changed digit cannot be seen by anybody."""
        meant = _STRUCTURE + (_DIGITS if self._dialect.proves_digits else "")
        at = self._chance.choice([at for at, old in enumerate(text) if old in meant])
        new = str((int(text[at]) + 1) % 10) if text[at] in _DIGITS else "~"
        return text[:at] + new + text[at + 1 :]
