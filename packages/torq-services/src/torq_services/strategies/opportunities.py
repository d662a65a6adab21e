"""An opportunity's life: opened, updated while it lasts, closed with a reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import msgspec

from torq_relays import MessageSink
from torq_types import (
    TLV,
    CloseReason,
    Domain,
    Header,
    SignalIdentity,
    SignalStatus,
    StateReference,
)

__all__ = ["Opportunities", "Stage"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Stage(msgspec.Struct, frozen=True):
    """Where an opportunity stands in its life; what every signal says of it."""

    opportunity_id: int
    opened_ns: int
    expires_ns: int
    duration_ns: int
    status: SignalStatus
    close_reason: CloseReason


class _Open(msgspec.Struct, Generic[V]):
    opportunity_id: int
    opened_ns: int
    announced_ns: int
    announced: V
    current: V
    cause: Header


class Opportunities(Generic[K, V]):
    """Announces changes, and nothing but changes.

    ``K`` is what makes two opportunities the same, ``V`` what one is worth; ``describe`` puts both
    into the TLVs of a signal. An opportunity that stands still is announced once. Its updates are
    announced at most every ``update_interval_ns``; the last one is never left out, only late.
    """

    def __init__(
        self,
        sink: MessageSink,
        identity: SignalIdentity,
        describe: Callable[[K, V, Stage], tuple[TLV, ...]],
        *,
        first_id: int,
        time_to_live_ns: int,
        update_interval_ns: int,
    ) -> None:
        self._sink = sink
        self._identity = identity
        self._describe = describe
        self._next_id = first_id
        self._time_to_live_ns = time_to_live_ns
        self._update_interval_ns = update_interval_ns
        self._open: dict[K, _Open[V]] = {}
        self.opened = 0
        self.updated = 0
        self.closed = 0

    @property
    def open_keys(self) -> tuple[K, ...]:
        """What is open."""
        return tuple(self._open)

    @property
    def open_values(self) -> tuple[tuple[K, V], ...]:
        """What is open, and what it is worth now."""
        return tuple((key, known.current) for key, known in self._open.items())

    def found(self, key: K, value: V, cause: Header, now_ns: int) -> None:
        """``key`` pays: open it, or note what it pays now."""
        known = self._open.get(key)
        if known is None:
            opened = _Open(self._next_id, now_ns, now_ns, value, value, cause)
            self._next_id += 1
            self._open[key] = opened
            self.opened += 1
            self._announce(key, opened, SignalStatus.OPENED, now_ns)
            return
        known.current = value
        known.cause = cause
        self._update(key, known, now_ns)

    def ended(self, key: K, reason: CloseReason, cause: Header | None, now_ns: int) -> None:
        """``key`` does not pay any more, or cannot be trusted to."""
        known = self._open.pop(key, None)
        if known is None:
            return
        known.cause = cause or known.cause
        self.closed += 1
        self._announce(key, known, SignalStatus.CLOSED, now_ns, reason)

    def time_passed(self, now_ns: int) -> None:
        """Announce updates that had to wait."""
        for key, known in self._open.items():
            self._update(key, known, now_ns)

    def _update(self, key: K, known: _Open[V], now_ns: int) -> None:
        if known.current == known.announced:
            return
        # A clock that was set back does not hold an update up.
        if 0 <= now_ns - known.announced_ns < self._update_interval_ns:
            return
        known.announced = known.current
        known.announced_ns = now_ns
        self.updated += 1
        self._announce(key, known, SignalStatus.UPDATED, now_ns)

    def _announce(
        self,
        key: K,
        known: _Open[V],
        status: SignalStatus,
        now_ns: int,
        reason: CloseReason = CloseReason.NONE,
    ) -> None:
        is_closed = status is SignalStatus.CLOSED
        stage = Stage(
            known.opportunity_id,
            known.opened_ns,
            now_ns if is_closed else now_ns + self._time_to_live_ns,
            max(0, now_ns - known.opened_ns),
            status,
            reason,
        )
        cause = StateReference(
            known.cause.sequence, known.cause.timestamp_ns, known.cause.source, Domain.MARKET_DATA
        )
        self._sink.send(*self._describe(key, known.current, stage), cause, self._identity)
