"""What services say of themselves: logs, health and (in a module of its own) metrics."""

from __future__ import annotations

from torq_services.observability.health import HealthReporter
from torq_services.observability.logs import configure_logs

__all__ = ["HealthReporter", "configure_logs"]
