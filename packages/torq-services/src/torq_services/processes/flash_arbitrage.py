"""Strategies as services: fed with the market's changes and the time, their signals sent on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from torq_codec import parse_instrument
from torq_relays import AsyncPublisher, DirectSink, MessageSink
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability import HealthReporter
from torq_services.processes.sources import CROSS_EXCHANGE, FLASH_ARBITRAGE
from torq_services.processes.wiring import (
    MILLION,
    RELAY_PATIENCE_SECONDS,
    first_id,
    last_flush,
    market_data,
)
from torq_services.state import MarketState
from torq_services.strategies import (
    ChainLimits,
    CrossExchange,
    CrossExchangeLimits,
    FlashArbitrage,
    FlashArbitrageLimits,
    Strategy,
)
from torq_types import Decimal64, Domain

__all__ = [
    "FlashArbitrageHealth",
    "StrategyHealth",
    "run_cross_exchange",
    "run_flash_arbitrage",
]

_TICK_SECONDS = 0.1


class StrategyHealth(msgspec.Struct):
    """The strategy's account of itself."""

    opened: int
    updated: int
    closed: int
    open: int
    evaluations: int
    verified_books: int
    stale_books: int


async def run_cross_exchange(name: str, config: Config, instance: Instance) -> None:
    """The cross-exchange strategy."""
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

    def build(sink: MessageSink) -> tuple[Strategy, Callable[[], msgspec.Struct]]:
        strategy = CrossExchange(
            market, sink, config.fees_pips(), limits, first_id=first_id(time.time_ns())
        )

        def account() -> StrategyHealth:
            stale = sum(book.status == "stale" for book in market.books.values())
            opportunities = strategy.opportunities
            return StrategyHealth(
                opened=opportunities.opened,
                updated=opportunities.updated,
                closed=opportunities.closed,
                open=len(opportunities.open_keys),
                evaluations=strategy.evaluations,
                verified_books=len(market.books) - stale,
                stale_books=stale,
            )

        return strategy, account

    await _run_strategy(name, instance, CROSS_EXCHANGE, market, build)


class FlashArbitrageHealth(msgspec.Struct):
    """The strategy's account of itself."""

    opened: int
    updated: int
    closed: int
    open: int
    evaluations: int
    left_out: int
    """Cycles without a profit token, or in whose profit token gas has no price."""
    verified_pools: int
    stale_pools: int


async def run_flash_arbitrage(name: str, config: Config, instance: Instance) -> None:
    """The strategy that swaps around cycles of pools."""
    settings = config.flash_arbitrage
    chains = {}
    for chain in config.chains.values():
        native = parse_instrument(chain.native)
        welcome = tuple(map(parse_instrument, chain.profit_tokens)) or (native,)
        chains[chain.chain_id] = ChainLimits(native=native, profit_tokens=welcome)
    limits = FlashArbitrageLimits(
        chains=chains,
        max_hops=settings.max_hops,
        time_to_live_ns=settings.time_to_live_ms * MILLION,
        update_interval_ns=settings.update_interval_ms * MILLION,
    )
    market = MarketState()

    def build(sink: MessageSink) -> tuple[Strategy, Callable[[], msgspec.Struct]]:
        strategy = FlashArbitrage(market, sink, limits, first_id=first_id(time.time_ns()))

        def account() -> FlashArbitrageHealth:
            entries = market.pools.entries.values()
            stale = sum(entry.status == "stale" for entry in entries)
            opportunities = strategy.opportunities
            return FlashArbitrageHealth(
                opened=opportunities.opened,
                updated=opportunities.updated,
                closed=opportunities.closed,
                open=len(opportunities.open_keys),
                evaluations=strategy.evaluations,
                left_out=strategy.left_out.total(),
                verified_pools=len(entries) - stale,
                stale_pools=stale,
            )

        return strategy, account

    await _run_strategy(name, instance, FLASH_ARBITRAGE, market, build)


async def _run_strategy(
    name: str,
    instance: Instance,
    source: int,
    market: MarketState,
    build: Callable[[MessageSink], tuple[Strategy, Callable[[], msgspec.Struct]]],
) -> None:
    """Feed a strategy with the market's changes and the time; its signals go to their relay."""
    async with (
        await AsyncPublisher.connect(
            Domain.SIGNAL,
            source=source,
            runtime_dir=instance.runtime_dir,
            name=name,
            timeout=RELAY_PATIENCE_SECONDS,
        ) as publisher,
        await market_data(name, instance) as subscriber,
    ):
        sink = DirectSink(publisher)
        strategy, account = build(sink)

        async def follow() -> None:
            async for message in subscriber:
                changed = market.apply(message)
                if changed or market.completed or market.rolled_back:
                    strategy.market_changed(changed, message.header, time.time_ns())

        async def tick() -> None:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                now_ns = time.time_ns()
                market.expire(now_ns)
                strategy.time_passed(now_ns)

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(HealthReporter(name, sink, account, time.time_ns).run())
                tasks.create_task(follow())
                tasks.create_task(tick())
        finally:
            strategy.shut_down(time.time_ns())
            await last_flush(publisher)
