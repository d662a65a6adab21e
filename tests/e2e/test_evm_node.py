"""The EVM feed against the loopback node: the recorded scenario, and a node that lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pool_chain import Reader, running
from starlette.applications import Starlette

from torq_codec import parse_instrument
from torq_relays import Backoff
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.processes.serving import ServiceServer
from torq_services.venues import EvmNode, load_scenario
from torq_services.venues.scenario import load_header
from torq_types import InvalidationReason, PoolState, StateInvalidation


@asynccontextmanager
async def served(node: EvmNode) -> AsyncIterator[str]:
    """The node on a port of its own; its address."""
    server = ServiceServer(
        uvicorn.Config(
            Starlette(routes=node.routes()), host="127.0.0.1", port=0, log_config=None,
            ws="websockets-sansio", timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    task = asyncio.create_task(server.serve_until_cancelled())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/evm"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def feed_of(url: str, reader: Reader, folder: Path, **changes: Any) -> EvmFeed:
    """A feed of the scenario's pools."""
    header = load_header()
    values: dict[str, Any] = {
        "name": "sample", "chain_id": header.chain_id, "urls": (url,),
        "pools": tuple(map(parse_instrument, header.pools)),
        "vault": bytes.fromhex(header.vault[2:]), "requests_per_second": 100_000,
        "verify_blocks": 1,
    }  # fmt: skip
    settings = EvmSettings(**{**values, **changes})
    cache = MetadataCache(folder / "pools.json")
    return EvmFeed(settings, reader, cache, backoff=Backoff(first=0.05, most=0.2))


async def until(condition: Any, seconds: float = 180) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_scenario_is_followed_through_its_reorganisation_and_its_end(
    runtime_dir: Path,
) -> None:
    scenario = load_scenario()
    reader = Reader()
    async with served(EvmNode(scenario, speed=60)) as url:
        feed = feed_of(url, reader, runtime_dir)
        async with running(feed):
            # The first repetition lies 10,000 blocks higher.
            await until(lambda: feed.history.tip is not None and feed.history.tip.number > 10_000)
            await until(lambda: feed.health().verified_pools == len(scenario.header.pools))
    assert feed.reorganisations == 1
    assert feed.deepest == 2
    assert feed.events > 600
    assert feed.verifications > 100
    assert feed.faults == {"started_over": 1}
    assert not feed.market.faults
    reasons = {t.reason for t in reader.sent if isinstance(t, StateInvalidation)}
    assert InvalidationReason.INCONSISTENT not in reasons
    symbols = {meta.base for meta in reader.market.metas.values()}
    assert symbols == {"WETH", "USDC", "DAI"}


class LyingNode(EvmNode):
    """Tells of logs and leaves them out, repeats them, or mixes them up."""

    def __init__(self, lie: str) -> None:
        super().__init__(load_scenario(), speed=60)
        self.lie = lie
        self.lies = 0

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """The truth, but for the logs of some blocks."""
        found = super().answer(method, parameters)
        if method != "eth_getLogs" or not found or self.lies >= 3:
            return found
        if self.lie == "reordered" and len(found) < 2:
            return found
        self.lies += 1
        if self.lie == "skipped":
            return found[:-1]
        if self.lie == "repeated":
            return [found[0], *found]
        if self.lie == "reordered":
            return found[::-1]
        if self.lie == "of another block":
            return [{**found[0], "blockHash": "0x" + "ab" * 32}, *found[1:]]
        return [*found, {**found[-1], "address": "0x" + "cd" * 20, "logIndex": "0xfff"}]


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        ("skipped", "skipped_logs"),
        ("repeated", "repeated_logs"),
        ("reordered", "disordered_logs"),
        ("of another block", "MalformedEventError"),
        ("unasked", "unasked_logs"),
    ],
)
async def test_a_node_that_lies_is_noticed_and_harms_nobody(
    runtime_dir: Path, lie: str, fault: str
) -> None:
    node, reader = LyingNode(lie), Reader()
    async with served(node) as url:
        feed = feed_of(url, reader, runtime_dir)
        async with running(feed):
            await until(lambda: node.lies >= 3)
            await until(lambda: feed.state == "in step" and feed.health().verified_pools == 7)
            blocks = feed.blocks
            await until(lambda: feed.blocks > blocks + 20)
            # Every block a pool is compared with the chain: none was ever wrong.
            assert feed.faults[fault] >= 1
            assert feed.faults["contradicted"] == 0
            assert feed.health().verified_pools == 7


async def test_another_reader_that_comes_late_is_told_everything(runtime_dir: Path) -> None:
    reader = Reader()
    async with served(EvmNode(load_scenario(), speed=60)) as url:
        feed = feed_of(url, reader, runtime_dir, repeat_blocks=5)
        async with running(feed):
            await until(lambda: feed.blocks > 12)
    states = [tlv for tlv in reader.sent if isinstance(tlv, PoolState)]
    assert len(states) >= 3 * 7


def test_the_node_refuses_what_it_does_not_know() -> None:
    node = EvmNode(load_scenario())
    node.advance(0)
    answer = node._respond('{"id":1,"method":"eth_sendTransaction","params":[]}', {})
    assert b"not in the recorded scenario" in answer
    assert b"-32700" in node._respond("{", {})
    assert b"-32600" in node._respond("[1]", {})
    assert b"-32602" in node._respond('{"id":1,"method":"eth_call","params":[]}', {})
    assert b"block not found" in node._respond(
        '{"id":1,"method":"eth_getLogs","params":[{"blockHash":"0x00"}]}', {}
    )
