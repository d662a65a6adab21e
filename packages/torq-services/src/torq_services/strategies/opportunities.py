"""An opportunity's life: opened, updated while it lasts, closed with a reason."""

from __future__ import annotations

import msgspec

from torq_relays import MessageSink
from torq_services.strategies.crossing import Crossing
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Domain,
    Economics,
    Header,
    InstrumentId,
    SignalIdentity,
    SignalStatus,
    StateReference,
)

__all__ = ["Opportunities", "Pair"]


class Pair(msgspec.Struct, frozen=True):
    """Where to buy, where to sell, and the currency of the profit."""

    buy: InstrumentId
    sell: InstrumentId
    currency: str


class _Open(msgspec.Struct):
    opportunity_id: int
    opened_ns: int
    announced_ns: int
    announced: Crossing
    current: Crossing
    cause: Header


class Opportunities:
    """Announces changes, and nothing but changes.

    An opportunity that stands still is announced once. Its updates are announced at most every
    ``update_interval_ns``; the last one is never left out, only late.
    """

    def __init__(
        self,
        sink: MessageSink,
        identity: SignalIdentity,
        *,
        first_id: int,
        time_to_live_ns: int,
        update_interval_ns: int,
    ) -> None:
        self._sink = sink
        self._identity = identity
        self._next_id = first_id
        self._time_to_live_ns = time_to_live_ns
        self._update_interval_ns = update_interval_ns
        self._open: dict[Pair, _Open] = {}
        self.opened = 0
        self.updated = 0
        self.closed = 0

    @property
    def open_pairs(self) -> tuple[Pair, ...]:
        """The pairs with an open opportunity."""
        return tuple(self._open)

    def found(self, pair: Pair, crossing: Crossing, cause: Header, now_ns: int) -> None:
        """``pair`` pays: open it, or note what it pays now."""
        known = self._open.get(pair)
        if known is None:
            opened = _Open(self._next_id, now_ns, now_ns, crossing, crossing, cause)
            self._next_id += 1
            self._open[pair] = opened
            self.opened += 1
            self._announce(pair, opened, SignalStatus.OPENED, now_ns)
            return
        known.current = crossing
        known.cause = cause
        self._update(pair, known, now_ns)

    def ended(self, pair: Pair, reason: CloseReason, cause: Header | None, now_ns: int) -> None:
        """``pair`` does not pay any more, or cannot be trusted to."""
        known = self._open.pop(pair, None)
        if known is None:
            return
        known.cause = cause or known.cause
        self.closed += 1
        self._announce(pair, known, SignalStatus.CLOSED, now_ns, reason)

    def time_passed(self, now_ns: int) -> None:
        """Announce updates that had to wait."""
        for pair, known in self._open.items():
            self._update(pair, known, now_ns)

    def _update(self, pair: Pair, known: _Open, now_ns: int) -> None:
        if known.current == known.announced:
            return
        if now_ns - known.announced_ns < self._update_interval_ns:
            return
        known.announced = known.current
        known.announced_ns = now_ns
        self.updated += 1
        self._announce(pair, known, SignalStatus.UPDATED, now_ns)

    def _announce(
        self,
        pair: Pair,
        known: _Open,
        status: SignalStatus,
        now_ns: int,
        reason: CloseReason = CloseReason.NONE,
    ) -> None:
        crossing = known.current
        is_closed = status is SignalStatus.CLOSED
        self._sink.send(
            ArbitrageSignal(
                pair.buy,
                pair.sell,
                known.opportunity_id,
                known.opened_ns,
                now_ns if is_closed else now_ns + self._time_to_live_ns,
                now_ns - known.opened_ns,
                crossing.size,
                crossing.buy_price,
                crossing.sell_price,
                status,
                reason,
            ),
            Economics(
                crossing.gross,
                crossing.fees,
                0,
                crossing.net,
                crossing.cost,
                crossing.exponent,
                pair.currency,
            ),
            StateReference(
                known.cause.sequence,
                known.cause.timestamp_ns,
                known.cause.source,
                Domain.MARKET_DATA,
            ),
            self._identity,
        )
