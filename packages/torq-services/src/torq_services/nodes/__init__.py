"""What the deciding processes do, as plain objects: messages and time in, messages out, no I/O."""

from __future__ import annotations

from torq_services.nodes.base import Node, Subscription
from torq_services.nodes.paper_execution import PaperExecutionNode
from torq_services.nodes.strategy import StrategyNode

__all__ = ["Node", "PaperExecutionNode", "StrategyNode", "Subscription"]
