"""The three processes of the crash test, each run as a program of its own.

``python crash_parts.py relay|publisher|subscriber FOLDER [GENERATION]``
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType

from torq_relays import Bookmark, Publisher, Relay, Subscriber, open_log, socket_path
from torq_relays.client.subscribing_session import Start
from torq_types import Domain, Heartbeat, SequenceGap, TransportError

DOMAIN = Domain.EXECUTION


def relay(folder: Path) -> None:
    log = open_log(DOMAIN, folder)
    Relay(DOMAIN, log, socket_path(DOMAIN, folder)).run()


def publisher(folder: Path, generation: int) -> None:
    """Publish 1, 2, 3...; what was flushed is written down, and never before."""
    stopping = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    chance = random.Random(generation)
    notes = os.open(folder / f"acked.{generation}", os.O_CREAT | os.O_WRONLY)
    number = 0
    while not stopping:
        try:
            with Publisher.connect(DOMAIN, source=1, runtime_dir=folder, timeout=30) as client:
                while not stopping:
                    for _ in range(chance.randint(1, 40)):
                        number += 1
                        client.send(Heartbeat(number, generation))
                    client.flush()
                    os.pwrite(notes, f"{number:12d}\n".encode(), 0)
        except TransportError:
            if number:
                raise  # a connected publisher goes on by itself


def subscriber(folder: Path) -> None:
    """Write down what came together with the bookmark behind it, in one write."""
    path = folder / "seen"
    seen = path.read_bytes() if path.exists() else b""
    whole = seen[: seen.rfind(b"\n") + 1]
    with path.open("wb") as file:
        file.write(whole)
    lines = whole.splitlines()
    start: Start = Bookmark.parse(lines[-1].split()[0].decode()) if lines else "earliest"
    notes = os.open(path, os.O_WRONLY | os.O_APPEND)
    with Subscriber.connect(DOMAIN, start=start, runtime_dir=folder, timeout=30) as client:
        for batch in client.batches():
            words = []
            for message in batch:
                gap = message.get(SequenceGap)
                beat = message.get(Heartbeat)
                if gap is not None:
                    words.append(f"GAP:{gap.cause.name}:{gap.first_sequence}")
                elif beat is not None:
                    words.append(f"{beat.interval_ms}:{beat.position}")
            os.write(notes, f"{client.bookmark} {' '.join(words)}\n".encode())


def main() -> None:
    part, folder = sys.argv[1], Path(sys.argv[2])
    if part == "relay":
        relay(folder)
    elif part == "publisher":
        publisher(folder, int(sys.argv[3]))
    else:
        subscriber(folder)


if __name__ == "__main__":
    main()
