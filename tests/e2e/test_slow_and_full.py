"""Readers that stand still, disks that are full, relays that are replaced."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import relay_process
from relay_process import LAST
from relays import running_relay

from torq_relays import Publisher, Subscriber, open_log, socket_path
from torq_types import Domain, Heartbeat, SequenceGap, SignalIdentity, TransportError


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [sys.executable, relay_process.__file__, *words], stdout=subprocess.PIPE, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextmanager
def relay_alone(
    folder: Path, domain: Domain, *, ring_kib: int = 1024, file_limit: int = 0
) -> Iterator[subprocess.Popen[str]]:
    words = ("relay", str(folder), str(int(domain)), str(ring_kib), str(file_limit))
    with process(*words) as running:
        until(socket_path(domain, folder).exists)
        yield running


@contextmanager
def reader(folder: Path, domain: Domain, how: str) -> Iterator[subprocess.Popen[str]]:
    with process("reader", str(folder), str(int(domain)), how) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running


def result(running: subprocess.Popen[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(running.communicate(timeout=180)[0])
    return found


@pytest.mark.parametrize("how", ["mapped", "streamed"])
@pytest.mark.parametrize("domain", [Domain.MARKET_DATA, Domain.SIGNAL], ids=lambda d: d.slug)
def test_a_stopped_reader_costs_nobody_anything(
    runtime_dir: Path, domain: Domain, how: str
) -> None:
    with (
        relay_alone(runtime_dir, domain) as relay,
        reader(runtime_dir, domain, how) as slow,
        reader(runtime_dir, domain, "mapped") as quick,
        Publisher.connect(domain, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        beats = [Heartbeat(1, n) for n in range(500)]
        memory = psutil.Process(relay.pid)
        publisher.send_many(beats)
        publisher.flush()
        slow.send_signal(signal.SIGSTOP)
        total = 500
        before = 0
        for turn in range(200):
            publisher.send_many(beats)
            publisher.flush()
            total += 500
            time.sleep(0.002)  # so that the quick reader, on a busy machine, can keep up
            if turn == 40:
                before = memory.memory_info().rss
        grown = memory.memory_info().rss - before
        publisher.send(Heartbeat(LAST, 0))
        publisher.flush()
        total += 1
        assert grown < 2 << 20, "the relay's memory must not follow a reader that stands still"
        at_full_speed = result(quick)
        slow.send_signal(signal.SIGCONT)
        late = result(slow)
        size = at_full_speed["position"] // total
        assert late["position"] == at_full_speed["position"] == total * size
        for found in (at_full_speed, late):
            missing = sum(to - start for start, to in found["gaps"])
            assert found["count"] * size + missing == total * size
        if domain is Domain.SIGNAL:
            assert late["gaps"] == []
            assert late["count"] == total
        else:
            assert late["gaps"], "a megabyte of ring cannot hold five"


def test_a_full_disk_loses_nothing_that_was_promised(runtime_dir: Path) -> None:
    domain = Domain.EXECUTION
    with relay_alone(runtime_dir, domain, file_limit=20_000) as relay:
        publisher = Publisher.connect(domain, source=7, runtime_dir=runtime_dir, timeout=1)
        flushed = sent = 0

        def fill() -> None:
            nonlocal flushed, sent
            while sent < 5000:
                publisher.send(Heartbeat(sent + 1, 0))
                sent += 1
                publisher.flush()
                flushed = sent

        with pytest.raises(TransportError):
            fill()
        assert 100 < flushed < 400
        assert any("append" in error.detail for error in publisher.session.errors)
        assert relay.poll() is None, "the relay goes on serving its readers"
        with Subscriber.connect(domain, start="earliest", runtime_dir=runtime_dir) as client:
            numbers = [m[Heartbeat].position for m in itertools.islice(client, flushed)]
            assert numbers == list(range(1, flushed + 1))
        relay.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        # Room again: the message that did not fit goes in now, and the next one behind it.
        publisher.send(Heartbeat(sent + 1, 0))
        publisher.flush()
        with Subscriber.connect(domain, start="earliest", runtime_dir=runtime_dir) as client:
            numbers = [m[Heartbeat].position for m in itertools.islice(client, sent + 1)]
            assert numbers == list(range(1, sent + 2))
        publisher.close()


@pytest.mark.parametrize("hard", [True, False], ids=["kill", "stop"])
def test_a_relay_is_replaced_under_four_clients(runtime_dir: Path, hard: bool) -> None:
    domain = Domain.SIGNAL
    clients: list[Subscriber] = []
    try:
        with relay_alone(runtime_dir, domain) as relay:
            publisher = Publisher.connect(domain, source=7, runtime_dir=runtime_dir)
            clients = [
                Subscriber.connect(domain, runtime_dir=runtime_dir, mapped=number % 2 == 0)
                for number in range(4)
            ]
            publisher.send_many([SignalIdentity(n, "", "") for n in range(100)])
            for client in clients[:2]:
                assert len(list(itertools.islice(client, 50))) == 50
            relay.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            relay.wait(10)
        with running_relay(domain, runtime_dir, log=open_log(domain, runtime_dir)):
            publisher.send_many([SignalIdentity(n, "", "") for n in range(100, 200)])
            publisher.flush()
            for number, client in enumerate(clients):
                first = 50 if number < 2 else 0
                messages = list(itertools.islice(client, 200 - first))
                assert not any(SequenceGap in m for m in messages)
                ids = [m[SignalIdentity].strategy_id for m in messages]
                assert ids == list(range(first, 200))
                assert client.reconnects >= 1
            assert publisher.reconnects == 1
            publisher.close()
    finally:
        for client in clients:
            client.close()
