"""Readers over the socket get what is appended at once, not with the next heartbeat."""

from __future__ import annotations

import itertools
import socket
import threading
from pathlib import Path

import pytest
from relays import running_relay
from samples import trade

from torq_relays import Publisher, Relay, RelayLimits, RingLog, Subscriber, socket_path
from torq_types import Domain, Trade

MD = Domain.MARKET_DATA
NO_HEARTBEAT = RelayLimits(heartbeat_ms=3_600_000)
"""What comes, comes because it was sent."""


def test_a_message_does_not_wait_for_a_heartbeat(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir, limits=NO_HEARTBEAT),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(MD, runtime_dir=runtime_dir, mapped=False) as reader,
    ):
        messages = iter(reader)
        for number in range(20):
            publisher.send(trade(trade_id=str(number)))
            assert next(messages)[Trade].trade_id == str(number)


def test_more_than_a_turn_s_worth_comes_without_a_heartbeat(runtime_dir: Path) -> None:
    """A megabyte a turn, so that one reader does not keep the others waiting; then the next."""
    log = RingLog(1 << 24)
    with (
        running_relay(MD, runtime_dir, log=log, limits=NO_HEARTBEAT),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        count = 60_000
        publisher.send_many([trade(trade_id="x" * 60)] * count)
        publisher.flush()
        assert log.tail > 8 << 20
        with Subscriber.connect(
            MD, start="earliest", runtime_dir=runtime_dir, mapped=False
        ) as reader:
            assert sum(1 for _ in itertools.islice(reader, count)) == count


@pytest.mark.parametrize("mapped", [True, False])
def test_a_relay_that_polls_serves_and_ends(runtime_dir: Path, mapped: bool) -> None:
    relay = Relay(
        MD, RingLog(1 << 20), socket_path(MD, runtime_dir), limits=NO_HEARTBEAT, busy_poll=True
    )
    serving = threading.Thread(target=relay.run)
    serving.start()
    try:
        with (
            Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
            Subscriber.connect(MD, runtime_dir=runtime_dir, mapped=mapped) as reader,
        ):
            publisher.send_many([trade(trade_id=str(n)) for n in range(10)])
            seen = [message[Trade].trade_id for message in itertools.islice(reader, 10)]
            assert seen == [str(n) for n in range(10)]
    finally:
        relay.stop()
        serving.join(60)
    assert not serving.is_alive()
    assert not socket_path(MD, runtime_dir).exists()


def test_a_reader_that_reads_nothing_costs_bounded_memory(runtime_dir: Path) -> None:
    """What its socket does not take stands in the log, not in the relay."""
    with (
        running_relay(MD, runtime_dir, log=RingLog(1 << 24), limits=NO_HEARTBEAT) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(MD, runtime_dir=runtime_dir, mapped=False, name="stuck") as reader,
    ):
        publisher.send_many([trade(trade_id="x" * 60)] * 60_000)
        publisher.flush()
        (status,) = (s for s in relay.status().subscribers if s.name == "stuck")
        assert status.lag > 1 << 20
        (stuck,) = relay._readers
        assert len(stuck._outgoing) < 2 << 20
        connection = reader._wire.socket
        assert isinstance(connection, socket.socket)
