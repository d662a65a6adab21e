"""A relay, or a reader that accounts for every byte, as a program of its own.

``python relay_process.py relay FOLDER DOMAIN RING_KIB FILE_LIMIT``
``python relay_process.py reader FOLDER DOMAIN mapped|streamed``
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

from torq_relays import LogOptions, Relay, RelayLimits, Subscriber, open_log, socket_path
from torq_types import Domain, Heartbeat, SequenceGap

LAST = 2**40
"""The Heartbeat position that ends a reader."""


def relay(folder: Path, domain: Domain, ring_kib: int, file_limit: int) -> None:
    if file_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    log = open_log(domain, folder, LogOptions(ring_bytes=ring_kib << 10))
    relay = Relay(domain, log, socket_path(domain, folder), limits=RelayLimits(heartbeat_ms=100))
    signal.signal(signal.SIGTERM, lambda *_: relay.stop())
    # Room again, as after somebody tidied the disk.
    signal.signal(
        signal.SIGUSR1,
        lambda *_: resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        ),
    )
    relay.run()


def reader(folder: Path, domain: Domain, mapped: bool) -> None:
    """Read to the last message; print what came, and what is missing."""
    count = position = 0
    gaps: list[tuple[int, int]] = []
    with Subscriber.connect(
        domain, start="earliest", runtime_dir=folder, mapped=mapped, name="reader"
    ) as client:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for batch in client.batches():
            for message in batch:
                gap = message.get(SequenceGap)
                if gap is not None:
                    assert gap.from_position == position, (gap, position)
                    gaps.append((gap.from_position, gap.to_position))
                    position = gap.to_position
                    continue
                position += len(message)
                count += 1
                beat = message.get(Heartbeat)
                if beat is not None and beat.position == LAST:
                    found = {"count": count, "gaps": gaps, "position": position}
                    sys.stdout.write(json.dumps(found))
                    return


if __name__ == "__main__":
    part, where, number, option = sys.argv[1:5]
    if part == "relay":
        relay(Path(where), Domain(int(number)), int(option), int(sys.argv[5]))
    else:
        reader(Path(where), Domain(int(number)), option == "mapped")
