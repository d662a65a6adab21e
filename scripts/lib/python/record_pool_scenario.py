"""Record the sample mode's scenario of pools from a real EVM node (anvil).

    npm ci --prefix tests/evm
    uv run python scripts/lib/python/record_pool_scenario.py OUT.jsonl.xz [--blocks 300] [--seed 1]

Deploys published contracts (Uniswap V2 and V3, Balancer V2) and a StableSwap pool, lets traders and
an arbitrageur loose on them, reorganises the chain once, and writes every block with its logs and
with what a reader could ask of the pools at it.
"""

from __future__ import annotations

import argparse
import asyncio
import lzma
import random
import sys
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from balancer import BalancerV2  # noqa: E402
from compiled import named_token, stable_swap  # noqa: E402
from evm import (  # noqa: E402
    CHAIN_ID,
    Chain,
    Contract,
    RevertedError,
    calldata,
    connected,
    running_anvil,
)
from uniswap import FOREVER, SUPPLY, UniswapV2, UniswapV3  # noqa: E402

from torq_amm import Pool  # noqa: E402
from torq_amm.arbitrage import PoolGraph, best_input  # noqa: E402
from torq_codec import format_instrument  # noqa: E402
from torq_services.adapters.chain.metadata import PoolMetadata  # noqa: E402
from torq_services.adapters.chain.reads import (  # noqa: E402
    read_metadata,
    read_pool,
)
from torq_services.adapters.chain.rpc import CallError, Endpoint  # noqa: E402
from torq_services.venues.scenario import RecordedBlock, ScenarioHeader  # noqa: E402
from torq_types import InstrumentId, Venue  # noqa: E402

E18 = 10**18
BLOCK_SECONDS = 2
GWEI = 10**9
_WORTH_IT = 2 * 10**15
"""Wei of WETH: about the gas of three swaps, several times over."""
HEADER_FIELDS = (
    "number", "hash", "parentHash", "timestamp", "baseFeePerGas", "logsBloom", "gasLimit",
    "gasUsed", "miner", "difficulty", "nonce", "sha3Uncles", "stateRoot", "transactionsRoot",
    "receiptsRoot", "mixHash", "extraData",
)  # fmt: skip
LOG_FIELDS = (
    "address", "topics", "data", "blockNumber", "blockHash", "transactionHash",
    "transactionIndex", "logIndex", "removed",
)  # fmt: skip


