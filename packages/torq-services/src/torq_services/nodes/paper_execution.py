"""Execution on paper: signals in; risk decisions, orders and their fills out."""

from __future__ import annotations

from torq_codec import Message
from torq_services.execution import Executor, ExecutorCounters
from torq_services.nodes.base import Node, Subscription
from torq_services.state import MarketState
from torq_types import ArbitrageSignal, Domain, Economics, OrderRequest, SwapPath

__all__ = ["PaperExecutionNode"]


class PaperExecutionNode(Node):
    """Brings each message to whom it concerns: the market, or the executor.

    Orders are carried out when they come back from the execution relay: what was done stands in
    its log behind what was ordered.
    """

    subscriptions = (
        Subscription(Domain.MARKET_DATA, start="earliest"),
        Subscription(Domain.SIGNAL, types=(ArbitrageSignal,)),
        Subscription(Domain.EXECUTION, types=(OrderRequest,)),
    )
    publishes = Domain.EXECUTION

    def __init__(self, market: MarketState, executor: Executor) -> None:
        """``executor`` fills from this very ``market``."""
        self._market = market
        self._executor = executor

    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        """Market data moves the books, a signal may become orders, an order is carried out."""
        if domain is Domain.MARKET_DATA:
            self._market.apply(message, now_ns)
        elif domain is Domain.SIGNAL:
            self._on_signal(message, now_ns)
        else:
            self._on_order(message, now_ns)

    def on_time(self, now_ns: int) -> None:
        """Nothing waits here: what is silent is noticed before an order is carried out."""
        self._market.tell_time(now_ns)

    def stop(self, now_ns: int) -> None:
        """Nothing to take back: every order was answered when it came."""

    def account(self) -> ExecutorCounters:
        """The executor's own."""
        return self._executor.counters

    def _on_signal(self, message: Message, now_ns: int) -> None:
        signal, economics = message.get(ArbitrageSignal), message.get(Economics)
        # A path through pools is nothing that can be filled from books on paper.
        is_of_books = message.get(SwapPath) is None
        if is_of_books and signal is not None and economics is not None:
            self._executor.on_signal(signal, economics, message.header, now_ns)

    def _on_order(self, message: Message, now_ns: int) -> None:
        order = message.get(OrderRequest)
        if order is not None:
            self._market.expire(now_ns)
            self._executor.on_order(order, message.header, now_ns)
