"""The EVM feed against a real node: traffic, reorganisations, disconnections, lies."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from evm import CHAIN_ID
from pool_chain import Reader, feed_for, height, in_step, pool_chain, running, settled
from uniswap import token

from torq_amm import ConstantProductPool
from torq_types import (
    InstrumentId,
    InvalidationReason,
    PoolState,
    PoolSwap,
    PoolSync,
    StateInvalidation,
    Venue,
)


async def test_traffic_is_followed_to_the_wei(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader)
        async with running(feed):
            await in_step(feed, reader, 1)
            await asyncio.to_thread(pools.trade, 60)
            await asyncio.to_thread(pools.chain.rpc, "evm_mine", [])
            await settled(feed, reader, pools)
        assert feed.rebuilds == 3
        assert feed.connects == 1
        assert feed.verifications > 5
        assert not feed.faults
        assert feed.events > 60
        # Stopping leaves nobody with a pool that looks alive.
        assert all(entry.status == "stale" for entry in reader.market.pools.entries.values())


@pytest.mark.parametrize("depth", range(1, 11))
async def test_a_reorganisation_in_the_middle_of_traffic(runtime_dir: Path, depth: int) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader)
        async with running(feed):
            await in_step(feed, reader, 1)
            await asyncio.to_thread(pools.trade, 15)
            await settled(feed, reader, pools)
            before = {
                entry.instrument for entry in reader.market.pools.entries.values()
                if entry.block_number > height(pools.chain) - depth
            }  # fmt: skip
            await asyncio.to_thread(pools.chain.rpc, "anvil_reorg", [depth, []])
            await asyncio.to_thread(pools.trade, 5)
            await settled(feed, reader, pools)
        assert feed.deepest == depth
        assert feed.rebuilds == 3
        assert before
        assert before <= reader.rolled_back
        reasons = [t.reason for t in reader.sent if isinstance(t, StateInvalidation)]
        assert reasons.count(InvalidationReason.REORGANISED) == len(before)


async def test_a_reorganisation_deeper_than_the_history_reads_everything_anew(
    runtime_dir: Path,
) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader, history_blocks=4)
        async with running(feed):
            await in_step(feed, reader, 1)
            await asyncio.to_thread(pools.trade, 12)
            await settled(feed, reader, pools)
            await asyncio.to_thread(pools.chain.rpc, "anvil_reorg", [8, []])
            await asyncio.to_thread(pools.trade, 3)
            await settled(feed, reader, pools)
        assert feed.rebuilds >= 6
        assert feed.faults["started_over"] >= 1


async def test_a_node_that_is_killed_and_comes_back(runtime_dir: Path) -> None:
    state = runtime_dir / "chain.json"
    with pool_chain("--state", str(state)) as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader)
        async with running(feed):
            await in_step(feed, reader, 1)
            await asyncio.to_thread(pools.trade, 10)
            await settled(feed, reader, pools)
            await asyncio.to_thread(node.stop)
            async with asyncio.timeout(90):
                while feed.state == "in step":
                    await asyncio.sleep(0.01)
            stale = [entry.status for entry in reader.market.pools.entries.values()]
            assert stale == ["stale"] * 3
            await asyncio.to_thread(node.start)
            await asyncio.to_thread(pools.trade, 10)
            await settled(feed, reader, pools)
            await asyncio.to_thread(pools.trade, 10)
            await settled(feed, reader, pools)
        events = [t for t in reader.sent if isinstance(t, PoolSync | PoolSwap)]
        places = [(event.block_hash, event.log_index) for event in events]
        assert len(places) == len(set(places))
        assert feed.connects == 2


async def test_a_gap_is_filled_before_the_feed_is_in_step_again(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader)
        async with running(feed):
            await in_step(feed, reader, 1)
        states = sum(isinstance(tlv, PoolState) for tlv in reader.sent)
        await asyncio.to_thread(pools.trade, 30)
        async with running(feed):
            await settled(feed, reader, pools)
            assert feed.rebuilds == 3
        # Filled by events: the states that were announced again had been followed to, not read.
        assert sum(isinstance(tlv, PoolState) for tlv in reader.sent) >= states + 3
        assert feed.events > 30


async def test_a_wrong_state_is_found_and_put_right(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader, verify_blocks=1)
        async with running(feed):
            await in_step(feed, reader, 1)
            # The node changes a reserve without a word: storage slot 8 holds both.
            pair, slot = pools.pairs[0], hex(8)
            word = pools.chain.rpc("eth_getStorageAt", [pair.address, slot, "latest"])
            changed = "0x" + (int(word, 16) + 1).to_bytes(32, "big").hex()
            pools.chain.rpc("anvil_setStorageAt", [pair.address, slot, changed])
            for _ in range(4):
                await asyncio.to_thread(pools.chain.rpc, "evm_mine", [])
            await settled(feed, reader, pools)
        assert feed.faults["contradicted"] >= 1
        assert feed.rebuilds >= 4


async def test_the_wrong_chain_and_another_endpoint(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader, urls=("ws://127.0.0.1:9", node.ws))
        async with running(feed):
            await settled(feed, reader, pools)
        assert feed.faults["RpcError"] == 1
        feed = feed_for(node, pools, runtime_dir, reader, chain_id=137)
        async with running(feed):
            async with asyncio.timeout(60):
                while "serves chain 31337" not in feed.last_doubt:
                    await asyncio.sleep(0.01)
            assert feed.state != "in step"


async def test_a_factory_s_pools_are_discovered_old_and_new(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        exchange, token0 = pools.v2s[0], pools.tokens[0]
        factory = InstrumentId.pool(Venue.UNISWAP_V2, CHAIN_ID, exchange.factory.raw)
        reader = Reader()
        feed = feed_for(node, pools, runtime_dir, reader, pools=(), factories=(factory,))
        async with running(feed):
            await in_step(feed, reader, 1)
            assert set(reader.market.pools.entries) == {pools.instruments[0]}
            # A new pair, while the feed runs.
            other = await asyncio.to_thread(token, pools.chain)
            pair = await asyncio.to_thread(exchange.pair, token0, other)
            created = InstrumentId.pool(Venue.UNISWAP_V2, CHAIN_ID, pair.raw)
            for part in (token0, other):
                part.send("transfer(address,uint256)", pair.address, 10**20)
            pair.send("mint(address)", pools.chain.sender)
            async with asyncio.timeout(90):
                while created not in reader.market.pools.entries:
                    await asyncio.sleep(0.01)
            await in_step(feed, reader, height(pools.chain))
            value = reader.market.pools.value(created)
            assert isinstance(value, ConstantProductPool)
            assert value.reserve0 == value.reserve1 == 10**20
        again = feed_for(node, pools, runtime_dir, reader, pools=(), factories=(factory,))
        async with running(again):
            await in_step(again, reader, height(pools.chain))
            assert set(again.market.entries) == {pools.instruments[0], created}
        assert not again.faults
        assert feed.faults == Counter(pools_discovered=1)
