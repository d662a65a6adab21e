"""Execution on paper."""

from __future__ import annotations

from torq_relays import MessageSink
from torq_services.execution import Executor, PaperVenue, RiskGate, RiskLimits
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.nodes import PaperExecutionNode
from torq_services.processes.hosting import run_node
from torq_services.processes.sources import PAPER_EXECUTION
from torq_services.processes.wiring import MILLION, first_id
from torq_services.state import MarketState
from torq_types import Decimal64

__all__ = ["paper_execution_node", "run_paper_execution"]


async def run_paper_execution(name: str, config: Config, instance: Instance) -> None:
    """Risk decisions, orders, and their fills on paper, until cancelled."""
    await run_node(
        name,
        config,
        instance,
        kind=PaperExecutionNode,
        source=PAPER_EXECUTION,
        build=paper_execution_node,
    )


def paper_execution_node(config: Config, sink: MessageSink, now_ns: int) -> PaperExecutionNode:
    """The node as ``config`` has it; ids begin at the time of its start."""
    settings = config.execution
    limits = RiskLimits(
        max_notional=Decimal64.parse(settings.max_notional),
        min_net=Decimal64.parse(settings.min_net),
        max_orders_per_minute=settings.max_orders_per_minute,
        cooldown_ns=settings.cooldown_ms * MILLION,
    )
    market = MarketState()
    paper = PaperVenue(market, config.fees_pips())
    executor = Executor(RiskGate(limits), paper, sink, first_order_id=first_id(now_ns))
    return PaperExecutionNode(market, executor)
