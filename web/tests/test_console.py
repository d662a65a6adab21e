"""The console's pages and stream, on a real server with real relays behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn
from accounts import chain_health, feed_health
from relays import running_relay
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from torq_codec import format_instrument
from torq_relays import AsyncPublisher
from torq_services.adapters.chain.health import EvmHealth, PoolHealth
from torq_services.demos.arbitrage import send_demo_arbitrage
from torq_services.instance import config as configuration
from torq_services.instance.folder import Instance
from torq_services.processes.serving import ServiceServer
from torq_types import (
    TLV,
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Domain,
    Economics,
    ExecutionReport,
    InstrumentId,
    SignalStatus,
    SwapHop,
    SwapPath,
    SystemHealth,
    Venue,
)
from torq_web import create_app
from torq_web.board import Board, exact_amount
from torq_web.pages import Pages

REPORT = ExecutionReport(
    opportunity_id=5, predicted_net=1, realised_gross=1, realised_fees=0, realised_net=1,
    exponent=0, paper=1, currency="USD",
)  # fmt: skip


@asynccontextmanager
async def console(runtime_dir: Path, board: Board | None = None) -> AsyncIterator[str]:
    instance = Instance(runtime_dir)
    app = create_app(configuration.sample(venue_port=1), instance, board)
    server = ServiceServer(
        uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    task = asyncio.create_task(server.serve_until_cancelled())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def is_followed(board: Board) -> bool:
    """Whether every relay answers, and the signal relay has the console for a reader."""
    signal = board.relays.get("signal")
    answering = [relay for relay in board.relays.values() if relay is not None]
    return len(answering) == 3 and signal is not None and len(signal.subscribers) > 0


async def test_relays_and_signals_arrive_as_fragments(runtime_dir: Path) -> None:
    with (
        running_relay(Domain.MARKET_DATA, runtime_dir),
        running_relay(Domain.SIGNAL, runtime_dir),
        running_relay(Domain.EXECUTION, runtime_dir),
    ):
        board = Board()
        async with console(runtime_dir, board) as host, connect(f"ws://{host}/stream") as socket:
            async with asyncio.timeout(120):
                while not is_followed(board):
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(send_demo_arbitrage, runtime_dir)
                fragments = ""
                while "DEMO-USD" not in fragments:
                    fragments += str(await socket.recv())
            assert '<hx-partial hx-target="#relays" hx-swap="innerHTML">' in fragments
            assert "synthetic" in fragments
            assert '1.37955 <span class="price">USD</span>' in fragments
            async with httpx.AsyncClient() as client:
                page = (await client.get(f"http://{host}/")).text
            assert "Sample data" in page
            assert "DEMO-USD" in page
            assert 'data-relay="signal"' in page


async def test_what_changes_reaches_the_browser_and_nothing_else(runtime_dir: Path) -> None:
    board = Board()
    async with console(runtime_dir, board) as host, connect(f"ws://{host}/stream") as socket:
        async with asyncio.timeout(120):
            first = str(await socket.recv())
            assert all(f'hx-target="#{name}"' in first for name in ("venues", "pools", "signals"))
            board.venue(feed_health("kraken"), time.time_ns())
            seen = ""
            while "kraken" not in seen:  # the relays, which are away, change beside it
                seen = str(await socket.recv())
            assert 'hx-target="#venues"' in seen
            assert 'hx-target="#signals"' not in seen
            assert 'hx-target="#pools"' not in seen


async def test_a_relay_that_dies_later_is_not_shown_alive(runtime_dir: Path) -> None:
    board = Board()
    async with console(runtime_dir, board) as host:
        with running_relay(Domain.SIGNAL, runtime_dir):
            async with asyncio.timeout(120):
                while board.relays.get("signal") is None:
                    await asyncio.sleep(0.02)
            async with httpx.AsyncClient() as client:
                page = await client.get(f"http://{host}/")
            assert page.text.count("does not answer") == 2
        async with asyncio.timeout(120), httpx.AsyncClient() as client:
            while board.relays["signal"] is not None:
                await asyncio.sleep(0.02)
            page = await client.get(f"http://{host}/")
        assert page.text.count("does not answer") == 3


async def test_silence_is_looked_for(runtime_dir: Path) -> None:
    board = Board()
    board.venue(feed_health("kraken"), 0)
    async with console(runtime_dir, board):
        async with asyncio.timeout(120):
            while not board.venues["kraken"].is_silent:
                await asyncio.sleep(0.02)


async def test_health_by_the_relays_reaches_the_board(runtime_dir: Path) -> None:
    """Each kind of account, from each relay, in its place; one that cannot be read costs itself."""
    board = Board()

    def said(service: str, account: object) -> SystemHealth:
        return SystemHealth(1, 1, service, msgspec.json.encode(account).decode())

    with (
        running_relay(Domain.MARKET_DATA, runtime_dir),
        running_relay(Domain.SIGNAL, runtime_dir),
        running_relay(Domain.EXECUTION, runtime_dir),
    ):
        async with console(runtime_dir, board):
            async with asyncio.timeout(120):
                while not all(
                    relay is not None and any(s.name == "console" for s in relay.subscribers)
                    for relay in (board.relays.get(domain.slug) for domain in Domain)
                ):
                    await asyncio.sleep(0.02)
                accounts: dict[Domain, list[TLV]] = {
                    Domain.MARKET_DATA: [
                        SystemHealth(1, 1, "adapter-broken", "{"),
                        said("somebody-else", {}),
                        said("adapter-kraken", feed_health("kraken")),
                        said("chain-mainnet", chain_health("mainnet")),
                    ],
                    Domain.SIGNAL: [said("strategy-cross-exchange", {"signals": 3})],
                    Domain.EXECUTION: [said("execution-paper", {"orders": 4}), REPORT],
                }
                for domain, tlvs in accounts.items():
                    publisher = await AsyncPublisher.connect(
                        domain, source=7, runtime_dir=runtime_dir
                    )
                    publisher.send_many(tlvs)
                    await publisher.close()
                while not (board.chains and board.strategies and board.reports):
                    await asyncio.sleep(0.02)
    assert set(board.venues) == {"kraken"}
    assert set(board.chains) == {"mainnet"}
    assert board.strategies == {"cross-exchange": {"signals": 3}}
    assert board.executor == {"orders": 4}
    assert [row.opportunity for row in board.reports] == [5]


async def test_without_relays_the_page_says_so(runtime_dir: Path) -> None:
    async with console(runtime_dir) as host, httpx.AsyncClient() as client:
        page = await client.get(f"http://{host}/")
        assert page.text.count("does not answer") == 3
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert (await client.get(f"http://{host}/healthz")).text == "ok\n"
        script = await client.get(f"http://{host}/static/vendor/htmx.min.js")
        assert script.status_code == 200


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("http://{host}", True),
        ("https://evil.example", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
    ],
)
async def test_a_foreign_page_cannot_open_the_stream(
    runtime_dir: Path, origin: str | None, is_allowed: bool
) -> None:
    async with console(runtime_dir) as host:
        claimed = origin.format(host=host) if origin else None
        opening = connect(f"ws://{host}/stream", origin=claimed)  # type: ignore[arg-type]
        if is_allowed:
            async with opening as socket:
                assert "hx-partial" in str(await socket.recv())
        else:
            with pytest.raises(InvalidStatus) as refused:
                await opening
            assert refused.value.response.status_code == 403


async def test_another_hosts_name_is_refused(runtime_dir: Path) -> None:
    async with console(runtime_dir) as host, httpx.AsyncClient() as client:
        for name, status in (
            ("evil.example", 403),
            ("localhost", 200),
            ("127.0.0.1:80", 200),
            ("[::1]", 200),
            ("[::1]:80", 200),
            ("[::2]", 403),
            ("localhost.evil.example", 403),
        ):
            answer = await client.get(f"http://{host}/healthz", headers={"host": name})
            assert answer.status_code == status


def test_amounts_are_shown_exactly() -> None:
    assert exact_amount(1_379_550, -6) == "1.37955"
    assert exact_amount(-5, -3) == "-0.005"
    assert exact_amount(100, 2) == "10000"
    assert exact_amount(100, -2) == "1"
    assert exact_amount(0, -18) == "0"


def test_a_path_through_pools_is_a_row_with_names_and_exact_amounts() -> None:
    board = Board()
    tokens = InstrumentId.token(1, b"\x01" * 20), InstrumentId.token(1, b"\x02" * 20)
    pools = [InstrumentId.pool(Venue.UNISWAP_V2, 1, bytes([n]) * 20) for n in (3, 4)]
    first = PoolHealth(format_instrument(pools[0]), "WETH/USDC", "verified", "2500", 7, 1)
    health = EvmHealth(
        "mainnet",
        "in step",
        "ws://node",
        1,
        7,
        1,
        0,
        7,
        3,
        1,
        2,
        1,
        1,
        "",
        {"repeated": 2},
        [first],
    )
    board.chain(health, 0)
    none = Decimal64(0, 0)
    signal = ArbitrageSignal(
        pools[0], pools[1], 1, 0, 0, 0, none, none, none, SignalStatus.OPENED, CloseReason.NONE
    )
    economics = Economics(10**15 + 1, 0, 10**14, 9 * 10**14 + 1, 10**18, -18, "WETH")
    hops = (
        SwapHop(10**18, 2500, pools[0], tokens[0].body, tokens[1].body),
        SwapHop(2500, 10**18 + 10**15 + 1, pools[1], tokens[1].body, tokens[0].body),
    )
    board.signal(signal, economics, SwapPath(7, bytes(32), 10, 11, 1, hops), "key", 0)
    row = board.signals[0]
    assert row.buy == "uniswap_v2 WETH/USDC"
    assert row.sell == format_instrument(pools[1])
    assert (row.size, row.gross) == ("1", "0.001000000000000001")
    assert (row.fees, row.net) == ("gas 0.0001", "0.000900000000000001")
    html = Pages(board, configuration.sample(venue_port=1)).page()
    assert "uniswap_v2 WETH/USDC" in html
    assert '<td class="verified">verified</td>' in html
    board.check_silence(10**10)
    assert '<td class="stale">stale</td>' in Pages(board, configuration.sample(venue_port=1)).page()
