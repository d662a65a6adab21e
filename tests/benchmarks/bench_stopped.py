"""One subscriber is stopped (SIGSTOP) under full load: what it costs the others.

``uv run python tests/benchmarks/bench_stopped.py SECONDS FILE`` writes what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from bench_relay import FORK, folder, relay_of
from rivals import Torq
from subjects import DOMAIN, SIZE, TRADES

from torq_relays import Publisher, Subscriber
from torq_types import Heartbeat, SequenceGap


def follow(path: Path, pipe: Connection) -> None:
    """Read until told otherwise by the last message; report bytes read, lost and out of place."""
    position = lost = 0
    with Subscriber.connect(DOMAIN, start="earliest", runtime_dir=path) as subscriber:
        pipe.send("ready")
        for batch in subscriber.batches():
            if not batch.in_log:
                gap = next(iter(batch))[SequenceGap]
                lost += gap.to_position - gap.from_position
                position = gap.to_position
                continue
            if batch.start != position:
                pipe.send({"error": f"a batch begins at {batch.start}, not at {position}"})
                return
            position = batch.position
            if len(batch.messages) % SIZE:
                break
    pipe.send({"read": position - lost, "lost": lost})


def main() -> None:
    """Measure for some seconds with every reader running, then as long with one stopped."""
    seconds, target = float(sys.argv[1]), Path(sys.argv[2])
    with folder() as path:
        contender = Torq(path)
        with relay_of(contender) as relay:
            pipes, readers = [], []
            for _ in range(2):
                here, there = FORK.Pipe()
                reader = FORK.Process(target=follow, args=(path, there), daemon=True)
                reader.start()
                here.recv()
                pipes.append(here)
                readers.append(reader)
            memory = psutil.Process(relay)
            with Publisher.connect(DOMAIN, source=7, runtime_dir=path) as publisher:
                running = publish_for(publisher, seconds)
                before = memory.memory_info().rss
                os.kill(readers[0].pid or 0, signal.SIGSTOP)
                stopped = publish_for(publisher, seconds)
                after = memory.memory_info().rss
                os.kill(readers[0].pid or 0, signal.SIGCONT)
                publisher.send(Heartbeat(0, 0))
                publisher.flush()
                found = [pipe.recv() for pipe in pipes]
    result = {
        "seconds": seconds,
        "rate with both running": running,
        "rate with one stopped": stopped,
        "relay's memory before": before,
        "relay's memory after": after,
        "the stopped one": found[0],
        "the other": found[1],
    }
    target.write_text(json.dumps(result, indent=2) + "\n")


def publish_for(publisher: Publisher, seconds: float) -> int:
    """Messages a second."""
    sent = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        publisher.send_many(TRADES)
        sent += len(TRADES)
    return int(sent / elapsed)


if __name__ == "__main__":
    main()
