"""Relays that run in a thread of the test's own process, on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torq_relays import Log, Relay, RelayLimits, RingLog, open_log, socket_path
from torq_types import Domain


@contextmanager
def running_relay(
    domain: Domain,
    runtime_dir: Path,
    *,
    log: Log | None = None,
    limits: RelayLimits | None = None,
) -> Iterator[Relay]:
    """A relay of ``domain`` that serves until the block ends."""
    opened = log or (
        RingLog(1 << 20) if domain is Domain.MARKET_DATA else open_log(domain, runtime_dir / "logs")
    )
    path = socket_path(domain, runtime_dir)
    relay = Relay(domain, opened, path, limits=limits or RelayLimits(heartbeat_ms=100))
    thread = threading.Thread(target=relay.run, name=f"relay-{domain.slug}")
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(10)
        assert not thread.is_alive()
