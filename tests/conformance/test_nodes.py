"""Nodes do no I/O: the same messages at the same times give the same bytes, whatever the run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from pool_chain import running
from starlette.applications import Starlette

from torq_codec import MessageBuilder, iter_messages, parse_instrument
from torq_relays import CollectingSink
from torq_services.adapters import ADAPTERS
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.feed import EvmFeed
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.instance import config as configuration
from torq_services.processes.serving import ServiceServer
from torq_services.venues import EvmNode, load_scenario, load_session
from torq_types import (
    TLV,
    ArbitrageSignal,
    CloseReason,
    Domain,
    ExecutionReport,
    Fill,
    GasPrice,
    InvalidationReason,
    OrderRequest,
    RiskDecision,
    StateInvalidation,
    SwapPath,
    SystemHealth,
)

START_NS = 1_790_000_000 * 10**9
SESSIONS = {"coinbase": "coinbase_advanced_2026-08", "gemini": "gemini_2026-08"}
NODES = ("strategy-cross-exchange", "strategy-flash-arbitrage", "execution-paper")
SESSION_US = 5_000_000
"""So much of each session is enough: the exchanges' prices differ from the first second on."""
BLOCKS = 12
"""Live ones of the chain, a reorganisation among them; what came before is history."""
HISTORY_NS = 2_500_000_000
"""So old it causes no signal any more, and its source is not silent yet."""
CHAIN_SOURCE = 500
Timed = tuple[int, int, tuple[TLV, ...]]
"""When, from which source, what."""


def of_exchange(name: str) -> Iterator[Timed]:
    """A recorded session through the exchange's adapter, at the times at which it was recorded."""
    session, config = load_session(SESSIONS[name]), configuration.sample().venues[name]
    sink, now_ns = CollectingSink(), START_NS
    adapter = ADAPTERS[name](config.symbols, sink, clock=lambda: now_ns)
    bodies = {path: session.answers[path].encode() for path in adapter.listing_paths()}
    adapter.use_listing(adapter.read_listing(bodies))
    for symbol in adapter.books:
        adapter.publish_meta(symbol)
    adapter.connected()
    for frame in session.frames:
        if frame.offset_us > SESSION_US:
            return
        now_ns = START_NS + frame.offset_us * 1000
        adapter.receive(frame.text.encode())
        for tlvs in sink.messages:
            yield now_ns, int(adapter.venue), tlvs
        sink.messages.clear()


async def of_chain(folder: Path) -> list[Timed]:
    """What the real feed says of the scenario's node: history, then a block a quarter second."""
    scenario, sink = load_scenario(), CollectingSink()
    config = configuration.sample().chains["sample"]
    app = Starlette(routes=EvmNode(scenario, speed=60).routes())
    server = ServiceServer(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio",
                       timeout_graceful_shutdown=1)
    )  # fmt: skip
    serving = asyncio.create_task(server.serve_until_cancelled())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    settings = EvmSettings(
        name="sample", chain_id=config.chain_id, urls=(f"ws://127.0.0.1:{port}/evm",),
        pools=tuple(map(parse_instrument, config.pools)), vault=bytes.fromhex(config.vault[2:]),
        requests_per_second=100_000, verify_blocks=1,
    )  # fmt: skip
    feed = EvmFeed(settings, sink, MetadataCache(folder / "pools.json"))
    try:
        async with running(feed), asyncio.timeout(180):
            while feed.reorganisations == 0 or feed.events < 600:
                await asyncio.sleep(0.01)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    is_void = [
        isinstance(tlv, StateInvalidation) and tlv.reason is InvalidationReason.REORGANISED
        for tlvs in sink.messages
        for tlv in tlvs[:1]
    ]
    reorganised = is_void.index(True)
    ends = [place for place, tlvs in enumerate(sink.messages) if isinstance(tlvs[0], GasPrice)]
    first_live = [place for place in ends if place < reorganised][-BLOCKS // 2]
    last_live = [place for place in ends if place > reorganised][BLOCKS // 2]
    timed: list[Timed] = []
    now_ns = START_NS - HISTORY_NS
    for place, tlvs in enumerate(sink.messages[: last_live + 1]):
        if place in ends and place >= first_live:
            now_ns = max(START_NS, now_ns + 250_000_000)
        timed.append((now_ns, CHAIN_SOURCE, tlvs))
    return timed


@pytest.fixture(scope="module")
def market_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market data of sample mode, as its relay's log would hold it."""
    folder = tmp_path_factory.mktemp("market-data")
    timed = [
        *of_exchange("coinbase"),
        *of_exchange("gemini"),
        *asyncio.run(of_chain(folder)),
    ]
    timed.sort(key=lambda entry: entry[0])
    sequences: Counter[int] = Counter()
    path = folder / "market-data"
    with path.open("wb") as file:
        for now_ns, source, tlvs in timed:
            sequences[source] += 1
            builder = MessageBuilder(Domain.MARKET_DATA, source)
            for tlv in tlvs:
                builder.add(tlv)
            file.write(builder.build(sequence=sequences[source], timestamp_ns=now_ns))
    return path


def published(market_data: Path, folder: Path, hash_seed: str, kernel: str) -> dict[str, bytes]:
    """What each node says of the market data, in a process of its own."""
    folder.mkdir()
    script = Path(__file__).parents[1] / "support" / "node_run.py"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TORQ_PURE_PYTHON": kernel}
    done = subprocess.run(
        [sys.executable, str(script), str(market_data), str(folder), str(START_NS)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_bytes() for name in NODES}


def test_two_runs_publish_the_same_bytes(market_data: Path, tmp_path: Path) -> None:
    first = published(market_data, tmp_path / "first", "1", "")
    for place, (seed, kernel) in enumerate((("2", ""), ("3", "1"))):
        again = published(market_data, tmp_path / str(place), seed, kernel)
        for name in NODES:
            assert again[name] == first[name], f"{name} under PYTHONHASHSEED={seed}"
    # Equal and empty would prove nothing: every way of deciding was taken.
    kinds = {
        name: Counter(type(tlv) for message in iter_messages(first[name]) for tlv in message.tlvs)
        for name in NODES
    }
    assert kinds["strategy-cross-exchange"][ArbitrageSignal] > 10
    assert kinds["strategy-flash-arbitrage"][SwapPath] > 20
    execution = kinds["execution-paper"]
    assert execution[RiskDecision] > 10
    assert min(execution[OrderRequest], execution[Fill], execution[ExecutionReport]) > 1
    assert all(kinds[name][SystemHealth] > 10 for name in NODES)
    reasons = {
        message[ArbitrageSignal].close_reason
        for name in NODES[:2]
        for message in iter_messages(first[name])
        if ArbitrageSignal in message
    }
    assert {CloseReason.NONE, CloseReason.VANISHED, CloseReason.STALE} <= reasons
