"""A strategy at work: the market's messages in, signals out."""

from __future__ import annotations

import msgspec

from torq_codec import Message
from torq_services.nodes.base import Node, Subscription
from torq_services.state import MarketState
from torq_services.strategies import Strategy
from torq_types import Domain

__all__ = ["StrategyNode"]


class StrategyNode(Node):
    """Keeps the market that a strategy looks at, and tells it what has changed there."""

    # From the oldest on: books are built before the first decision.
    subscriptions = (Subscription(Domain.MARKET_DATA, start="earliest"),)
    publishes = Domain.SIGNAL

    def __init__(self, market: MarketState, strategy: Strategy) -> None:
        """``strategy`` looks at this very ``market``."""
        self._market = market
        self._strategy = strategy

    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        """Bring the market up to date; let the strategy see what that changed."""
        market = self._market
        changed = market.apply(message, now_ns)
        if changed or market.completed or market.rolled_back:
            self._strategy.market_changed(changed, message.header, now_ns)

    def on_time(self, now_ns: int) -> None:
        """Notice silent sources; let the strategy close and announce."""
        self._market.expire(now_ns)
        self._strategy.time_passed(now_ns)

    def stop(self, now_ns: int) -> None:
        """Close every opportunity."""
        self._strategy.shut_down(now_ns)

    def account(self) -> msgspec.Struct:
        """The strategy's own."""
        return self._strategy.account()
