"""A node in a process: fed, told the time, stopped, whatever it is doing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import structlog
from relays import running_relay

from torq_codec import Message
from torq_relays import AsyncPublisher, MessageSink, Publisher, Subscriber
from torq_services.instance.config import Config, sample
from torq_services.instance.folder import Instance
from torq_services.nodes import Node, Subscription
from torq_services.processes import chain, entry, exchange
from torq_services.processes.entry import _failures
from torq_services.processes.hosting import run_node
from torq_types import Domain, GasPrice, SignalIdentity, SystemHealth, TorqError, TransportError


class Counts(msgspec.Struct):
    """What the node below has seen."""

    messages: int = 0
    ticks: int = 0


class Slow(Node):
    """Takes its time over each message, and says so at its end."""

    subscriptions = (Subscription(Domain.MARKET_DATA, start="earliest"),)
    publishes = Domain.SIGNAL

    def __init__(self, sink: MessageSink, seconds: float) -> None:
        self.counts = Counts()
        self._sink = sink
        self._seconds = seconds

    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        assert domain is Domain.MARKET_DATA
        self.counts.messages += 1
        time.sleep(self._seconds)

    def on_time(self, now_ns: int) -> None:
        self.counts.ticks += 1

    def stop(self, now_ns: int) -> None:
        self._sink.send(SignalIdentity(7, "stopped", ""))

    def account(self) -> Counts:
        return self.counts


class Broken(Slow):
    """Fails at its first message, and once more at its end."""

    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        self._sink.send(SignalIdentity(8, "before", ""))
        raise RuntimeError("on_message")

    def stop(self, now_ns: int) -> None:
        raise RuntimeError("stop")


@contextmanager
def market(runtime_dir: Path, count: int) -> Iterator[None]:
    """Two relays, and a log of messages that wait."""
    gas = GasPrice(
        block_number=1, chain_id=1, base_fee=1, priority_fee=1, block_hash=bytes(32),
        parent_hash=bytes(32), block_timestamp=0,
    )  # fmt: skip
    with running_relay(Domain.MARKET_DATA, runtime_dir), running_relay(Domain.SIGNAL, runtime_dir):
        with Publisher.connect(Domain.MARKET_DATA, source=1, runtime_dir=runtime_dir) as publisher:
            publisher.send_many([gas] * count)
        yield


def told(runtime_dir: Path, last: str) -> list[str]:
    """What was published, up to ``last``."""
    found: list[str] = []
    with Subscriber.connect(Domain.SIGNAL, start="earliest", runtime_dir=runtime_dir) as reader:
        for message in reader:
            identity = message.get(SignalIdentity)
            found.append(
                identity.strategy if identity is not None else message[SystemHealth].service
            )
            if found[-1] == last:
                return found
    return found


async def test_a_node_that_has_much_to_catch_up_with_hears_the_clock_and_its_end(
    runtime_dir: Path,
) -> None:
    nodes: list[Slow] = []

    def build(config: Config, sink: MessageSink, now_ns: int) -> Slow:
        nodes.append(Slow(sink, 0.005))
        return nodes[0]

    with market(runtime_dir, 2000):  # ten seconds of work, in one piece of the log
        running = asyncio.create_task(
            run_node("slow", Config(), Instance(runtime_dir), kind=Slow, source=1001, build=build)
        )
        while not nodes or nodes[0].counts.ticks < 3:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert 0 < nodes[0].counts.messages < 2000
        said = await asyncio.to_thread(told, runtime_dir, "stopped")
        assert said[0] == "slow"  # its account


class Cancelled(Slow):
    """Ends its follower, as a careless await would."""

    def on_message(self, domain: Domain, message: Message, now_ns: int) -> None:
        raise asyncio.CancelledError


async def test_what_a_failing_node_said_is_not_lost_with_it(runtime_dir: Path) -> None:
    def build(config: Config, sink: MessageSink, now_ns: int) -> Broken:
        return Broken(sink, 0)

    with market(runtime_dir, 1):
        with pytest.raises(ExceptionGroup) as failed:
            await run_node(
                "broken", Config(), Instance(runtime_dir), kind=Broken, source=1001, build=build
            )
        assert [str(each) for each in _failures(failed.value)] == ["on_message", "stop"]
        assert (await asyncio.to_thread(told, runtime_dir, "before"))[-1] == "before"


async def test_a_node_that_cancels_itself_has_failed(runtime_dir: Path) -> None:
    def build(config: Config, sink: MessageSink, now_ns: int) -> Cancelled:
        return Cancelled(sink, 0)

    with market(runtime_dir, 1):
        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.timeout(60):
                await run_node(
                    "odd", Config(), Instance(runtime_dir), kind=Cancelled, source=1001, build=build
                )
        assert "cancelled from within" in str(list(_failures(failed.value)))


async def test_ids_begin_behind_the_predecessors_though_the_clock_went_back(
    runtime_dir: Path,
) -> None:
    begun: list[int] = []

    def build(config: Config, sink: MessageSink, now_ns: int) -> Slow:
        begun.append(now_ns)
        raise TorqError("enough")

    later = time.time_ns() + 3_600_000_000_000
    with market(runtime_dir, 0):
        with Publisher.connect(
            Domain.SIGNAL, source=1001, runtime_dir=runtime_dir, clock=lambda: later
        ) as predecessor:
            predecessor.send(SignalIdentity(7, "before", ""))
        with pytest.raises(TorqError, match="enough"):
            await run_node(
                "slow", Config(), Instance(runtime_dir), kind=Slow, source=1001, build=build
            )
    assert begun[0] >= later


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (ValueError("a builder's"), ["a builder's"]),
        (
            ExceptionGroup("", [OSError("one"), ExceptionGroup("", [KeyError()])]),
            ["one", "KeyError()"],
        ),
    ],
)
def test_whatever_ends_a_process_stands_in_its_log(
    error: Exception,
    reasons: list[str],
    runtime_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail(name: str, config: Config, instance: Instance) -> None:
        raise error

    instance = Instance(runtime_dir)
    instance.prepare(sample(venue_port=1))
    monkeypatch.setattr(entry, "_coroutine", lambda name: fail)
    monkeypatch.setattr("sys.argv", ["", "strategy", "--runtime-dir", str(runtime_dir)])
    assert entry.main() == 1
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if line["event"] == "cannot go on"]
    assert [line["reason"] for line in told] == reasons
    assert all("Traceback" in line["exception"] or "Error" in line["exception"] for line in told)


@pytest.mark.parametrize("module", [chain, exchange])
async def test_health_that_cannot_be_reported_does_not_cost_the_last_flush(
    module: ModuleType, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Reporter:
        def __init__(self, *_: object) -> None: ...

        def report(self) -> None:
            done.append("report")
            raise TransportError("full")

        async def run(self) -> None:
            raise TorqError("the end")

    async def flush(publisher: AsyncPublisher) -> None:
        done.append("flush")

    monkeypatch.setattr(module, "HealthReporter", Reporter)
    monkeypatch.setattr(module, "last_flush", flush)
    config = msgspec.structs.replace(sample(venue_port=1), is_sample=False)
    name = "chain-sample" if module is chain else "adapter-gemini"
    with running_relay(Domain.MARKET_DATA, runtime_dir), pytest.raises(TransportError):
        await getattr(module, "run_chain" if module is chain else "run_exchange")(
            name, config, Instance(runtime_dir)
        )
    assert done == ["report", "flush"]
