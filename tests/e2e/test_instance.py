"""A whole instance: up, looked at, broken, healed, down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from running import Running, all_logs, instance_up, until
from websockets.asyncio.client import connect

from torq_codec import iter_messages
from torq_relays import Subscriber
from torq_services.adapters import FeedHealth
from torq_types import (
    ArbitrageSignal,
    Domain,
    Economics,
    ExecutionReport,
    Fill,
    L2Snapshot,
    OrderRequest,
    StateReference,
    SystemHealth,
)


async def _fragments(running: Running, wanted: str) -> str:
    """What the console's WebSocket sends until ``wanted`` is in it."""
    seen = ""
    async with asyncio.timeout(120):
        async with connect(f"ws://127.0.0.1:{running.port}/stream") as stream:
            while wanted not in seen:
                seen += str(await stream.recv())
    return seen


def _health_of(service: str, runtime_dir: Path) -> Iterator[FeedHealth]:
    """What an adapter says of itself, every second."""
    with Subscriber.connect(
        Domain.MARKET_DATA, types=[SystemHealth], runtime_dir=runtime_dir
    ) as reports:
        for message in reports:
            health = message.get(SystemHealth)
            if health is not None and health.service == service:
                yield msgspec.json.decode(health.counters, type=FeedHealth)


def test_an_undisturbed_sample_instance_logs_no_warning(runtime_dir: Path) -> None:
    """From up to down, over the seam of Gemini's recording, and with an audit of its books."""
    with instance_up(runtime_dir) as running:
        for gemini in _health_of("adapter-gemini", runtime_dir):
            books = gemini.books.values()
            # A snapshot behind the first: the recording has begun once more.
            if all(book.resyncs for book in books) and any(book.audits for book in books):
                break
        assert gemini.counters.refusals == 0
        assert all(book.invalidations == 0 for book in books)
        running.torq("restart", "strategy-flash-arbitrage")  # a service that a person restarts
    entries = [
        (path.name, json.loads(line))
        for path in runtime_dir.glob("logs/*.log")
        if path.name != "supervisord.log"
        for line in path.read_text().splitlines()
    ]
    assert len({name for name, _ in entries}) == 11
    assert not [entry for entry in entries if entry[1]["level"] not in ("info", "debug")]


def test_an_instance_carries_recorded_bytes_to_a_signal_in_the_browser(runtime_dir: Path) -> None:
    with instance_up(runtime_dir, "--speed", "4") as running:
        status = json.loads(running.torq("status", "--json").stdout)
        assert status["healthy"]
        assert status["is_sample"]
        assert len(status["services"]) == 11

        def feeds_with_frames() -> dict[str, FeedHealth]:
            return {f.venue: f for f in running.status().feeds if f.counters.frames > 0}

        until(lambda: len(feeds_with_frames()) == 2, "both feeds' first frames")
        assert set(feeds_with_frames()["coinbase"].books) == {"BTC-USD", "ETH-USD"}
        assert "verified" in running.torq("status").stdout
        page = httpx.get(f"{running.url}metrics").text
        assert 'torq_book_verified{instrument="BTC-USD",venue="coinbase"} 1.0' in page
        fragments = asyncio.run(_fragments(running, "coinbase:ETH-USD"))
        assert 'class="number net' in fragments
        assert 'data-relay="market-data"' in fragments
        until(lambda: any(relay.rate > 20 for relay in running.status().relays), "traffic")
        asyncio.run(_fragments(running, '<tr class="equal">'))
        asyncio.run(_fragments(running, '<td class="verified">verified</td>'))
        seen: dict[str, int] = {}
        wanted = {
            Domain.MARKET_DATA: L2Snapshot,
            Domain.SIGNAL: ArbitrageSignal,
            Domain.EXECUTION: ExecutionReport,
        }
        for domain, kind in wanted.items():
            for message in Subscriber.connect(domain, start="earliest", runtime_dir=runtime_dir):
                for tlv in message.tlvs:
                    seen[type(tlv).__name__] = seen.get(type(tlv).__name__, 0) + 1
                if isinstance(message.get(ArbitrageSignal), ArbitrageSignal):
                    assert message[Economics].net > 0
                    assert message[StateReference].domain == Domain.MARKET_DATA
                report = message.get(ExecutionReport)
                if report is not None and report.realised_gross:
                    assert report.paper == 1
                if seen.get(kind.__name__, 0) >= 3:
                    break
        assert seen[OrderRequest.__name__] >= 2
        assert seen[Fill.__name__] >= 2
        running.torq("demo", "arbitrage")
        asyncio.run(_fragments(running, "synthetic"))
        logs = running.torq("logs", "adapter-coinbase")
        assert "in step" in logs.stdout
    for folder in ("signal", "execution"):
        logs_on_disk = list((runtime_dir / "data" / folder).glob("*.torqlog"))
        assert logs_on_disk
        for path in logs_on_disk:
            assert sum(1 for message in iter_messages(path.read_bytes()) if message.tlvs) > 3


