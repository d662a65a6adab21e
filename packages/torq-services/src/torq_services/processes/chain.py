"""An EVM chain as a service. Apart from the others: web3 takes a second to import."""

from __future__ import annotations

import asyncio
import time

from torq_codec import parse_instrument
from torq_relays import AsyncPublisher, DirectSink
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability import HealthReporter
from torq_services.processes.sources import chain_source
from torq_services.processes.wiring import RELAY_PATIENCE_SECONDS, last_flush
from torq_types import Domain

__all__ = ["run_chain"]


async def run_chain(name: str, config: Config, instance: Instance) -> None:
    """One EVM chain's pools."""
    chain_name = name.removeprefix("chain-")
    chain = config.chains[chain_name]
    async with await AsyncPublisher.connect(
        Domain.MARKET_DATA,
        source=chain_source(list(config.chains).index(chain_name)),
        runtime_dir=instance.runtime_dir,
        name=name,
        timeout=RELAY_PATIENCE_SECONDS,
    ) as publisher:
        sink = DirectSink(publisher)
        settings = EvmSettings(
            name=chain_name,
            chain_id=chain.chain_id,
            urls=chain.rpc_urls,
            pools=tuple(map(parse_instrument, chain.pools)),
            factories=tuple(map(parse_instrument, chain.factories)),
            factory_from_block=chain.factory_from_block,
            max_pools=chain.max_pools,
            requests_per_second=chain.requests_per_second,
            history_blocks=chain.history_blocks,
            max_gap_blocks=chain.max_gap_blocks,
            verify_blocks=chain.verify_blocks,
            vault=bytes.fromhex(chain.vault[2:]),
        )
        cache = MetadataCache(instance.data / f"pools-{chain.chain_id}.json")
        feed = EvmFeed(settings, sink, cache)
        health = HealthReporter(name, sink, feed.health, time.time_ns)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(health.run())
                tasks.create_task(feed.run())
        finally:
            health.report()
            await last_flush(publisher)
