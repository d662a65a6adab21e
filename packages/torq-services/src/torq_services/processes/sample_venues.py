"""The services' wiring: which parts run in which process, over which relays."""

from __future__ import annotations

import asyncio
import signal
import time

import structlog
import uvicorn

from torq_relays import (
    AsyncPublisher,
    AsyncSubscriber,
    DirectSink,
    LogOptions,
    Relay,
    RelayLimits,
    open_log,
    socket_path,
)
from torq_services.adapters import ADAPTERS, Feed, FeedSettings
from torq_services.execution import Executor, PaperVenue, RiskGate, RiskLimits
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability import HealthReporter
from torq_services.processes.serving import ServiceServer
from torq_services.processes.sources import (
    PAPER_EXECUTION,
    adapter_source,
)
from torq_services.processes.wiring import (
    MILLION,
    RELAY_PATIENCE_SECONDS,
    first_id,
    last_flush,
    market_data,
)
from torq_services.state import MarketState
from torq_services.venues import sample_app
from torq_types import (
    ArbitrageSignal,
    Decimal64,
    Domain,
    Economics,
    OrderRequest,
    SwapPath,
)

__all__ = [
    "run_adapter",
    "run_paper_execution",
    "run_relay",
    "run_sample_venues",
]


def run_relay(domain: Domain, config: Config, instance: Instance) -> None:
    """A domain's relay, until SIGTERM."""
    settings = config.relays
    options = LogOptions(
        ring_bytes=settings.ring_mib << 20,
        fsync=settings.execution_fsync if domain is Domain.EXECUTION else settings.signal_fsync,
        fsync_interval_ms=settings.fsync_interval_ms,
        keep_bytes=settings.keep_mib << 20,
        keep_days=settings.keep_days,
    )
    limits = RelayLimits(
        connections=settings.connections, max_payload=settings.max_message_mib << 20
    )
    log = open_log(domain, instance.data, options)
    path = socket_path(domain, instance.runtime_dir)
    relay = Relay(domain, log, path, limits=limits, busy_poll=settings.busy_poll)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    structlog.get_logger().info("serving", socket=str(relay.path), position=log.tail)
    relay.run()
    structlog.get_logger().info("stopped", position=log.tail)


async def run_sample_venues(name: str, config: Config, instance: Instance) -> None:
    """The loopback exchanges of sample mode."""
    server = ServiceServer(
        uvicorn.Config(
            sample_app(config.sample_speed),
            host="127.0.0.1",
            port=config.sample_port,
            log_config=None,
            ws="websockets-sansio",
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
        )
    )
    await server.serve_until_cancelled()


async def run_adapter(name: str, config: Config, instance: Instance) -> None:
    """One exchange's adapter."""
    venue_name = name.removeprefix("adapter-")
    venue = config.venues[venue_name]
    adapter_class = ADAPTERS[venue_name]
    async with await AsyncPublisher.connect(
        Domain.MARKET_DATA,
        source=adapter_source(adapter_class.venue),
        runtime_dir=instance.runtime_dir,
        name=name,
        timeout=RELAY_PATIENCE_SECONDS,
    ) as publisher:
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
            health.report()
            await last_flush(publisher)


async def run_paper_execution(name: str, config: Config, instance: Instance) -> None:
    """Risk decisions, orders, and their fills on paper."""
    settings = config.execution
    market = MarketState()
    async with (
        await AsyncPublisher.connect(
            Domain.EXECUTION,
            source=PAPER_EXECUTION,
            runtime_dir=instance.runtime_dir,
            name=name,
            timeout=RELAY_PATIENCE_SECONDS,
        ) as publisher,
        await market_data(name, instance) as books,
        await AsyncSubscriber.connect(
            Domain.SIGNAL,
            types=[ArbitrageSignal],
            runtime_dir=instance.runtime_dir,
            name=name,
            timeout=RELAY_PATIENCE_SECONDS,
        ) as signals,
        await AsyncSubscriber.connect(
            Domain.EXECUTION,
            types=[OrderRequest],
            runtime_dir=instance.runtime_dir,
            name=name,
            timeout=RELAY_PATIENCE_SECONDS,
        ) as orders,
    ):
        sink = DirectSink(publisher)
        gate = RiskGate(
            RiskLimits(
                max_notional=Decimal64.parse(settings.max_notional),
                min_net=Decimal64.parse(settings.min_net),
                max_orders_per_minute=settings.max_orders_per_minute,
                cooldown_ns=settings.cooldown_ms * MILLION,
            )
        )
        executor = Executor(
            gate,
            PaperVenue(market, config.fees_pips()),
            sink,
            first_order_id=first_id(time.time_ns()),
        )

        async def follow_books() -> None:
            async for message in books:
                market.apply(message)

        async def follow_signals() -> None:
            async for message in signals:
                signal_tlv, economics = message.get(ArbitrageSignal), message.get(Economics)
                # A path through pools is nothing that can be filled from books on paper.
                is_of_books = message.get(SwapPath) is None
                if is_of_books and signal_tlv is not None and economics is not None:
                    executor.on_signal(signal_tlv, economics, message.header, time.time_ns())

        async def follow_orders() -> None:
            async for message in orders:
                order = message.get(OrderRequest)
                if order is not None:
                    now_ns = time.time_ns()
                    market.expire(now_ns)
                    executor.on_order(order, message.header, now_ns)

        try:
            async with asyncio.TaskGroup() as tasks:
                health = HealthReporter(name, sink, lambda: executor.counters, time.time_ns)
                tasks.create_task(health.run())
                tasks.create_task(follow_books())
                tasks.create_task(follow_signals())
                tasks.create_task(follow_orders())
        finally:
            await last_flush(publisher)