def test_every_service_may_be_killed_and_the_system_heals(runtime_dir: Path) -> None:
    """Each relay by itself, under those that use it; then all that use them, at once."""
    with instance_up(runtime_dir, "--speed", "4") as running:
        relays = [name for name in running.services() if name.startswith("relay-")]
        others = [name for name in running.services() if name not in relays]
        assert len(relays) == 3
        for victims in (*([relay] for relay in relays), others):
            before = {name: running.services()[name].pid for name in victims}
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)

            def are_back(before: dict[str, int] = before) -> bool:
                now = running.services()
                return all(
                    now[name].pid not in (0, old) and now[name].state == "running"
                    for name, old in before.items()
                )

            until(are_back, f"{victims} to be restarted", seconds=120)
            until(running.is_healthy, f"health after {victims}", seconds=120)
        assert all(service.restarts >= 1 for service in running.services().values())
        # The path is whole again: an opportunity found after everything was killed once.
        mark = next(r for r in running.status().relays if r.domain == "execution").position

        def has_executed() -> bool:
            reader = Subscriber.connect(Domain.EXECUTION, start=mark, runtime_dir=runtime_dir)
            with reader:
                return any(
                    ExecutionReport in message
                    for message, _ in zip(reader, range(200), strict=False)
                )

        assert has_executed(), all_logs(runtime_dir)


def test_up_twice_is_a_message_and_two_instances_live_side_by_side(runtime_dir: Path) -> None:
    one, two = runtime_dir / "1", runtime_dir / "2"
    one.mkdir(mode=0o700)
    two.mkdir(mode=0o700)
    with instance_up(one) as first:
        again = first.torq("up", "--port", str(first.port))
        assert again.returncode == 1
        assert f"already up in {one}" in again.stderr
        with instance_up(two) as second:
            assert first.is_healthy()
            assert second.is_healthy()
            assert {p.pid for p in first.processes()}.isdisjoint(p.pid for p in second.processes())
        assert first.is_healthy()
        restarted = first.torq("restart", "console")
        assert restarted.returncode == 0, restarted.stderr
        wrong = first.torq("restart", "consol")
        assert (wrong.returncode, "no service is called 'consol'" in wrong.stderr) == (1, True)
        shown = first.torq("status")
        assert "adapter-coinbase" in shown.stdout


def test_a_killed_supervisor_leaves_no_process_and_up_starts_anew(runtime_dir: Path) -> None:
    with instance_up(runtime_dir) as running:
        supervisors = [
            p for p in running.processes() if "supervisor.supervisord" in " ".join(p.cmdline())
        ]
        supervisors[0].kill()
        until(lambda: not running.processes(), "the kernel to stop the services", 90)
        again = running.torq("up", "--port", str(running.port))
        assert again.returncode == 0, again.stderr
        assert running.is_healthy()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_foreground_stops_with_an_interrupt_and_with_its_terminal(
    number: signal.Signals, runtime_dir: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Running(runtime_dir, port)
    process = subprocess.Popen(
        [sys.executable, "-m", "torq_services.cli", "up", "--foreground", "--port", str(port),
         "--runtime-dir", str(runtime_dir)],
        cwd=runtime_dir, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until(running.is_up, "health", 180)
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=180)
        assert running.url in output
        until(lambda: not running.processes(), "everything to stop", 90)
        assert sorted(path.name for path in runtime_dir.iterdir()) == ["data", "logs", "up.lock"]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
