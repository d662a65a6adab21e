"""A service's own account of itself, once a second, on the relay that it publishes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from torq_relays import MessageSink
from torq_types import SystemHealth, TransportError

__all__ = ["HealthReporter"]

_INTERVAL_SECONDS = 1.0


class HealthReporter:
    """Publishes :class:`torq_types.SystemHealth` with whatever ``account`` returns, as JSON."""

    def __init__(
        self,
        service: str,
        sink: MessageSink,
        account: Callable[[], msgspec.Struct],
        clock: Callable[[], int],
    ) -> None:
        self._service = service
        self._sink = sink
        self._account = account
        self._started_ns = clock()

    def report(self) -> None:
        """Publish one account now."""
        counters = msgspec.json.encode(self._account()).decode()
        self._sink.send(SystemHealth(self._started_ns, 1, self._service, counters))

    async def run(self) -> None:
        """Publish one every second."""
        while True:
            try:
                self.report()
            except TransportError as error:
                structlog.get_logger().warning("health not sent", reason=str(error))
            await asyncio.sleep(_INTERVAL_SECONDS)
