"""A chain of Uniswap V2 pools as a node tells of it, told by a test, without sockets.

A real feed follows it in virtual time; only the connection is replaced.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_utils.crypto import keccak
from pool_messages import POOL, TOKENS, block_hash, sync
from scripted_exchange import Highest
from virtual_time import in_virtual_time

from torq_codec.dex import encode_event
from torq_relays import Backoff, CollectingSink
from torq_services.adapters.chain import feed as feed_module
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.rpc import Endpoint, RateLimit, RpcError
from torq_services.adapters.chain.settings import EvmSettings
from torq_types import TLV, InstrumentId

__all__ = ["Block", "ScriptedChain", "ScriptedNode", "call_key", "log_of", "word"]

FULL_BLOOM = "0x" + "ff" * 256


def word(*values: int) -> bytes:
    """32 bytes each, as a contract answers."""
    return b"".join(value.to_bytes(32, "big", signed=value < 0) for value in values)


def call_key(to: bytes, signature: str, argument: bytes = b"") -> tuple[str, str]:
    """Contract and data of a call."""
    return "0x" + to.hex(), "0x" + (bytes(keccak(text=signature))[:4] + argument).hex()


def log_of(event: TLV) -> dict[str, Any]:
    """An event's log as a node answers it."""
    log = encode_event(event)
    return {
        "address": "0x" + log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.payload.hex(),
        "blockNumber": hex(log.block_number),
        "blockHash": "0x" + log.block_hash.hex(),
        "transactionHash": "0x" + log.transaction_hash.hex(),
        "transactionIndex": "0x0",
        "logIndex": hex(log.log_index),
        "removed": False,
    }


class Block(msgspec.Struct):
    """A header, its logs, and the pools' reserves after it."""

    header: dict[str, Any]
    logs: list[dict[str, Any]]
    reserves: dict[InstrumentId, int]
    parent: Block | None
    gas_price: int = 30

    @property
    def hash(self) -> str:
        """With 0x."""
        return str(self.header["hash"])


