"""Signals among pools against a real node: exact to the wei, and void when their blocks are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from evm import CHAIN_ID, Chain, Contract
from pool_chain import (
    FEE,
    PoolChain,
    Reader,
    feed_for,
    height,
    in_step,
    pool_chain,
    running,
    settled,
)

from torq_relays import CollectingSink
from torq_services.strategies import ChainLimits, FlashArbitrage, FlashArbitrageLimits
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Economics,
    InstrumentId,
    SignalStatus,
    SwapPath,
    Venue,
)

NOW = 10**9


class SignalReader(Reader):
    """A reader with the strategy behind it."""

    def __init__(self, pools: PoolChain) -> None:
        super().__init__()
        tokens = [InstrumentId.token(CHAIN_ID, token.raw) for token in pools.tokens]
        limits = FlashArbitrageLimits(
            chains={CHAIN_ID: ChainLimits(native=tokens[0], profit_tokens=tuple(tokens))},
            max_hops=3, time_to_live_ns=NOW, update_interval_ns=0,
        )  # fmt: skip
        self.signals = CollectingSink()
        self.strategy = FlashArbitrage(self.market, self.signals, limits)

    def took(self) -> None:
        """A message was applied to the market."""
        self.strategy.market_changed(self.changed, self.header, NOW)

    @property
    def told(self) -> list[tuple[ArbitrageSignal, Economics, SwapPath]]:
        """The signals so far."""
        found: list[tuple[ArbitrageSignal, Economics, SwapPath]] = []
        for message in self.signals.messages:
            signal, economics, path, *_ = message
            assert isinstance(signal, ArbitrageSignal)
            assert isinstance(economics, Economics)
            assert isinstance(path, SwapPath)
            found.append((signal, economics, path))
        return found


def canonical(chain: Chain) -> set[bytes]:
    """The hashes of all blocks that the node has."""
    hashes = set()
    for number in range(height(chain) + 1):
        block = chain.rpc("eth_getBlockByNumber", [hex(number), False])
        hashes.add(bytes.fromhex(block["hash"][2:]))
    return hashes


def execute(pools: PoolChain, path: SwapPath) -> int:
    """Swap along the path on the chain, a transaction each; what the last one paid out."""
    sender = pools.chain.sender
    by_address = {token.raw: token for token in pools.tokens}
    received = 0
    for place, hop in enumerate(path.hops):
        token_in, token_out = by_address[hop.token_in], by_address[hop.token_out]
        amount = hop.amount_in if place == 0 else received
        before = balance(token_out, sender)
        if hop.pool.venue is Venue.UNISWAP_V3:
            is_first = token_in is pools.tokens[0]
            limit = 4295128740 if is_first else (1 << 160) // 2**14
            pools.router3.swap(token_in, token_out, FEE, amount, limit)
        else:
            pair = pools.pairs[[i.body for i in pools.instruments].index(hop.pool.body)]
            token_in.send("transfer(address,uint256)", pair.address, amount)
            out = (0, hop.amount_out) if token_in is pools.tokens[0] else (hop.amount_out, 0)
            pair.send("swap(uint256,uint256,address,bytes)", *out, sender, b"")
        received = balance(token_out, sender) - before
        assert received == hop.amount_out
    return received


def balance(token: Contract, owner: str) -> int:
    """An owner's balance in the smallest unit."""
    return int(token.call("balanceOf(address)", "uint256", owner))


async def test_what_a_signal_predicts_is_what_the_chain_pays(runtime_dir: Path) -> None:
    with pool_chain() as (node, pools):
        reader = SignalReader(pools)
        feed = feed_for(node, pools, runtime_dir, reader)
        realised = 0
        async with running(feed):
            await in_step(feed, reader, 1)
            for _ in range(12):
                await asyncio.to_thread(pools.trade, 2)
                await settled(feed, reader, pools)
                offers = dict(reader.strategy.opportunities.open_values)
                if not offers:
                    continue
                cycle, offer = max(offers.items(), key=lambda item: item[1].net)
                told = [path for signal, _, path in reader.told
                        if signal.status is not SignalStatus.CLOSED
                        and path.hops[0].pool == cycle.hops[0].pool
                        and path.hops[0].amount_in == offer.sizing.amount_in]  # fmt: skip
                path = told[-1]
                assert path.block_number == height(pools.chain)
                paid = await asyncio.to_thread(execute, pools, path)
                assert paid - path.hops[0].amount_in == offer.sizing.profit
                realised += 1
                await settled(feed, reader, pools)
                # Taken: the same cycle does not earn again.
                assert cycle not in reader.strategy.opportunities.open_keys
        assert realised >= 5
        for signal, economics, path in reader.told:
            if signal.status is not SignalStatus.CLOSED:
                first, last = path.hops[0], path.hops[-1]
                assert economics.gross == last.amount_out - first.amount_in
                assert economics.net == economics.gross - economics.gas > 0
                assert path.gas_units > 0


@pytest.mark.parametrize("depth", [1, 2, 5, 10])
async def test_signals_from_abandoned_blocks_are_invalidated(runtime_dir: Path, depth: int) -> None:
    with pool_chain() as (node, pools):
        reader = SignalReader(pools)
        feed = feed_for(node, pools, runtime_dir, reader)
        async with running(feed):
            await in_step(feed, reader, 1)
            await asyncio.to_thread(pools.trade, 15)
            await settled(feed, reader, pools)
            standing = dict(reader.strategy.opportunities.open_values)
            assert standing
            await asyncio.to_thread(pools.chain.rpc, "anvil_reorg", [depth, []])
            await asyncio.to_thread(pools.trade, 3)
            await settled(feed, reader, pools)
            kept = canonical(pools.chain)
            latest = {signal.opportunity_id: (signal, path) for signal, _, path in reader.told}
            abandoned = 0
            for signal, path in latest.values():
                if path.block_hash not in kept:
                    assert signal.status is SignalStatus.CLOSED
                    abandoned += signal.close_reason is CloseReason.REORGANISED
            assert abandoned == len(standing)
