"""Execution: risk limits, orders, fills."""

from __future__ import annotations

from torq_services.execution.executor import Executor, ExecutorCounters
from torq_services.execution.paper import PaperResult, PaperVenue
from torq_services.execution.risk import RiskGate, RiskLimits

__all__ = ["Executor", "ExecutorCounters", "PaperResult", "PaperVenue", "RiskGate", "RiskLimits"]