class ScriptedNode(Endpoint):
    """One connection to the chain."""

    def __init__(self, chain: ScriptedChain, url: str, faults: Counter[str]) -> None:
        super().__init__(None, url, RateLimit(10**6), faults)  # type: ignore[arg-type]
        self._chain = chain
        self.notices: asyncio.Queue[tuple[str, Any] | Exception] = asyncio.Queue()
        self.subscribed: list[tuple[Any, ...]] = []

    async def subscribe(self, *parameters: Any) -> str:
        """By its own name."""
        self.subscribed.append(parameters)
        return str(parameters[0])

    async def notifications(self) -> AsyncIterator[tuple[str, Any]]:
        """What the test announces."""
        while True:
            notice = await self.notices.get()
            if isinstance(notice, Exception):
                raise notice
            yield notice

    async def _send(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        await asyncio.sleep(0)
        return [{"id": n, **self._chain.answered(*call)} for n, call in enumerate(calls)]


class ScriptedChain:
    """Blocks, in the order in which a test adds them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.by_hash: dict[str, Block] = {}
        self.head: Block
        self.asked: list[tuple[str, Any]] = []
        self.nodes: list[ScriptedNode] = []
        self.opened: list[tuple[float, str]] = []
        self.chain_id = "0x1"
        self.cannot_open: set[str] = set()
        self.calls: dict[tuple[str, str], bytes] = {}
        self.override: Callable[[str, Sequence[Any]], Any] = lambda method, parameters: None
        """What is not None is answered in place of the truth."""
        self.sink = CollectingSink()
        self.settings = EvmSettings(
            name="test", chain_id=1, urls=("ws://a",), pools=(POOL,), verify_blocks=0,
            history_blocks=8, max_gap_blocks=6, requests_per_second=10**6, repeat_blocks=1000,
        )  # fmt: skip
        self.folder = folder
        self.feed: EvmFeed
        monkeypatch.setattr(feed_module, "open_endpoint", self._open)
        self.add_pool(POOL)
        for token, symbol in zip(TOKENS, (b"AAA", b"BBB"), strict=True):
            self.calls[call_key(token.body, "decimals()")] = word(18)
            self.calls[call_key(token.body, "symbol()")] = symbol.ljust(32, b"\0")
        self.add(10, POOL, 100)

    def add_pool(self, pool: InstrumentId) -> None:
        """Of the usual tokens."""
        for number, token in enumerate(TOKENS):
            self.calls[call_key(pool.body, f"token{number}()")] = bytes(12) + token.body

    def add(
        self, number: int, pool: InstrumentId | None = None, reserve: int = 0, *, branch: int = 0,
        parent: Block | None = None, bloom: str = FULL_BLOOM,
    ) -> Block:  # fmt: skip
        """The next block; with ``pool``, its reserves changed."""
        parent = parent or getattr(self, "head", None)
        own = block_hash(number, branch)
        header = {
            "number": hex(number), "hash": "0x" + own.hex(),
            "parentHash": "0x" + bytes(32).hex() if parent is None else parent.hash,
            "baseFeePerGas": hex(20), "timestamp": hex(1000 + number), "logsBloom": bloom,
        }  # fmt: skip
        reserves = {} if parent is None else dict(parent.reserves)
        block = Block(header, [], reserves, parent)
        if pool is not None:
            reserves[pool] = reserve
            block.logs.append(log_of(sync(reserve, number, 0, branch, pool)))
        self.by_hash[block.hash] = self.head = block
        return block

    def announce(self, block: Block) -> None:
        """The head of the chain is another one."""
        self.nodes[-1].notices.put_nowait(("newHeads", block.header))

    def tell(self, log: dict[str, Any]) -> None:
        """A log, or that one is taken back."""
        self.nodes[-1].notices.put_nowait(("logs", log))

    def methods(self) -> list[str]:
        """What was asked so far, by method; forgotten thereby."""
        found = [method for method, _ in self.asked]
        self.asked.clear()
        return found

    def sent(self) -> list[TLV]:
        """What was published so far; forgotten thereby."""
        found = self.sink.tlvs
        self.sink.messages.clear()
        return found

    async def settle(self, seconds: float = 0.01) -> None:
        """Let everything happen that can."""
        await asyncio.sleep(seconds)

    def run(self, story: Callable[[], Coroutine[Any, Any, None]], **changes: Any) -> None:
        """Follow while ``story`` is told; it begins when the feed is in step."""
        self.settings = msgspec.structs.replace(self.settings, **changes)

        async def main() -> None:
            self.feed = EvmFeed(
                self.settings, self.sink, MetadataCache(self.folder / "pools.json"),
                backoff=Backoff(first=0.25, most=30.0, chance=Highest()),
            )  # fmt: skip
            following = asyncio.create_task(self.feed.run())
            try:
                await self.settle()
                await story()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

        in_virtual_time(main())

    def answered(self, method: str, parameters: Sequence[Any]) -> dict[str, Any]:
        """A node's answer to a call."""
        self.asked.append((method, parameters[0] if parameters else None))
        found = self.override(method, parameters)
        if found is None:
            found = self._truth(method, parameters)
        if isinstance(found, Exception):
            return {"error": {"code": -32000, "message": str(found)}}
        return {"result": None if found == "null" else found}

    def _truth(self, method: str, parameters: Sequence[Any]) -> Any:
        if method == "eth_chainId":
            return self.chain_id
        if method == "eth_blockNumber":
            return self.head.header["number"]
        if method == "eth_gasPrice":
            return hex(self.head.gas_price)
        if method == "eth_getBlockByNumber":
            return self.head.header
        if method == "eth_getBlockByHash":
            block = self.by_hash.get(parameters[0])
            return "null" if block is None else block.header
        if method == "eth_getLogs":
            return self._logs(parameters[0])
        return self._call(*parameters)

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            blocks = [self.by_hash[wanted["blockHash"]]]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            blocks = [
                block
                for block in self.by_hash.values()
                if first <= int(block.header["number"], 16) <= last
            ]
        return [log for block in blocks for log in block.logs]

    def _call(self, call: dict[str, str], place: Any) -> Any:
        block = self.head if place == "latest" else self.by_hash.get(place["blockHash"])
        if block is None:
            return RuntimeError("no such block")
        for pool, reserve in block.reserves.items():
            if (call["to"], call["data"]) == call_key(pool.body, "getReserves()"):
                return "0x" + word(reserve, reserve, 0).hex()
        found = self.calls.get((call["to"], call["data"]))
        return RuntimeError("execution reverted") if found is None else "0x" + found.hex()

    @asynccontextmanager
    async def _open(
        self, url: str, limit: RateLimit, faults: Counter[str]
    ) -> AsyncIterator[Endpoint]:
        self.opened.append((round(asyncio.get_running_loop().time(), 2), url))
        if url in self.cannot_open:
            raise RpcError(f"{url}: no route")
        node = ScriptedNode(self, url, faults)
        self.nodes.append(node)
        yield node
