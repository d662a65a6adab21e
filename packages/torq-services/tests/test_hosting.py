"""A node in a process: fed, told the time, stopped, whatever it is doing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from relays import running_relay

from torq_codec import Message
from torq_relays import MessageSink, Publisher, Subscriber
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.nodes import Node, Subscription
from torq_services.processes.hosting import run_node
from torq_types import Domain, GasPrice, SignalIdentity, SystemHealth


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


async def test_what_a_failing_node_said_is_not_lost_with_it(runtime_dir: Path) -> None:
    def build(config: Config, sink: MessageSink, now_ns: int) -> Broken:
        return Broken(sink, 0)

    with market(runtime_dir, 1):
        with pytest.raises(RuntimeError, match="stop"):
            await run_node(
                "broken", Config(), Instance(runtime_dir), kind=Broken, source=1001, build=build
            )
        assert (await asyncio.to_thread(told, runtime_dir, "before"))[-1] == "before"
