"""Relays under load and one message at a time, Torq beside its rivals.

Run all: ``uv run torq bench``; this file alone: ``uv run python tests/benchmarks/bench_relay.py
--processes 1 --values 3 --warmups 1 --loops 1``.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyperf
import zmq
from rivals import CONTENDERS, Contender, Torq, ZeroMq, nats_server
from subjects import DOMAIN, INSTRUMENTS, SIZE, TRADES, blocks

from torq_relays import Publisher, Subscriber, socket_path
from torq_types import TransportError

FORK = multiprocessing.get_context("fork")
MILLIONS = {"torq": 2_000_000, "raw copy": 2_000_000, "zeromq": 300_000, "nats": 40_000}
ROUND_TRIPS = 4000
SMALL_SENDS = 200_000


@contextmanager
def relay_of(contender: Contender) -> Iterator[int]:
    """The contender's relay in a process of its own."""
    process = FORK.Process(target=contender.relay, daemon=True)
    process.start()
    if isinstance(contender, Torq):
        contender.wait_for(socket_path(DOMAIN, contender.folder))
    else:
        time.sleep(0.3)
    try:
        yield process.pid or 0
    finally:
        process.kill()
        process.join()


@contextmanager
def folder() -> Iterator[Path]:
    """A short path for sockets."""
    path = Path(tempfile.mkdtemp(prefix="torq-b-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def read_all(contender: Contender, filtered: bool, pipe: Connection) -> None:
    """In a process of its own: subscribe, read to the end, say when that was."""
    count = contender.count(lambda: pipe.send(0), filtered=filtered)
    pipe.send((count, time.perf_counter()))


def carried(name: str, filters: list[bool], *, cpu: bool = False) -> float:
    """Seconds per message until the last subscriber has it; with ``cpu``, the relay's own."""
    contender_class = CONTENDERS[name]
    count = MILLIONS[name] // (1 if len(filters) == 1 else 2)
    sent = blocks(count)
    with folder() as path:
        contender = contender_class(path)
        with relay_of(contender) as relay:
            pipes = []
            processes = []
            for filtered in filters:
                here, there = FORK.Pipe()
                process = FORK.Process(
                    target=read_all, args=(contender, filtered, there), daemon=True
                )
                process.start()
                pipes.append(here)
                processes.append(process)
            for pipe in pipes:
                pipe.recv()
            before = cpu_seconds(relay) if cpu else 0.0
            started = time.perf_counter()
            contender.publish(sent)
            results = [pipe.recv() for pipe in pipes]
            spent = cpu_seconds(relay) - before if cpu else 0.0
            for process in processes:
                process.join()
    for filtered, (got, _) in zip(filters, results, strict=True):
        expected = count + 1 if not (filtered and name == "torq") else count // len(INSTRUMENTS) + 1
        if got != expected:
            raise TransportError(f"{name}: {got} messages came, {expected} were sent")
    return (spent if cpu else max(ended for _, ended in results) - started) / count


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def quantile(samples: list[int], part: int) -> float:
    """Seconds; ``part`` in a hundred of the samples are below it."""
    return sorted(samples)[len(samples) * part // 100] / 1e9


def round_trips(exchange: Callable[[], None]) -> list[int]:
    """Nanoseconds of each."""
    taken = []
    for turn in range(ROUND_TRIPS + 500):
        before = time.perf_counter_ns()
        exchange()
        if turn >= 500:
            taken.append(time.perf_counter_ns() - before)
    return taken


def torq_latency(part: int, *, busy: bool) -> float:
    """Publisher to relay to subscriber, one message under way at a time."""
    with folder() as path:
        contender = Torq(path)
        contender.busy_poll = busy
        with (
            relay_of(contender),
            Publisher.connect(DOMAIN, source=7, runtime_dir=path) as publisher,
            Subscriber.connect(DOMAIN, runtime_dir=path, busy_poll=busy) as subscriber,
        ):
            batches = subscriber.batches()

            def exchange() -> None:
                publisher.send(TRADES[0])
                next(batches)

            return quantile(round_trips(exchange), part)


def zeromq_latency(part: int) -> float:
    """The same through libzmq's proxy."""
    with folder() as path:
        contender = ZeroMq(path)
        message = bytes(SIZE)
        with relay_of(contender):
            context = zmq.Context()
            receiver = contender.subscriber(context)
            sender = contender.publisher(context)

            def exchange() -> None:
                sender.send(message)
                receiver.recv()

            taken = round_trips(exchange)
            sender.close()
            receiver.close()
            context.term()
        return quantile(taken, part)


def torq_small_sends() -> float:
    """``send`` of one TLV after another, until the relay has them all."""
    with folder() as path:
        contender = Torq(path)
        with (
            relay_of(contender),
            Publisher.connect(DOMAIN, source=7, runtime_dir=path) as publisher,
        ):
            started = time.perf_counter()
            for _ in range(SMALL_SENDS // len(TRADES)):
                for trade in TRADES:
                    publisher.send(trade)
            publisher.flush()
            return (time.perf_counter() - started) / SMALL_SENDS


def zeromq_small_sends() -> float:
    """``send`` of one message after another, until a subscriber has them all."""
    with folder() as path:
        contender = ZeroMq(path)
        message = bytes(SIZE)
        with relay_of(contender):
            here, there = FORK.Pipe()
            reader = FORK.Process(target=read_all, args=(contender, False, there), daemon=True)
            reader.start()
            here.recv()
            context = zmq.Context()
            sender = contender.publisher(context)
            started = time.perf_counter()
            for _ in range(SMALL_SENDS):
                sender.send(message)
            sender.send(b"end")
            _, ended = here.recv()
            reader.join()
            sender.close()
            context.term()
        return float(ended - started) / SMALL_SENDS


def main() -> None:
    """Measure everything in one run; pyperf's values are seconds per message."""
    runner = pyperf.Runner()
    one, four = [False], [False, False, False, True]

    def bench(name: str, measure: Callable[..., float], *arguments: Any, **options: Any) -> None:
        def timed(loops: int) -> float:
            return sum(measure(*arguments, **options) for _ in range(loops))

        runner.bench_time_func(name, timed)

    names = [name for name in CONTENDERS if name != "nats" or nats_server()]
    for name in names:
        bench(f"relay 1 to 1, {name}", carried, name, one)
    for name in names:
        bench(f"relay 1 to 4, {name}", carried, name, four)
    bench("relay's own cost 1 to 1, torq", carried, "torq", one, cpu=True)
    bench("relay's own cost 1 to 4, torq", carried, "torq", four, cpu=True)
    for part in (50, 99):
        bench(f"latency p{part}, torq, busy_poll", torq_latency, part, busy=True)
        bench(f"latency p{part}, torq, sleeping", torq_latency, part, busy=False)
        bench(f"latency p{part}, zeromq, sleeping", zeromq_latency, part)
    bench("small sends, torq", torq_small_sends)
    bench("small sends, zeromq", zeromq_small_sends)


if __name__ == "__main__":
    main()
