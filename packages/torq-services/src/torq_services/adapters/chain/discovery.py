"""Which pools there are: those that are named, and those that factories made."""

from __future__ import annotations

from collections import Counter

import structlog

from torq_codec import format_instrument
from torq_codec.dex import parse_log
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.logs import LogFilter
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_services.adapters.chain.reads import read_metadata
from torq_services.adapters.chain.rpc import CallError, Endpoint, RpcError
from torq_services.adapters.chain.settings import EvmSettings
from torq_types import ConfigError, InstrumentId

__all__ = ["Discovery"]

_SCAN_BLOCKS = 10_000


class Discovery:
    """The followed pools' metadata, from the cache where it has them."""

    def __init__(
        self,
        settings: EvmSettings,
        cache: MetadataCache,
        wanted: LogFilter,
        faults: Counter[str],
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._filter = wanted
        self._faults = faults
        self._log = structlog.get_logger().bind(chain=settings.name)
        self.pools: dict[InstrumentId, PoolMetadata] = {}

    async def discover(self, node: Endpoint) -> None:
        """Metadata of every pool: from the cache, else from the chain."""
        for pool in self._settings.pools:
            await self.know(node, pool)
        for factory in self._settings.factories:
            await self._scan(node, factory)
        self._cache.save()

    async def _scan(self, node: Endpoint, factory: InstrumentId) -> None:
        """The pools that a factory made so far: those on disk, and then what its logs add.

        Nodes answer for a limited number of blocks at a time, each for another: a refusal halves
        the step.
        """
        name = format_instrument(factory)
        known = self._cache.of_factory(factory.venue) if name in self._cache.scanned else []
        for pool in known[: self._settings.max_pools]:
            await self.know(node, pool)
        latest = int(str(await node.request("eth_blockNumber")), 16)
        start = self._cache.scanned.get(name, self._settings.factory_from_block)
        step = _SCAN_BLOCKS
        while start <= latest and len(self.pools) < self._settings.max_pools:
            end = min(latest, start + step - 1)
            query = {
                **self._filter.parameters(),
                "address": "0x" + factory.body.hex(),
                "fromBlock": hex(start),
                "toBlock": hex(end),
            }
            try:
                answer = await node.request("eth_getLogs", query)
            except CallError:
                if step == 1:
                    raise
                step = max(1, step // 2)
                continue
            for entry in answer:
                created = self._filter.created(parse_log(entry), self._settings.chain_id)
                if created is not None and len(self.pools) < self._settings.max_pools:
                    await self.know(node, created)
            start = end + 1
            # The last blocks may still be reorganised: they are searched again next time.
            self._cache.scanned[name] = max(0, min(start, latest - self._settings.history_blocks))

    async def know(self, node: Endpoint, pool: InstrumentId) -> bool:
        """Learn of a pool; False for one that is known already or cannot be read."""
        if pool in self.pools:
            return False
        metadata = self._cache.get(pool)
        if metadata is None:
            try:
                metadata = await read_metadata(node, pool, self._settings.vault)
            except (RpcError, ConfigError) as error:
                self._faults["unreadable_pools"] += 1
                self._log.error("not a pool that can be followed", reason=str(error))
                return False
            self._cache.put(metadata)
        self.pools[pool] = metadata
        self._filter.add(pool)
        return True
