"""Which signals may become orders."""

from __future__ import annotations

from collections import deque

import msgspec

from torq_services.state.exact import compare
from torq_types import (
    ArbitrageSignal,
    Decimal64,
    Economics,
    RejectReason,
    SignalStatus,
)

__all__ = ["RiskGate", "RiskLimits"]

_MINUTE_NS = 60_000_000_000


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the executor's own, whatever a strategy believes; amounts in the quote currency."""

    max_notional: Decimal64
    min_net: Decimal64
    max_orders_per_minute: int
    cooldown_ns: int
    """An opportunity that lasts is executed again only after this long."""


class RiskGate:
    """Decides, and remembers what it let through."""

    def __init__(self, limits: RiskLimits) -> None:
        self._limits = limits
        self._approved_ns: deque[int] = deque()
        self._last_ns: dict[int, int] = {}
        self._now_ns = 0

    def decide(self, signal: ArbitrageSignal, economics: Economics, now_ns: int) -> RejectReason:
        """``NONE`` when the signal may be executed now; it then counts against the limits."""
        reason = self._objection(signal, economics, now_ns)
        if signal.status is SignalStatus.CLOSED:
            self._last_ns.pop(signal.opportunity_id, None)
        elif reason is RejectReason.NONE:
            self._approved_ns.append(now_ns)
            self._last_ns[signal.opportunity_id] = now_ns
        return reason

    def _objection(
        self, signal: ArbitrageSignal, economics: Economics, now_ns: int
    ) -> RejectReason:
        limits = self._limits
        self._follow_clock(now_ns)
        if signal.synthetic:
            return RejectReason.SYNTHETIC
        if signal.status is SignalStatus.CLOSED or now_ns >= signal.expires_ns:
            return RejectReason.EXPIRED
        if compare(economics.cost, economics.exponent, limits.max_notional) > 0:
            return RejectReason.NOTIONAL_LIMIT
        if economics.net <= 0 or compare(economics.net, economics.exponent, limits.min_net) < 0:
            return RejectReason.BELOW_MINIMUM_PROFIT
        last_ns = self._last_ns.get(signal.opportunity_id)
        if last_ns is not None and now_ns - last_ns < limits.cooldown_ns:
            return RejectReason.COOLDOWN
        while self._approved_ns and now_ns - self._approved_ns[0] >= _MINUTE_NS:
            self._approved_ns.popleft()
        # Every approval becomes two orders.
        if 2 * len(self._approved_ns) + 2 > limits.max_orders_per_minute:
            return RejectReason.RATE_LIMIT
        return RejectReason.NONE

    def _follow_clock(self, now_ns: int) -> None:
        """After a step back what was let through counts as let through now, not in an hour."""
        if now_ns < self._now_ns:
            self._approved_ns = deque(min(each, now_ns) for each in self._approved_ns)
            self._last_ns = {key: min(each, now_ns) for key, each in self._last_ns.items()}
        self._now_ns = now_ns
