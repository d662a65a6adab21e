"""A node with pools, traffic on it, the EVM feed, and a reader that gets only messages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, KeysView
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from evm import CHAIN_ID, Anvil, Chain, Contract, RevertedError, connected, running_anvil
from uniswap import FOREVER, SUPPLY, UniswapV2, UniswapV3

from torq_amm import ConcentratedLiquidityPool, ConstantProductPool
from torq_codec import MessageBuilder, parse_message
from torq_relays import Backoff, MessageSink
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.state import MarketState
from torq_types import TLV, Domain, Header, InstrumentId, Venue

FEE = 3000


class Reader(MessageSink):
    """A sink whose messages go over the wire format into a market state of their own."""

    def __init__(self) -> None:
        self.market = MarketState()
        self.sent: list[TLV] = []
        self.rolled_back: set[InstrumentId] = set()
        self.changed: KeysView[InstrumentId] = {}.keys()
        self.header = Header(0, 0, 2, Domain.MARKET_DATA, 100, 0, 0)
        self._sequence = 0

    def send(self, *tlvs: TLV) -> None:
        """As a relay would deliver it."""
        self._sequence += 1
        builder = MessageBuilder(Domain.MARKET_DATA, source=100)
        for tlv in tlvs:
            builder.add(tlv)
        message = builder.build(sequence=self._sequence, timestamp_ns=self._sequence)
        self.sent += tlvs
        parsed = parse_message(message)
        self.header, self.changed = parsed.header, self.market.apply(parsed)
        self.rolled_back |= self.market.rolled_back
        self.took()

    def took(self) -> None:
        """For what stands behind the market."""

    async def flush(self) -> None:
        """Nothing waits."""


class PoolChain:
    """Two V2 pairs and a V3 pool over the same two tokens, and traders."""

    def __init__(self, chain: Chain, seed: int = 1) -> None:
        self.chain = chain
        self.random = random.Random(seed)
        v3 = UniswapV3(chain)
        self.v3, token0, token1 = v3.create(FEE, 1 << 96)
        self.tokens = token0, token1
        self.router3 = v3
        self.v2s = [UniswapV2(chain), UniswapV2(chain)]
        self.pairs = []
        for exchange in self.v2s:
            pair = exchange.pair(token0, token1)
            for token in self.tokens:
                token.send("approve(address,uint256)", exchange.router.address, SUPPLY)
                token.send("transfer(address,uint256)", pair.address, 10**24)
            pair.send("mint(address)", chain.sender)
            self.pairs.append(pair)
        for lower, upper in ((-6000, 6000), (-600, 600), (-120, 60)):
            v3.mint(self.tokens, FEE, lower, upper, 10**23, 10**23)
        self.instruments = (
            InstrumentId.pool(Venue.UNISWAP_V2, CHAIN_ID, self.pairs[0].raw),
            InstrumentId.pool(Venue.SUSHISWAP_V2, CHAIN_ID, self.pairs[1].raw),
            InstrumentId.pool(Venue.UNISWAP_V3, CHAIN_ID, self.v3.raw),
        )

    def trade(self, count: int = 1) -> None:
        """Random swaps and positions, a block each."""
        for _ in range(count):
            try:
                self._one()
            except RevertedError:
                continue

    def _one(self) -> None:
        draw = self.random
        side = draw.randrange(2)
        token_in, token_out = self.tokens[side], self.tokens[1 - side]
        amount = draw.randrange(10**18, 2 * 10**22)
        what = draw.randrange(6)
        if what < 2:
            limit = 4295128740 if side == 0 else (1 << 160) // 2**14
            self.router3.swap(token_in, token_out, FEE, amount, limit)
        elif what == 2:
            lower = draw.randrange(-20, 20) * 60
            upper = lower + 60 * draw.randrange(1, 9)
            self.router3.mint(self.tokens, FEE, lower, upper, 10**21, 10**21)
        else:
            self.v2s[what % 2].router.send(
                "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
                amount, 0, [token_in.address, token_out.address], self.chain.sender, FOREVER,
            )  # fmt: skip

    def differences(self, market: MarketState) -> list[str]:
        """What the reader has otherwise than the chain, at the chain's last block."""
        found = []
        for pair, instrument in zip(self.pairs, self.instruments, strict=False):
            value = market.pools.value(instrument)
            assert isinstance(value, ConstantProductPool)
            reserves = pair.call("getReserves()", "uint112,uint112,uint32")[:2]
            if reserves != (value.reserve0, value.reserve1):
                found.append(f"{instrument.venue.slug}: {reserves} on the chain")
        value = market.pools.value(self.instruments[2])
        assert isinstance(value, ConcentratedLiquidityPool)
        return found + _v3_differences(self.v3, value)


def _v3_differences(contract: Contract, value: ConcentratedLiquidityPool) -> list[str]:
    price, tick, *_ = contract.call("slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool")
    liquidity = contract.call("liquidity()", "uint128")
    found = []
    if (price, tick, liquidity) != (value.sqrt_price_x96, value.tick, value.liquidity):
        found.append(f"v3: {price} {tick} {liquidity} on the chain")
    for tick in range(-12000, 12060, 60):
        words = "uint128,int128,uint256,uint256,int56,uint160,uint32,bool"
        if not -1300 < tick < 1800 and tick not in value.ticks:
            continue
        _, net, *_ = contract.call("ticks(int24)", words, tick)
        if net != value.ticks.get(tick, 0):
            found.append(f"tick {tick}: {net} on the chain, {value.ticks.get(tick)} here")
    return found


@contextmanager
def pool_chain(*arguments: str) -> Iterator[tuple[Anvil, PoolChain]]:
    """An anvil with the pools on it."""
    with running_anvil("--silent", *arguments) as node, connected(node) as chain:
        yield node, PoolChain(chain)


def feed_for(
    node: Anvil, pools: PoolChain, folder: Path, reader: Reader, /, **changes: object
) -> EvmFeed:
    """A feed of the node's pools into ``reader``."""
    values: dict[str, object] = {
        "name": "anvil", "chain_id": CHAIN_ID, "urls": (node.ws,), "pools": pools.instruments,
        "requests_per_second": 100_000, "verify_blocks": 5,
    }  # fmt: skip
    settings = EvmSettings(**{**values, **changes})  # type: ignore[arg-type]
    cache = MetadataCache(folder / "pools.json")
    return EvmFeed(settings, reader, cache, backoff=Backoff(first=0.05, most=0.2))


async def in_step(feed: EvmFeed, reader: Reader, number: int, seconds: float = 120) -> None:
    """Wait until the reader has a block."""
    async with asyncio.timeout(seconds):
        while True:
            blocks = reader.market.pools.blocks.get(CHAIN_ID)
            reached = bool(blocks) and blocks is not None and blocks[-1].number >= number
            if feed.state == "in step" and reached:
                return
            await asyncio.sleep(0.01)


def height(chain: Chain) -> int:
    """The node's last block."""
    return int(chain.rpc("eth_blockNumber", []), 16)


@asynccontextmanager
async def running(feed: EvmFeed) -> AsyncIterator[None]:
    """The feed, until the block ends."""
    task = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(feed: EvmFeed, reader: Reader, pools: PoolChain) -> None:
    """In step with the node's last block, and equal to the chain."""
    await in_step(feed, reader, await asyncio.to_thread(height, pools.chain))
    assert await asyncio.to_thread(pools.differences, reader.market) == []
