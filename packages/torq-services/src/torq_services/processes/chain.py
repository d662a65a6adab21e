"""One EVM chain. Imported by its own process alone: web3 takes a second."""

from __future__ import annotations

import asyncio
import time

from torq_codec import parse_instrument
from torq_relays import DirectSink
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability import HealthReporter
from torq_services.processes.sources import chain_source
from torq_services.processes.wiring import last_flush, publisher_for, venues_answer
from torq_types import Domain

__all__ = ["run_chain"]


async def run_chain(name: str, config: Config, instance: Instance) -> None:
    """Follow the chain's pools until cancelled."""
    chain_name = name.removeprefix("chain-")
    chain = config.chains[chain_name]
    source = chain_source(list(config.chains).index(chain_name))
    await venues_answer(config)
    async with await publisher_for(Domain.MARKET_DATA, source, name, instance) as publisher:
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
            try:
                health.report()
            finally:
                await last_flush(publisher)
