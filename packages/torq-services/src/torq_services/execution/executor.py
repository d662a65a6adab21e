"""From a signal to two orders, and from their fills to what was realised."""

from __future__ import annotations

import msgspec

from torq_relays import MessageSink
from torq_services.execution.paper import PaperVenue
from torq_services.execution.risk import RiskGate
from torq_types import (
    ArbitrageSignal,
    Domain,
    Economics,
    ExecutionReport,
    Fill,
    Header,
    OrderRequest,
    RejectReason,
    RiskDecision,
    Side,
    SignalStatus,
    StateReference,
)

__all__ = ["Executor", "ExecutorCounters"]

_MAX_WAITING = 1000


class ExecutorCounters(msgspec.Struct):
    """What the executor did; travels in its SystemHealth."""

    signals: int = 0
    approved: int = 0
    rejected: int = 0
    orders: int = 0
    fills: int = 0
    reports: int = 0


class _Execution(msgspec.Struct):
    economics: Economics
    orders: dict[int, Side]
    fills: dict[int, tuple[Fill, ...]]


class Executor:
    """Decides on signals and carries out orders on paper; all it says goes to one sink."""

    def __init__(
        self, gate: RiskGate, paper: PaperVenue, sink: MessageSink, *, first_order_id: int = 1
    ) -> None:
        self._gate = gate
        self._paper = paper
        self._sink = sink
        self._next_order_id = first_order_id
        self._waiting: dict[int, _Execution] = {}
        self.counters = ExecutorCounters()

    def on_signal(
        self, signal: ArbitrageSignal, economics: Economics, header: Header, now_ns: int
    ) -> None:
        """Publish the decision on a signal, and its two orders when it is approved."""
        self.counters.signals += 1
        reason = self._gate.decide(signal, economics, now_ns)
        if signal.status is SignalStatus.CLOSED:
            return
        cause = _reference(header)
        approved = reason is RejectReason.NONE
        self._sink.send(RiskDecision(signal.opportunity_id, approved, reason), cause)
        if not approved:
            self.counters.rejected += 1
            return
        self.counters.approved += 1
        execution = _Execution(economics, {}, {})
        for side, instrument, price in (
            (Side.BUY, signal.buy_instrument, signal.buy_price),
            (Side.SELL, signal.sell_instrument, signal.sell_price),
        ):
            order = OrderRequest(
                instrument,
                self._next_order_id,
                signal.opportunity_id,
                signal.size,
                price,
                signal.expires_ns,
                side,
            )
            self._next_order_id += 1
            execution.orders[order.order_id] = side
            self._waiting[order.order_id] = execution
            self.counters.orders += 1
            self._sink.send(order, cause)
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))

    def on_order(self, order: OrderRequest, header: Header, now_ns: int) -> None:
        """Carry out an order that came back from the execution relay; report when both are done."""
        execution = self._waiting.pop(order.order_id, None)
        if execution is None:
            return  # another executor's, or one of a run before this
        cause = _reference(header)
        result = self._paper.carry_out(order, now_ns)
        for fill in result.fills:
            self.counters.fills += 1
            self._sink.send(fill, cause)
        self._sink.send(result.status, cause)
        execution.fills[order.order_id] = result.fills
        if len(execution.fills) == len(execution.orders):
            self._report(execution, order.opportunity_id, cause)

    def _report(self, execution: _Execution, opportunity_id: int, cause: StateReference) -> None:
        """What the quantity bought and sold again came to, beside what was predicted."""
        legs = {execution.orders[order_id]: fills for order_id, fills in execution.fills.items()}
        exponent = min(
            (_exponent(fill) for fills in legs.values() for fill in fills),
            default=execution.economics.exponent,
        )
        exponent = min(exponent, execution.economics.exponent)
        matched = min(_quantity(legs[Side.BUY]), _quantity(legs[Side.SELL]))
        cost, buy_fees = _worth(legs[Side.BUY], matched, exponent)
        proceeds, sell_fees = _worth(legs[Side.SELL], matched, exponent)
        economics = execution.economics
        self.counters.reports += 1
        self._sink.send(
            ExecutionReport(
                opportunity_id=opportunity_id,
                predicted_net=economics.net * 10 ** (economics.exponent - exponent),
                realised_gross=proceeds - cost,
                realised_fees=buy_fees + sell_fees,
                realised_net=proceeds - cost - buy_fees - sell_fees,
                exponent=exponent,
                paper=1,
                currency=economics.currency,
            ),
            cause,
        )


_QUANTITY_EXPONENT = -128


def _reference(header: Header) -> StateReference:
    return StateReference(
        header.sequence, header.timestamp_ns, header.source, Domain(header.domain)
    )


def _exponent(fill: Fill) -> int:
    return min(fill.fee_exponent, fill.price.exponent + fill.quantity.exponent)


def _quantity(fills: tuple[Fill, ...]) -> int:
    return sum(fill.quantity.scaled(_QUANTITY_EXPONENT) for fill in fills)


def _worth(fills: tuple[Fill, ...], matched: int, exponent: int) -> tuple[int, int]:
    """Price times quantity, and fees, of the first ``matched`` units, in ``10**exponent``."""
    worth = fees = 0
    for fill in fills:
        quantity = fill.quantity.scaled(_QUANTITY_EXPONENT)
        taken = min(matched, quantity)
        matched -= taken
        whole = (
            fill.price.mantissa
            * fill.quantity.mantissa
            * 10 ** (fill.price.exponent + fill.quantity.exponent - exponent)
        )
        fee = fill.fee * 10 ** (fill.fee_exponent - exponent)
        # Part of a fill: its share, rounded against us.
        worth += whole * taken // quantity if quantity else 0
        fees += -(-fee * taken // quantity) if quantity else 0
    return worth, fees
