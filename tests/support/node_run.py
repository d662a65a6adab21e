"""Runs the deciding nodes over recorded market data, in simulated time: node_run.py FILE OUT START.

Nothing is left to chance but what Python itself leaves to it: run it under another PYTHONHASHSEED
and compare every byte of what the nodes published.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from torq_codec import MessageBuilder, iter_messages, parse_message
from torq_relays import MessageSink
from torq_services.instance import config as configuration
from torq_services.nodes import Node
from torq_services.observability import HealthReporter
from torq_services.processes.cross_exchange import cross_exchange_node
from torq_services.processes.flash_arbitrage import flash_arbitrage_node
from torq_services.processes.paper_execution import paper_execution_node
from torq_services.processes.sources import CROSS_EXCHANGE, FLASH_ARBITRAGE, PAPER_EXECUTION
from torq_types import TLV, Domain

__all__ = ["Simulation"]

_TICK_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_SILENCE_NS = 15 * _SECOND_NS
"""Simulated behind the last message: silent sources, quiet books."""


class _WireSink(MessageSink):
    """Builds messages as a publisher would, at the simulated time."""

    def __init__(
        self, domain: Domain, source: int, clock: Callable[[], int], take: Callable[[bytes], None]
    ) -> None:
        self._builder = MessageBuilder(domain, source)
        self._clock = clock
        self._take = take
        self._sequence = 0

    def send(self, *tlvs: TLV) -> None:
        self._sequence += 1
        for tlv in tlvs:
            self._builder.add(tlv)
        self._take(self._builder.build(sequence=self._sequence, timestamp_ns=self._clock()))

    async def flush(self) -> None:
        """Everything was taken."""


class Simulation:
    """The three deciding nodes, joined as their processes join them to the relays."""

    def __init__(self, start_ns: int) -> None:
        self.now_ns = start_ns
        self.published: dict[str, bytearray] = {}
        self._queue: deque[tuple[Domain, bytes]] = deque()
        self._nodes: list[Node] = []
        self._reports: list[HealthReporter] = []
        config = configuration.sample()
        for name, source, domain, build in (
            ("strategy-cross-exchange", CROSS_EXCHANGE, Domain.SIGNAL, cross_exchange_node),
            ("strategy-flash-arbitrage", FLASH_ARBITRAGE, Domain.SIGNAL, flash_arbitrage_node),
            ("execution-paper", PAPER_EXECUTION, Domain.EXECUTION, paper_execution_node),
        ):
            sink = _WireSink(domain, source, self._clock, self._taker(name, domain))
            node = build(config, sink, start_ns)
            assert node.publishes is domain
            self._nodes.append(node)
            self._reports.append(HealthReporter(name, sink, node.account, self._clock))

    def run(self, market_data: bytes) -> None:
        """Deliver every message at its own time, and the time ten times a second."""
        next_tick = self.now_ns
        for message in iter_messages(market_data):
            # What is older than the start is read at once, as a log's past is.
            due_ns = max(message.header.timestamp_ns, self.now_ns)
            next_tick = self._tick_until(due_ns - 1, next_tick)
            self.now_ns = due_ns
            self._deliver(Domain.MARKET_DATA, message.tobytes())
        self._tick_until(self.now_ns + _SILENCE_NS, next_tick)
        for node in self._nodes:
            node.stop(self.now_ns)
        self._settle()

    def _clock(self) -> int:
        return self.now_ns

    def _taker(self, name: str, domain: Domain) -> Callable[[bytes], None]:
        published = self.published[name] = bytearray()

        def take(message: bytes) -> None:
            published.extend(message)
            self._queue.append((domain, message))  # never from within a node's own call

        return take

    def _tick_until(self, end_ns: int, next_tick: int) -> int:
        while next_tick <= end_ns:
            self.now_ns = next_tick
            for node in self._nodes:
                node.on_time(self.now_ns)
                self._settle()
            if next_tick % _SECOND_NS < _TICK_NS:
                for report in self._reports:
                    report.report()
                self._settle()
            next_tick += _TICK_NS
        return next_tick

    def _settle(self) -> None:
        while self._queue:
            self._deliver(*self._queue.popleft())

    def _deliver(self, domain: Domain, raw: bytes) -> None:
        message = parse_message(raw)
        for node in self._nodes:
            for wanted in node.subscriptions:
                is_wanted = not wanted.types or any(kind in message for kind in wanted.types)
                if wanted.domain is domain and is_wanted:
                    node.on_message(domain, message, self.now_ns)
        self._settle()


def main(arguments: list[str]) -> int:
    """Write what each node published to a file of its own."""
    market_data, out = Path(arguments[0]).read_bytes(), Path(arguments[1])
    simulation = Simulation(start_ns=int(arguments[2]))
    simulation.run(market_data)
    for name, published in simulation.published.items():
        (out / name).write_bytes(published)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
