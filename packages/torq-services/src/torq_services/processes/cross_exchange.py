"""The cross-exchange strategy."""

from __future__ import annotations

from torq_relays import MessageSink
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.nodes import StrategyNode
from torq_services.processes.hosting import run_node
from torq_services.processes.sources import CROSS_EXCHANGE
from torq_services.processes.wiring import MILLION, first_id
from torq_services.state import MarketState
from torq_services.strategies import CrossExchange, CrossExchangeLimits
from torq_types import Decimal64

__all__ = ["cross_exchange_node", "run_cross_exchange"]


async def run_cross_exchange(name: str, config: Config, instance: Instance) -> None:
    """Watch the books of all exchanges until cancelled."""
    await run_node(
        name,
        config,
        instance,
        kind=StrategyNode,
        source=CROSS_EXCHANGE,
        build=cross_exchange_node,
    )


def cross_exchange_node(config: Config, sink: MessageSink, now_ns: int) -> StrategyNode:
    """The node as ``config`` has it; ids begin at the time of its start."""
    settings = config.strategy
    limits = CrossExchangeLimits(
        max_notional=Decimal64.parse(settings.max_notional),
        min_net=Decimal64.parse(settings.min_net),
        time_to_live_ns=settings.time_to_live_ms * MILLION,
        update_interval_ns=settings.update_interval_ms * MILLION,
        max_quiet_ns=settings.max_quiet_ms * MILLION,
        equal_quotes=tuple(frozenset(group) for group in settings.equal_quotes),
    )
    market = MarketState()
    fees_pips = config.fees_pips()
    strategy = CrossExchange(market, sink, fees_pips, limits, first_id=first_id(now_ns))
    return StrategyNode(market, strategy)
