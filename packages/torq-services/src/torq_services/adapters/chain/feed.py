"""Follows the pools of one EVM chain, block by block.

A block is taken whole: its logs are asked for by its hash, applied in their order, and published
before the GasPrice that says the block is complete. What a new head does not follow is fetched by
parent hashes first: after a disconnection that closes the gap, after a reorganisation it finds the
block that both chains share.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from torq_codec.dex import EventLog, decode_event, parse_log
from torq_relays import Backoff, MessageSink
from torq_services.adapters.chain.blocks import (
    BlockHeader,
    BlockHistory,
    BrokenChainError,
    read_header,
)
from torq_services.adapters.chain.bloom import may_contain_any
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.discovery import Discovery
from torq_services.adapters.chain.health import EvmHealth, FeedState, pool_health
from torq_services.adapters.chain.logs import LogFilter, checked
from torq_services.adapters.chain.metadata import metas_of
from torq_services.adapters.chain.reads import read_pool, read_sample
from torq_services.adapters.chain.rpc import (
    Endpoint,
    RateLimit,
    RpcError,
    open_endpoint,
)
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.state.pool_values import state_of
from torq_services.state.pools import PoolMarket
from torq_types import (
    TLV,
    Error,
    ErrorCode,
    EventError,
    GasPrice,
    InstrumentId,
    InvalidationReason,
    MalformedEventError,
    StalePoolError,
    StateInvalidation,
)

__all__ = ["EvmFeed"]

_NOTICES = 10_000
_POOLS_SHOWN = 50


class EvmFeed:
    """Runs until cancelled; on every way out its pools are declared stale."""

    def __init__(
        self,
        settings: EvmSettings,
        sink: MessageSink,
        cache: MetadataCache,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self.settings = settings
        self._sink = sink
        self._backoff = backoff or Backoff(first=0.25, most=30.0)
        self._limit = RateLimit(settings.requests_per_second)
        self._log = structlog.get_logger().bind(chain=settings.name)
        self._filter = LogFilter(settings.vault, settings.factories)
        self._seen: defaultdict[bytes, dict[int, EventLog]] = defaultdict(dict)
        self._verify_next = 0
        self._is_announced = False
        self.history = BlockHistory(settings.history_blocks)
        self.market = PoolMarket(settings.history_blocks)
        self.faults: Counter[str] = Counter()
        self._discovery = Discovery(settings, cache, self._filter, self.faults)
        self.state: FeedState = "connecting"
        self.endpoint = ""
        self.last_doubt = ""
        self.connects = self.blocks = self.events = 0
        self.reorganisations = self.deepest = self.verifications = self.rebuilds = 0

    def health(self) -> EvmHealth:
        """For the console and ``torq status``."""
        entries = self.market.entries.values()
        verified = sum(entry.status == "verified" for entry in entries)
        in_step = self.state == "in step"
        tip = self.history.tip
        return EvmHealth(
            self.settings.name, self.state, self.endpoint, self.connects,
            -1 if tip is None else tip.number, verified if in_step else 0,
            len(entries) - verified if in_step else len(entries), self.blocks, self.events,
            self.reorganisations, self.deepest, self.verifications, self.rebuilds,
            self.last_doubt, dict(self.faults + self.market.faults),
            [pool_health(entry, self._discovery.pools[entry.instrument], is_in_step=in_step)
             for entry in list(entries)[:_POOLS_SHOWN]],
        )  # fmt: skip

    async def run(self) -> None:
        """Follow the chain for ever, from one endpoint to the next."""
        turn = 0
        try:
            while True:
                url = self.settings.urls[turn % len(self.settings.urls)]
                detail = await self._attempt(url)
                self._doubt(InvalidationReason.DISCONNECTED, detail)
                turn += 1
                self.state = "waiting"
                # The other endpoints come at once; only a whole round without luck has to wait.
                if turn % len(self.settings.urls) == 0:
                    await asyncio.sleep(self._backoff.next_delay())
        finally:
            self._doubt(InvalidationReason.SHUTDOWN, "the adapter stops")

    async def _attempt(self, url: str) -> str:
        self.state = "connecting"
        self.endpoint = url
        try:
            async with open_endpoint(url, self._limit, self.faults) as node:
                await self._check_chain(node)
                self.connects += 1
                await self._follow(node)
        except TimeoutError:
            return f"no block for {self.settings.silence_seconds} s"
        except (RpcError, BrokenChainError, MalformedEventError) as error:
            self.faults[type(error).__name__] += 1
            return str(error)
        return "the connection ended"

    async def _check_chain(self, node: Endpoint) -> None:
        found = int(str(await node.request("eth_chainId")), 16)
        if found != self.settings.chain_id:
            raise RpcError(
                f"{node.url} serves chain {found}, not {self.settings.chain_id}: correct the url"
            )

    async def _follow(self, node: Endpoint) -> None:
        self.state = "synchronising"
        await self._discovery.discover(node)
        async with self._notices(node) as notices:
            await self._advance(node, await self._latest(node))
            self._in_step()
            while True:
                async with asyncio.timeout(self.settings.silence_seconds):
                    notice = await notices.get()
                if isinstance(notice, Exception):
                    raise notice
                if isinstance(notice, BlockHeader):
                    await self._advance(node, notice)
                elif notice.removed and self.history.knows(notice.block_hash):
                    self.faults["removed_logs"] += 1
                    await self._advance(node, await self._latest(node))

    @asynccontextmanager
    async def _notices(
        self, node: Endpoint
    ) -> AsyncIterator[asyncio.Queue[BlockHeader | EventLog | Exception]]:
        """Heads and removed logs; logs are noted as they come, to hold the node to its word."""
        heads = await node.subscribe("newHeads")
        await node.subscribe("logs", self._filter.parameters())
        queue: asyncio.Queue[BlockHeader | EventLog | Exception] = asyncio.Queue(_NOTICES)

        async def listen() -> None:
            try:
                async for subscription, result in node.notifications():
                    if subscription == heads:
                        await queue.put(read_header(result))
                        continue
                    log = parse_log(_as_json(result))
                    if log.removed:
                        self._seen[log.block_hash].pop(log.log_index, None)
                        await queue.put(log)
                    else:
                        self._seen[log.block_hash][log.log_index] = log
            except (RpcError, BrokenChainError, MalformedEventError) as error:
                await queue.put(error)

        task = asyncio.create_task(listen(), name="notices")
        try:
            yield queue
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._seen.clear()

    async def _advance(self, node: Endpoint, head: BlockHeader) -> None:
        """Follow the chain to ``head``, whatever lies between."""
        tip = self.history.tip
        if self.history.knows(head.block_hash):
            # An announcement of what was fetched already, or the chain became shorter.
            head = await self._latest(node)
            if tip is None or head == tip:
                return
        path = await self._path(node, head)
        if path is None:
            await self._start_over(node, head)
            return
        ancestor = path[0].number - 1 if path else head.number
        is_other_chain = tip is not None and ancestor < tip.number
        if is_other_chain:
            self._reorganise(ancestor)
        for header in path:
            await self._block(node, header)
        await self._housekeeping(node)
        if is_other_chain and self._is_announced:
            # Readers that came late keep fewer blocks, and may not have been able to roll back.
            self._announce_states()

    async def _path(self, node: Endpoint, head: BlockHeader) -> list[BlockHeader] | None:
        """The headers from the first unknown block to ``head``; None to read everything anew."""
        tip = self.history.tip
        if tip is None or head.number - tip.number > self.settings.max_gap_blocks:
            return None
        if self.history.knows(head.block_hash):
            return []
        path = [head]
        while not self.history.knows(path[0].parent_hash):
            first = path[0]
            if len(path) > self.settings.max_gap_blocks + self.settings.history_blocks:
                return None
            if first.number <= tip.number - self.settings.history_blocks or first.number == 0:
                return None
            path.insert(0, await self._header(node, first.parent_hash, first.number - 1))
        return path

    async def _header(self, node: Endpoint, block_hash: bytes, number: int) -> BlockHeader:
        answer = await node.request("eth_getBlockByHash", "0x" + block_hash.hex(), False)
        if answer is None:
            raise RpcError(f"the node does not have block {number} 0x{block_hash.hex()}")
        header = read_header(answer)
        if (header.block_hash, header.number) != (block_hash, number):
            raise BrokenChainError(
                f"asked for block {number} 0x{block_hash.hex()}, got {header.number}"
                f" 0x{header.block_hash.hex()}"
            )
        return header

    async def _latest(self, node: Endpoint) -> BlockHeader:
        return read_header(await node.request("eth_getBlockByNumber", "latest", False))

    async def _block(self, node: Endpoint, header: BlockHeader) -> None:
        """One block: its logs as events, then the word that it is complete."""
        logs, gas_price = await self._logs_of(node, header)
        self.history.append(header)
        for log in logs:
            await self._event(node, log)
        self._publish(_gas(self.settings.chain_id, header, gas_price))
        self.blocks += 1
        if self._is_announced:
            self._note_stale()

    async def _logs_of(self, node: Endpoint, header: BlockHeader) -> tuple[list[EventLog], int]:
        price: tuple[str, tuple[Any, ...]] = ("eth_gasPrice", ())
        query = {**self._filter.parameters(), "blockHash": "0x" + header.block_hash.hex()}
        logs: list[EventLog] = []
        if may_contain_any(header.logs_bloom, self._filter.addresses):
            answer, gas_price = await node.batch([("eth_getLogs", (query,)), price])
            logs = checked(answer, header.block_hash, self._filter.addresses, self.faults)
            if not logs:
                # Some nodes answer with nothing for a block that they have abandoned.
                await self._header(node, header.block_hash, header.number)
        else:
            (gas_price,) = await node.batch([price])
        told = self._seen.pop(header.block_hash, {})
        if len(self._seen) > 2 * self.settings.history_blocks:
            self._seen.clear()
        missing = set(told) - {log.log_index for log in logs}
        if missing:
            # It told of logs, and now they are not there: whichever is wrong, it is not this one.
            self.faults["skipped_logs"] += len(missing)
            raise RpcError(
                f"block {header.number}: the node told of {len(missing)} logs that"
                " eth_getLogs leaves out"
            )
        return logs, int(str(gas_price), 16)

    async def _event(self, node: Endpoint, log: EventLog) -> None:
        created = self._filter.created(log, self.settings.chain_id)
        if created is not None and len(self._discovery.pools) < self.settings.max_pools:
            if await self._discovery.know(node, created):
                # Read below, with everything else that has no state yet.
                self.faults["pools_discovered"] += 1
            return
        pool = self._filter.owner(log)
        if pool is None or pool not in self._discovery.pools:
            return
        try:
            event = decode_event(log, pool)
        except EventError as error:
            self.faults[type(error).__name__] += 1
            self._sink.send(Error(0, ErrorCode.MALFORMED_INPUT, str(error), repr(log)[:500]))
            self._invalidate(pool, InvalidationReason.MALFORMED, str(error))
            return
        self.events += 1
        self._publish(event)

    async def _housekeeping(self, node: Endpoint) -> None:
        """After the last block: rebuild what is stale, verify a sample, repeat for late readers."""
        tip = self.history.tip
        if tip is None:
            return
        for pool in list(self._discovery.pools):
            entry = self.market.entries.get(pool)
            if entry is None or entry.status == "stale":
                await self._rebuild(node, pool, tip)
        if self.settings.verify_blocks and tip.number % self.settings.verify_blocks == 0:
            await self._verify(node, tip)
        if self._is_announced and tip.number % self.settings.repeat_blocks == 0:
            self._announce_states()

    async def _start_over(self, node: Endpoint, head: BlockHeader) -> None:
        """Nothing known leads to ``head``: read every pool there."""
        if self.history.tip is not None:
            self.faults["started_over"] += 1
            self._doubt(InvalidationReason.SEQUENCE_GAP, "the chain left the blocks that are kept")
        self.market.blocks.pop(self.settings.chain_id, None)
        self.market.lose({self.settings.chain_id}, InvalidationReason.SEQUENCE_GAP)
        self.history.restart(head)
        gas_price = int(str(await node.request("eth_gasPrice")), 16)
        self._publish(_gas(self.settings.chain_id, head, gas_price))
        for pool in list(self._discovery.pools):
            await self._rebuild(node, pool, head)
        if self.state == "in step":
            self._in_step()

    async def _rebuild(self, node: Endpoint, pool: InstrumentId, tip: BlockHeader) -> None:
        metadata = self._discovery.pools[pool]
        value = await read_pool(node, metadata, tip.block_hash, self.settings.vault)
        state = state_of(value, tip.number, tip.block_hash, metadata.decimals)
        self.rebuilds += 1
        self.market.apply(state)
        if self._is_announced:
            self._sink.send(state)

    async def _verify(self, node: Endpoint, tip: BlockHeader) -> None:
        """One pool against the chain: equal, or it was wrong all along and is read anew."""
        pools = list(self._discovery.pools)
        if not pools:
            return
        pool = pools[self._verify_next % len(pools)]
        self._verify_next += 1
        try:
            value = self.market.value(pool)
        except StalePoolError:
            return
        metadata = self._discovery.pools[pool]
        sample = await read_sample(node, metadata, value, tip.block_hash, self.settings.vault)
        self.verifications += 1
        if sample != value:
            self.faults["contradicted"] += 1
            self._invalidate(pool, InvalidationReason.INCONSISTENT, "the chain says otherwise")
            await self._rebuild(node, pool, tip)

    def _reorganise(self, ancestor: int) -> None:
        """Blocks were abandoned: every pool goes back to the end of the last shared one."""
        dropped = self.history.abandon(ancestor)
        self.reorganisations += 1
        self.deepest = max(self.deepest, len(dropped))
        self._log.info("reorganisation", blocks=len(dropped), ancestor=ancestor)
        for pool, entry in self.market.entries.items():
            if entry.last_event_block > ancestor:
                detail = f"{len(dropped)} blocks after {ancestor} were abandoned"
                self._invalidate(pool, InvalidationReason.REORGANISED, detail, ancestor)
        for block in dropped:
            self._seen.pop(block.block_hash, None)

    def _publish(self, tlv: TLV) -> None:
        """Send, and take the same message to heart."""
        self._sink.send(tlv)
        self.market.apply(tlv)

    def _invalidate(
        self, pool: InstrumentId, reason: InvalidationReason, detail: str, block: int | None = None
    ) -> None:
        tip = self.history.tip
        number = block if block is not None else (0 if tip is None else tip.number)
        self.last_doubt = f"{reason.name.lower()}: {detail}"
        self._publish(StateInvalidation(pool, number, int(pool.venue), reason, detail))

    def _note_stale(self) -> None:
        """An event that did not fit has made a pool stale here: tell everybody else."""
        for pool, entry in self.market.entries.items():
            if entry.status == "stale" and entry.reason is InvalidationReason.INCONSISTENT:
                self._invalidate(pool, InvalidationReason.INCONSISTENT, "an event does not fit")

    def _in_step(self) -> None:
        self.state = "in step"
        self._is_announced = True
        self._backoff.reset()
        self._announce_states()
        self._log.info("in step", pools=len(self._discovery.pools), endpoint=self.endpoint)

    def _announce_states(self) -> None:
        tip = self.history.tip
        if tip is None:
            return
        told: set[InstrumentId] = set()
        for pool, entry in self.market.entries.items():
            if entry.status == "verified":
                metadata = self._discovery.pools[pool]
                for token, meta in metas_of(metadata).items():
                    if token not in told:
                        self._sink.send(meta)
                        told.add(token)
                state = state_of(entry.value, tip.number, tip.block_hash, metadata.decimals)
                self._sink.send(state)

    def _doubt(self, reason: InvalidationReason, detail: str) -> None:
        """Nobody may rely on the pools until they are announced again; they are not forgotten."""
        self.last_doubt = f"{reason.name.lower()}: {detail}"
        is_wanted = reason is InvalidationReason.SHUTDOWN
        tell = self._log.info if is_wanted else self._log.warning
        tell("pools in doubt", reason=reason.name.lower(), detail=detail)
        if not self._is_announced:
            return
        self._is_announced = False
        tip = self.history.tip
        number = 0 if tip is None else tip.number
        for pool in self.market.entries:
            self._sink.send(StateInvalidation(pool, number, int(pool.venue), reason, detail))


def _gas(chain_id: int, header: BlockHeader, gas_price: int) -> GasPrice:
    priority = max(0, gas_price - header.base_fee)
    return GasPrice(
        block_number=header.number, chain_id=chain_id, base_fee=header.base_fee,
        priority_fee=priority, block_hash=header.block_hash, parent_hash=header.parent_hash,
        block_timestamp=header.timestamp,
    )  # fmt: skip


def _as_json(result: Any) -> dict[str, Any]:
    """A log as web3 formats it, in the form of the JSON-RPC."""
    return {key: _json_value(value) for key, value in result.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json_value(item) for item in value]
    return value
