"""One exchange's adapter."""

from __future__ import annotations

import asyncio
import time

from torq_relays import DirectSink
from torq_services.adapters import ADAPTERS, Feed, FeedSettings
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability import HealthReporter
from torq_services.processes.sources import adapter_source
from torq_services.processes.wiring import last_flush, publisher_for, venues_answer
from torq_types import Domain

__all__ = ["run_exchange"]


async def run_exchange(name: str, config: Config, instance: Instance) -> None:
    """Follow the exchange until cancelled."""
    venue_name = name.removeprefix("adapter-")
    venue = config.venues[venue_name]
    adapter_class = ADAPTERS[venue_name]
    source = adapter_source(adapter_class.venue)
    await venues_answer(config)
    async with await publisher_for(Domain.MARKET_DATA, source, name, instance) as publisher:
        sink = DirectSink(publisher)
        adapter = adapter_class(venue.symbols, sink, levels=venue.book_levels)
        settings = FeedSettings(audit=None if venue.audit_seconds < 0 else venue.audit_seconds)
        feed = Feed(adapter, url=venue.url, rest_url=venue.rest_url, settings=settings)
        health = HealthReporter(name, sink, feed.health, time.time_ns)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(health.run())
                tasks.create_task(feed.run())
        finally:
            # What the feed said last (its books are stale) must not be lost with the process.
            try:
                health.report()
            finally:
                await last_flush(publisher)
