"""From an exchange's frame to the bytes of Torq's messages, on the recorded sessions; and clients.

This file alone: ``uv run python tests/benchmarks/bench_adapters.py --fast``. An adapter's sink
builds every message, as a publisher would; the books are kept and checked on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pyperf
import websocket_clients
import whole_way
from sessions import SESSIONS, Session

from torq_codec import MessageBuilder
from torq_relays import MessageSink
from torq_services.adapters import ADAPTERS, ExchangeAdapter
from torq_services.adapters.exchange.requests import Fetch
from torq_types import TLV, Domain

__all__ = ["BuildingSink"]


class BuildingSink(MessageSink):
    """Builds each message and forgets it."""

    def __init__(self) -> None:
        self._builder = MessageBuilder(Domain.MARKET_DATA, 1)
        self.sequence = 0
        self.size = 0

    def send(self, *tlvs: TLV) -> None:
        """Build."""
        self.sequence += 1
        for tlv in tlvs:
            self._builder.add(tlv)
        message = self._builder.build(sequence=self.sequence, timestamp_ns=time.time_ns())
        self.size += len(message)

    async def flush(self) -> None:
        """Nothing waits."""


def adapter_of(session: Session) -> ExchangeAdapter:
    """Fresh, and connected."""
    adapter = ADAPTERS[session.adapter](session.symbols, BuildingSink())
    adapter.connected()
    return adapter


def start(adapter: ExchangeAdapter, session: Session) -> None:
    """Hand over the frames before the books are in step, and the REST answers."""
    for frame in session.opening:
        adapter.receive(frame)
    for request in list(adapter.requests):
        if isinstance(request, Fetch):
            adapter.answer(request, session.snapshots[request.symbol])
    assert adapter.is_in_step, session.name


def timed(session: Session, frames: list[bytes]) -> Callable[[int], float]:
    """Seconds for ``loops`` passes over ``frames``, each by an adapter whose books are in step."""

    def measure(loops: int) -> float:
        total = 0.0
        for _ in range(loops):
            adapter = adapter_of(session)
            start(adapter, session)
            receive = adapter.receive
            begin = time.perf_counter()
            for frame in frames:
                receive(frame)
            total += time.perf_counter() - begin
            assert adapter.is_in_step, adapter.last_doubt
            assert not adapter.counters.doubts
        return total

    return measure


def main() -> None:
    """Measure everything in one run."""
    runner = pyperf.Runner()
    for session in SESSIONS:
        runner.bench_time_func(
            f"adapter {session.name}, torq", timed(session, session.frames),
            inner_loops=len(session.frames),
        )  # fmt: skip
        updates = session.checked
        if updates:
            runner.bench_time_func(
                f"checked updates {session.name}, torq", timed(session, updates),
                inner_loops=len(updates),
            )  # fmt: skip
    whole_way.main(runner)
    websocket_clients.main(runner)


if __name__ == "__main__":
    main()
