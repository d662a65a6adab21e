"""kill -9 of relay, publisher and subscriber under load: nothing acknowledged is ever lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import crash_parts
import pytest

from torq_relays import open_log
from torq_types import Domain

ROUNDS = 100


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Parts:
    """The three processes, and the killing of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.generation = 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.errors = (folder / "errors").open("ab")
        for part in ("relay", "publisher", "subscriber"):
            self.start(part)

    def start(self, part: str) -> None:
        command = [sys.executable, crash_parts.__file__, part, str(self.folder)]
        if part == "publisher":
            self.generation += 1
            command.append(str(self.generation))
        self.running[part] = subprocess.Popen(command, stderr=self.errors)

    def kill(self, part: str) -> None:
        process = self.running[part]
        assert process.poll() is None, f"the {part} ended by itself: {self.complaints()}"
        process.kill()
        process.wait(10)
        self.start(part)

    def complaints(self) -> str:
        return (self.folder / "errors").read_text()[-3000:]

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait(10)
        self.errors.close()


@pytest.mark.timeout(900)
def test_every_acknowledged_message_arrives_once_and_in_order(runtime_dir: Path) -> None:
    chance = random.Random(20)
    parts = Parts(runtime_dir)
    seen_path = runtime_dir / "seen"
    try:
        until(lambda: seen_path.exists() and seen_path.stat().st_size > 0)
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.05, 0.4))  # some die while they start
            parts.kill(chance.choice(["relay", "publisher", "subscriber"]))
        # Let the last ones live long enough to finish what they do.
        last = runtime_dir / f"acked.{parts.generation}"
        until(lambda: last.exists() and last.stat().st_size > 0)
        publisher = parts.running["publisher"]
        publisher.send_signal(signal.SIGTERM)
        assert publisher.wait(40) == 0, parts.complaints()
        tail = sum(p.stat().st_size for p in (runtime_dir / "execution").glob("*.torqlog"))
        until(lambda: _position(seen_path) == tail)
    finally:
        parts.close()
    delivered: defaultdict[int, list[int]] = defaultdict(list)
    generations: list[int] = []
    for line in seen_path.read_text().splitlines():
        for word in line.split()[1:]:
            assert not word.startswith("GAP"), word
            generation, number = map(int, word.split(":"))
            delivered[generation].append(number)
            generations.append(generation)
    assert generations == sorted(generations)
    acknowledged = 0
    for generation in range(1, parts.generation + 1):
        notes = runtime_dir / f"acked.{generation}"
        flushed = int(notes.read_text() or 0) if notes.exists() else 0
        acknowledged += flushed
        numbers = delivered[generation]
        assert numbers == list(range(1, len(numbers) + 1)), generation
        assert len(numbers) >= flushed, generation
    assert acknowledged > ROUNDS
    log = open_log(Domain.EXECUTION, runtime_dir)
    assert log.tail == tail
    log.close()


def _position(seen: Path) -> int:
    with seen.open("rb") as file:
        file.seek(max(0, os.path.getsize(seen) - 65536))
        lines = file.read().splitlines()
    return int(lines[-1].split()[0].split(b":")[1])