class RecordingNode(Endpoint):
    """Asks over HTTP, and notes what every eth_call was answered."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.calls: dict[str, str] = {}

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """One after the other."""
        return [self._ask(method, list(parameters)) for method, parameters in calls]

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        try:
            answer = self.chain.rpc(method, parameters)
        except RevertedError as error:
            raise CallError(str(error)) from error
        call = parameters[0]
        self.calls[f"{call['to']}:{call['data']}".lower()] = answer
        return answer


class Market:
    """Three tokens, eight pools, and those who trade in them."""

    def __init__(self, chain: Chain, seed: int) -> None:
        self.chain = chain
        self.random = random.Random(seed)
        weth = named_token(chain, "WETH", 18)
        usdc = named_token(chain, "USDC", 6)
        dai = named_token(chain, "DAI", 18)
        self.tokens = {"WETH": weth, "USDC": usdc, "DAI": dai}
        self.units = {"WETH": E18, "USDC": 10**6, "DAI": E18}
        self.worth = {"WETH": 2500, "USDC": 1, "DAI": 1}
        """In dollars, when the recording begins."""
        self.pools: dict[InstrumentId, Contract] = {}
        self.kinds: dict[InstrumentId, tuple[str, Any]] = {}
        self.v3 = UniswapV3(chain)
        self.balancer = BalancerV2(chain)
        exchanges = {Venue.UNISWAP_V2: UniswapV2(chain), Venue.SUSHISWAP_V2: UniswapV2(chain)}
        for venue, first, second, dollars in (
            (Venue.UNISWAP_V2, "WETH", "USDC", 2_000_000),
            (Venue.SUSHISWAP_V2, "WETH", "USDC", 600_000),
            (Venue.UNISWAP_V2, "WETH", "DAI", 900_000),
        ):
            self._pair(venue, exchanges[venue], first, second, dollars)
        self._concentrated("WETH", "USDC", 500, 10)
        self._concentrated("WETH", "DAI", 3000, 60)
        self._stable()
        self._weighted()

    def trade(self) -> None:
        """A block's worth of trades: a few, of very different sizes, mostly small."""
        for _ in range(self.random.choice([0, 1, 1, 2, 3])):
            pool = self.random.choice(list(self.pools))
            names = list(self.names_of(pool))
            self.random.shuffle(names)
            dollars = 20 * 2 ** self.random.randrange(0, 11) + self.random.randrange(500)
            amount = dollars * self.units[names[0]] // self.worth[names[0]]
            self.swap(pool, names[0], names[1], amount)
        if self.random.randrange(12) == 0:
            self._provide()

    def names_of(self, pool: InstrumentId) -> tuple[str, str]:
        """The symbols of a pool's tokens."""
        first, second, *_ = self.kinds[pool][1]
        return first, second

    def swap(self, pool: InstrumentId, sold: str, bought: str, amount: int) -> None:
        """Hand a swap in for the next block."""
        kind, places = self.kinds[pool]
        token_in, token_out = self.tokens[sold], self.tokens[bought]
        sender = self.chain.sender
        if kind == "v2":
            router: Contract = places[2]
            router.submit(
                "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
                amount, 0, [token_in.address, token_out.address], sender, FOREVER,
            )  # fmt: skip
        elif kind == "v3":
            limit = 4295128740 if token_in.raw < token_out.raw else (1 << 160) - (1 << 140)
            limit = min(limit, 1461446703485210103287273052203988822378723970341)
            self.v3.router.submit(
                "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
                (token_in.address, token_out.address, places[2], sender, FOREVER, amount, 0, limit),
            )
        elif kind == "stable":
            index = places.index(sold)
            self.pools[pool].submit(
                "exchange(int128,int128,uint256,uint256)", index, 1 - index, amount, 0
            )
        else:
            vault = self.balancer.vault
            self.chain.submit(
                vault.address,
                calldata(
                    "swap((bytes32,uint8,address,address,uint256,bytes),"
                    "(address,bool,address,bool),uint256,uint256)",
                    (pool.body, 0, token_in.address, token_out.address, amount, b""),
                    (sender, False, sender, False),
                    0,
                    FOREVER,
                ),
            )

    def _provide(self) -> None:
        """Somebody adds a position around the price."""
        pool = self.random.choice([p for p, (kind, _) in self.kinds.items() if kind == "v3"])
        first, second, fee, spacing = self.kinds[pool][1]
        tokens = sorted((self.tokens[first], self.tokens[second]), key=lambda t: t.raw)
        tick = self.pools[pool].call("slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool")[1]
        width = self.random.randrange(1, 30) * spacing
        middle = tick // spacing * spacing
        amounts = []
        for token in tokens:
            name = next(n for n, t in self.tokens.items() if t is token)
            amounts.append(
                self.random.randrange(5_000, 50_000) * self.units[name] // self.worth[name]
            )
        self.v3.positions.submit(
            "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
            (
                tokens[0].address, tokens[1].address, fee, middle - width, middle + width, *amounts,
                0, 0, self.chain.sender, FOREVER,
            ),
        )  # fmt: skip

    def _pair(
        self, venue: Venue, exchange: UniswapV2, first: str, second: str, dollars: int
    ) -> None:
        pair = exchange.pair(self.tokens[first], self.tokens[second])
        for name in (first, second):
            token = self.tokens[name]
            token.send("approve(address,uint256)", exchange.router.address, SUPPLY)
            amount = dollars // 2 * self.units[name] // self.worth[name]
            token.send("transfer(address,uint256)", pair.address, amount)
        pair.send("mint(address)", self.chain.sender)
        self._known(venue, pair, pair.raw, "v2", (first, second, exchange.router))

    def _concentrated(self, first: str, second: str, fee: int, spacing: int) -> None:
        tokens = sorted((self.tokens[first], self.tokens[second]), key=lambda t: t.raw)
        names = [next(n for n, t in self.tokens.items() if t is token) for token in tokens]
        # Units of token 1 that a unit of token 0 is worth, as a Q64.96 square root.
        above = self.units[names[1]] * self.worth[names[0]] << 192
        price = isqrt(above // (self.units[names[0]] * self.worth[names[1]]))
        for token in tokens:
            for spender in (self.v3.router, self.v3.positions):
                token.send("approve(address,uint256)", spender.address, SUPPLY)
        addresses = [token.address for token in tokens]
        self.v3.factory.send("createPool(address,address,uint24)", *addresses, fee)
        address = self.v3.factory.call(
            "getPool(address,address,uint24)", "address", *addresses, fee
        )
        pool = Contract(self.chain, address)
        pool.send("initialize(uint160)", price)
        tick = pool.call("slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool")[1]
        middle = tick // spacing * spacing
        for width in (20, 100, 600, 3000):
            amounts = [200_000 * self.units[n] // self.worth[n] for n in names]
            self.v3.mint(
                (tokens[0], tokens[1]), fee, middle - width * spacing // 10 // spacing * spacing,
                middle + width * spacing // 10 // spacing * spacing, *amounts,
            )  # fmt: skip
        self._known(Venue.UNISWAP_V3, pool, pool.raw, "v3", (first, second, fee, spacing))

    def _stable(self) -> None:
        coins = self.tokens["USDC"], self.tokens["DAI"]
        pool = stable_swap(self.chain, coins, 200, 4_000_000, 5 * 10**9)
        pool.send("add_liquidity(uint256[2])", [1_000_000 * 10**6, 1_000_000 * E18])
        self._known(Venue.CURVE, pool, pool.raw, "stable", ("USDC", "DAI"))

    def _weighted(self) -> None:
        names = sorted(("WETH", "DAI"), key=lambda name: self.tokens[name].raw)
        tokens = [self.tokens[name] for name in names]
        weights = {"WETH": 8 * 10**17, "DAI": 2 * 10**17}
        pool, identifier = self.balancer.create(tokens, [weights[n] for n in names], 3 * 10**15)
        dollars = {"WETH": 800_000, "DAI": 200_000}
        amounts = [dollars[n] * self.units[n] // self.worth[n] for n in names]
        self.balancer.join(identifier, tokens, amounts, first=True)
        self._known(Venue.BALANCER_V2, pool, identifier, "weighted", ("WETH", "DAI"))

    def _known(
        self, venue: Venue, pool: Contract, body: bytes, kind: str, places: tuple[Any, ...]
    ) -> None:
        instrument = InstrumentId.pool(venue, CHAIN_ID, body)
        self.pools[instrument] = pool
        self.kinds[instrument] = kind, places


class Recorder:
    """Follows the node block by block, and writes what it finds."""

    def __init__(self, chain: Chain, market: Market) -> None:
        self.chain = chain
        self.market = market
        self.node = RecordingNode(chain)
        self.metadata: dict[InstrumentId, PoolMetadata] = {}
        self.rows: list[RecordedBlock] = []
        self.known: dict[str, dict[str, str]] = {}
        """Every answer at each block, by the block's hash."""
        self.values: dict[InstrumentId, Pool] = {}

    async def take(self) -> None:
        """Everything up to the node's last block that was not taken yet."""
        block = self.chain.rpc("eth_getBlockByNumber", ["latest", False])
        path = []
        while block["hash"] not in self.known:
            path.append(block)
            if not self.known:
                break
            block = self.chain.rpc("eth_getBlockByHash", [block["parentHash"], False])
        for fresh in reversed(path):
            await self._block(fresh)

    async def _block(self, block: dict[str, Any]) -> None:
        vault = self.market.balancer.vault.raw
        self.node.calls = {}
        if not self.metadata:
            for pool in self.market.pools:
                self.metadata[pool] = await read_metadata(self.node, pool, vault)
        block_hash = bytes.fromhex(block["hash"][2:])
        for pool, metadata in self.metadata.items():
            self.values[pool] = await read_pool(self.node, metadata, block_hash, vault)
        before = self.known.get(block["parentHash"], {})
        changed = {key: v for key, v in self.node.calls.items() if before.get(key) != v}
        self.known[block["hash"]] = before | self.node.calls
        logs = self.chain.rpc("eth_getLogs", [{"blockHash": block["hash"]}])
        own = {pool.body[:20] for pool in self.metadata} | {vault}
        self.rows.append(
            RecordedBlock(
                header={key: block[key] for key in HEADER_FIELDS if key in block},
                gas_price=hex(int(block["baseFeePerGas"], 16) + GWEI),
                logs=[
                    {key: log[key] for key in LOG_FIELDS if key in log}
                    for log in logs
                    if bytes.fromhex(log["address"][2:]) in own
                ],
                calls=changed,
            )
        )


def arbitrage(market: Market, recorder: Recorder) -> None:
    """Take the best cycle, if there is one; its swaps come first in the next block."""
    graph = PoolGraph(3)
    for pool in recorder.values.values():
        graph.put(pool)
    names = {token.raw: name for name, token in market.tokens.items()}
    token = InstrumentId.token(CHAIN_ID, market.tokens["WETH"].raw)
    best = None
    for cycle in graph.candidates(list(graph.pools)):
        started = cycle.starting_with([token])
        sizing = None if started is None else best_input(started, graph.pools, at_least=_WORTH_IT)
        if sizing is not None and (best is None or sizing.profit > best.profit):
            best = sizing
    if best is None:
        return
    for hop, amount in zip(best.cycle.hops, best.amounts, strict=False):
        market.swap(hop.pool, names[hop.token_in.body], names[hop.token_out.body], amount)


async def record(chain: Chain, blocks: int, seed: int) -> tuple[ScenarioHeader, Recorder]:
    """Run the market for ``blocks`` blocks."""
    market = Market(chain, seed)
    recorder = Recorder(chain, market)
    chain.rpc("evm_setAutomine", [False])
    clock = int(chain.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    await recorder.take()
    for step in range(1, blocks + 1):
        if market.random.randrange(3) == 0:
            arbitrage(market, recorder)
        market.trade()
        clock += BLOCK_SECONDS
        fee = GWEI // 2 + market.random.randrange(GWEI)
        chain.rpc("anvil_setNextBlockBaseFeePerGas", [hex(fee)])
        chain.rpc("evm_setNextBlockTimestamp", [clock])
        chain.rpc("evm_mine", [])
        if step == blocks // 2:
            await recorder.take()
            chain.rpc("anvil_reorg", [2, []])
        await recorder.take()
    weth, usdc = (
        format_instrument(InstrumentId.token(CHAIN_ID, market.tokens[name].raw))
        for name in ("WETH", "USDC")
    )
    header = ScenarioHeader(
        source="anvil: Uniswap V2 and V3, Balancer V2 (published bytecode), a StableSwap pool",
        chain_id=CHAIN_ID,
        block_ms=BLOCK_SECONDS * 1000,
        native=weth,
        profit_tokens=[weth, usdc],
        pools=[format_instrument(pool) for pool in market.pools],
        vault=market.balancer.vault.address,
    )
    return header, recorder


def main() -> None:
    """Record, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        running_anvil("--silent", "--gas-limit", "60000000") as node,
        connected(node) as chain,
    ):
        header, recorder = asyncio.run(record(chain, arguments.blocks, arguments.seed))
    with lzma.open(arguments.out, "wb", preset=9) as lines:
        for row in (header, *recorder.rows):
            lines.write(msgspec.json.encode(row) + b"\n")
    size = arguments.out.stat().st_size
    logs = sum(len(row.logs) for row in recorder.rows)
    print(f"{len(recorder.rows)} blocks, {logs} logs, {size} bytes")


if __name__ == "__main__":
    main()
