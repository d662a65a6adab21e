"""Readers that map the log: what they see, what they cannot do, and what the relay sees of them."""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from relays import running_relay
from samples import BTCUSD, trade

from torq_codec import MessageBuilder
from torq_relays import (
    AsyncPublisher,
    AsyncSubscriber,
    DiskLog,
    Publisher,
    RelayLimits,
    RingLog,
    Subscriber,
    socket_path,
)
from torq_relays.client.mapped import LappedError, MappedLog
from torq_relays.log.shared import Gauge, ReaderPage
from torq_relays.wire.control import hello_message
from torq_types import (
    Domain,
    GapCause,
    Role,
    SequenceGap,
    SignalIdentity,
    Trade,
    TransportError,
)

MD = Domain.MARKET_DATA


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def lap_for_ever(ring: RingLog, builder_source: int, stop: Connection) -> None:
    """Write at full speed, until told to stop."""
    builder = MessageBuilder(MD, builder_source)
    sequence = 1
    tlvs = [trade(trade_id=str(n)) for n in range(16)]
    while not stop.poll():
        for _ in range(100):
            messages, count = builder.build_each(tlvs, sequence=sequence, timestamp_ns=sequence)
            ring.append(messages)
            ring.publish()
            sequence += count
    stop.send(ring.tail)


def test_a_reader_that_is_lapped_while_it_reads_always_notices() -> None:
    """A tiny ring, a writer at full speed in another process: not one torn copy gets through."""
    ring = RingLog(4096)
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    writer = context.Process(target=lap_for_ever, args=(ring, 7, there), daemon=True)
    gauge = Gauge(os.dup(ring.gauge.descriptor))
    log = MappedLog(gauge)
    region = ring.region(0)
    log.attach(os.dup(region.descriptor), 0, 0, region.ring_bytes)
    writer.start()
    copies = lapped = 0
    deadline = time.monotonic() + 60
    position = 0
    try:
        # A million laps, and as many of them as it takes to be lapped in the middle of a copy.
        while gauge.tail < 1_000_000 * 4096 and time.monotonic() < deadline:
            position = max(gauge.head, position)
            try:
                chunk = log.read(position, 1 << 16)
            except LappedError:
                lapped += 1
                continue
            copies += bool(chunk)
            assert chunk[:4] in (b"TORQ", b"")
            at = 0
            while at < len(chunk):
                length = 32 + int.from_bytes(chunk[at + 8 : at + 12], "little")
                first = int.from_bytes(chunk[at + 16 : at + 24], "little")
                assert int.from_bytes(chunk[at + 24 : at + 32], "little") <= first
                assert first - int.from_bytes(chunk[at + 24 : at + 32], "little") < 16
                at += length
            position += at
    finally:
        here.send(0)
        here.recv()
        writer.join(10)
        log.close()
        ring.close()
    assert copies > 100
    assert lapped > 100


def test_a_reader_cannot_write_to_the_log(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        socket.socket(socket.AF_UNIX) as raw,
    ):
        publisher.send(trade())
        publisher.flush()
        raw.connect(str(socket_path(MD, runtime_dir)))
        raw.sendall(hello_message(MD, Role.SUBSCRIBER, mapped=True, name="raw"))
        _, descriptors, _, _ = socket.recv_fds(raw, 65536, 4)
        gauge, page, _ring = descriptors
        with pytest.raises(PermissionError):
            mmap.mmap(gauge, 4096)
        with pytest.raises(PermissionError):
            os.write(gauge, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(gauge, 0)
        with pytest.raises(PermissionError):
            os.ftruncate(page, 0)  # the relay would die of it
        mmap.mmap(gauge, 4096, access=mmap.ACCESS_READ).close()
        for descriptor in descriptors:
            os.close(descriptor)


def test_the_ring_itself_is_sealed() -> None:
    ring = RingLog(4096)
    descriptor = ring.region(0).descriptor
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 4096)
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 0)
    ring.append(MessageBuilder(MD, 1).build(sequence=1, timestamp_ns=1))
    assert ring.tail == 32
    ring.close()


def test_position_and_lag_of_a_mapped_reader_are_visible_to_the_relay(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(MD, runtime_dir=runtime_dir, name="slow") as reader,
    ):
        publisher.send_many([trade()] * 10)
        publisher.flush()
        (status,) = relay.status().subscribers
        assert (status.name, status.mapped, status.position) == ("slow", True, 0)
        assert status.lag == relay.log.tail > 0
        messages = iter(reader)
        for _ in range(10):
            next(messages)
        publisher.send(trade(trade_id="last"))
        assert next(messages)[Trade].trade_id == "last"
        publisher.send(trade())
        next(messages)
        # What was handed out is done with when the next read begins.
        status = relay.status().subscribers[0]
        assert status.position >= relay.log.tail - 3 * 128
        assert status.lag <= 3 * 128


def test_a_sleeping_reader_is_woken_and_a_busy_one_needs_no_wake_up(runtime_dir: Path) -> None:
    no_heartbeats = RelayLimits(heartbeat_ms=60_000)  # they would wake a reader, too
    with (
        running_relay(MD, runtime_dir, limits=no_heartbeats),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as sleeping,
        Subscriber.connect(MD, runtime_dir=runtime_dir, busy_poll=True) as busy,
    ):
        both = iter(sleeping), iter(busy)
        for number in range(200):
            publisher.send(trade(trade_id=str(number)))
            for messages in both:
                assert next(messages)[Trade].trade_id == str(number)


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "streamed"])
def test_a_filter_keeps_positions_and_resumes_between_messages(
    runtime_dir: Path, mapped: bool
) -> None:
    with (
        running_relay(MD, runtime_dir) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        for number in range(50):
            publisher.send(trade(trade_id=str(number)))
            publisher.send(trade(trade_id=f"g{number}", instrument=BTCUSD))
        publisher.flush()
        with Subscriber.connect(
            MD, instruments=[BTCUSD], start="earliest", runtime_dir=runtime_dir, mapped=mapped
        ) as reader:
            seen = [m[Trade].trade_id for m in itertools.islice(reader, 20)]
            bookmark = reader.bookmark
            assert reader.session.ledger.totals().holes == 0
        assert relay.log.read(bookmark.position, 4) == b"TORQ"
        with Subscriber.connect(
            MD, instruments=[BTCUSD], start=bookmark, runtime_dir=runtime_dir, mapped=mapped
        ) as reader:
            seen += [m[Trade].trade_id for m in itertools.islice(reader, 30)]
        assert seen == [f"g{n}" for n in range(50)]


def test_whoever_stops_inside_a_batch_finds_the_rest(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send_many([trade(trade_id=str(n)) for n in range(10)])
        publisher.flush()
        with Subscriber.connect(MD, start="earliest", runtime_dir=runtime_dir) as reader:
            seen = [m[Trade].trade_id for m in itertools.islice(reader, 3)]
            third = reader.position
            seen += [m[Trade].trade_id for m in itertools.islice(reader, 4)]
            rest = next(reader.batches())
            seen += [m[Trade].trade_id for m in rest]
            assert reader.position == rest.position
        with Subscriber.connect(MD, start=third, runtime_dir=runtime_dir) as reader:
            assert next(iter(reader))[Trade].trade_id == "3"
        assert seen == [str(n) for n in range(10)]


def test_readers_follow_a_log_over_its_segments(tmp_path: Path, runtime_dir: Path) -> None:
    log = DiskLog(tmp_path / "log", segment_size=2000)
    with (
        running_relay(Domain.SIGNAL, runtime_dir, log=log),
        Publisher.connect(Domain.SIGNAL, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(Domain.SIGNAL, runtime_dir=runtime_dir) as reader,
        Subscriber.connect(Domain.SIGNAL, runtime_dir=runtime_dir, mapped=False) as streamed,
    ):
        live, stream = iter(reader), iter(streamed)
        for number in range(200):
            publisher.send(SignalIdentity(number, "", ""))
            if number % 3 == 0:
                publisher.flush()
        publisher.flush()
        for messages in (live, stream):
            seen = [next(messages)[SignalIdentity].strategy_id for _ in range(200)]
            assert seen == list(range(200))
        with Subscriber.connect(Domain.SIGNAL, start="earliest", runtime_dir=runtime_dir) as late:
            seen = [m[SignalIdentity].strategy_id for m in itertools.islice(late, 200)]
            assert seen == list(range(200))
    assert len(list((tmp_path / "log").glob("*.torqlog"))) > 3


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "streamed"])
def test_a_reader_that_retention_overtook_is_told(
    tmp_path: Path, runtime_dir: Path, mapped: bool
) -> None:
    log = DiskLog(tmp_path / "log", segment_size=1000, keep_bytes=3000)
    with (
        running_relay(Domain.SIGNAL, runtime_dir, log=log),
        Publisher.connect(Domain.SIGNAL, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        for number in range(200):
            publisher.send(SignalIdentity(number, "", ""))
            publisher.flush()
        # Not before it keeps as little as it may (16 messages of 64 bytes fill a segment): the
        # head must not move under the reader.
        until(lambda: log.tail - log.head < 3000 + 16 * 64)
        head = log.head
        with Subscriber.connect(
            Domain.SIGNAL, start=0, runtime_dir=runtime_dir, mapped=mapped
        ) as reader:
            gap, message = itertools.islice(reader, 2)
            found = gap[SequenceGap]
            assert found.cause is GapCause.RETIRED
            assert (found.from_position, found.to_position) == (0, head)
            assert message.header.sequence > 1


def test_what_a_dead_relay_left_in_its_log_is_read_before_the_next_one_is_found(
    runtime_dir: Path,
) -> None:
    with running_relay(MD, runtime_dir):
        publisher = Publisher.connect(MD, source=7, runtime_dir=runtime_dir)
        reader = Subscriber.connect(MD, runtime_dir=runtime_dir)
        publisher.send_many([trade(trade_id=str(n)) for n in range(50)])
        publisher.flush()
    with running_relay(MD, runtime_dir):
        publisher.send(trade(trade_id="new"))
        publisher.flush()
        messages = list(itertools.islice(reader, 52))
        assert [m[Trade].trade_id for m in messages[:50]] == [str(n) for n in range(50)]
        assert messages[50][SequenceGap].cause is GapCause.LOG_REPLACED
        assert messages[51][Trade].trade_id == "new"
        assert reader.reconnects == 1
        reader.close()
        publisher.close()


def test_a_source_that_restarts_is_told_from_a_repeat(runtime_dir: Path) -> None:
    now = [1_000]
    with (
        running_relay(MD, runtime_dir) as relay,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as reader,
    ):
        messages = iter(reader)
        for session in range(3):
            now[0] += 10
            with Publisher.connect(
                MD, source=7, runtime_dir=runtime_dir, clock=lambda: now[0]
            ) as publisher:
                publisher.send_many([trade(trade_id=f"{session}.{n}") for n in range(5)])
        seen = [next(messages)[Trade].trade_id for _ in range(15)]
        assert seen == [f"{session}.{n}" for session in range(3) for n in range(5)]
        totals = reader.session.ledger.totals()
        assert (totals.restarts, totals.repeats, totals.holes) == (2, 0, 0)
        assert relay.ledger.counts[7].restarts == 2


def test_a_session_whose_clock_went_back_is_still_a_new_one(runtime_dir: Path) -> None:
    with running_relay(MD, runtime_dir) as relay:
        with Publisher.connect(
            MD, source=7, runtime_dir=runtime_dir, clock=lambda: 9_000
        ) as publisher:
            publisher.send_many([trade(trade_id=f"a{n}") for n in range(3)])
        relay.sources[7].session = 0  # as after a restart of the relay: it knows only the log
        with Publisher.connect(
            MD, source=7, runtime_dir=runtime_dir, clock=lambda: 5_000
        ) as publisher:
            publisher.send_many([trade(trade_id=f"b{n}") for n in range(2)])
        with Subscriber.connect(MD, start="earliest", runtime_dir=runtime_dir) as reader:
            messages = list(itertools.islice(reader, 5))
        assert [m[Trade].trade_id for m in messages] == ["a0", "a1", "a2", "b0", "b1"]
        stamps = [m.header.timestamp_ns for m in messages]
        assert stamps == sorted(stamps)


def test_what_was_collected_but_never_written_survives_a_relay_that_knows_nothing(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Publisher, "flush_if_idle", lambda _: False)
    with running_relay(MD, runtime_dir):
        publisher = Publisher.connect(MD, source=7, runtime_dir=runtime_dir)
        publisher.send(trade(trade_id="0"))
        publisher.flush()
        publisher._written_ns = publisher._next_look_ns = 2**62  # as in the middle of a burst
        for number in range(1, 6):
            publisher.send(trade(trade_id=str(number)))
        assert publisher._core.collected
    with (
        running_relay(MD, runtime_dir) as relay,
        Subscriber.connect(MD, start="earliest", runtime_dir=runtime_dir) as reader,
    ):
        publisher.flush()
        messages = list(itertools.islice(reader, 5))
        assert [m[Trade].trade_id for m in messages] == ["1", "2", "3", "4", "5"]
        assert relay.ledger.counts[7].repeats == 0
        publisher.close()


def test_clients_whose_relay_stayed_away_too_long_can_be_used_again(runtime_dir: Path) -> None:
    with running_relay(Domain.SIGNAL, runtime_dir):
        publisher = Publisher.connect(Domain.SIGNAL, source=7, runtime_dir=runtime_dir, timeout=0)
        reader = Subscriber.connect(Domain.SIGNAL, runtime_dir=runtime_dir, timeout=0)
    with pytest.raises(TransportError):
        publisher.send(SignalIdentity(1, "", ""))
    with pytest.raises(TransportError):
        next(iter(reader))
    with running_relay(Domain.SIGNAL, runtime_dir) as relay:
        publisher._core.link.timeout = 10
        publisher.send(SignalIdentity(2, "", ""))
        publisher.flush()
        ids = [m[SignalIdentity].strategy_id for m in itertools.islice(reader, 2)]
        assert ids == [1, 2]
        assert relay.ledger.counts[7].holes == 0
        publisher.close()
        with pytest.raises(TransportError, match="closed"):
            publisher.send(SignalIdentity(3, "", ""))
        reader.close()
        assert list(reader) == []


async def test_the_async_reader_maps_too_and_ends_when_closed(runtime_dir: Path) -> None:
    with running_relay(MD, runtime_dir) as relay:
        async with await AsyncPublisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher:
            reader = await AsyncSubscriber.connect(MD, runtime_dir=runtime_dir, name="async")
            assert relay.status().subscribers[0].mapped
            publisher.send_many([trade(trade_id=str(n)) for n in range(5000)])
            for number in range(10):
                publisher.send(trade(trade_id=f"single{number}"))
            seen = 0
            async for batch in reader.batches():
                seen += len(batch)
                if seen == 5010:
                    break
            assert reader.position == relay.log.tail
            await reader.close()
            assert [batch async for batch in reader.batches()] == []


def test_descriptors_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x")
    for kind in (Gauge, ReaderPage):
        descriptor = os.open(tmp_path / "short", os.O_RDWR)
        with pytest.raises(TransportError, match="passed something"):
            kind(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)  # it was taken over, and closed
    log = MappedLog(Gauge())
    with pytest.raises(TransportError, match="cannot map"):
        log.attach(os.open(tmp_path / "short", os.O_RDONLY), 0, 0, 1 << 20)
    log.close()


def test_relays_take_descriptors_back(runtime_dir: Path) -> None:
    """Readers that come and go leave nothing open in the relay."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with running_relay(MD, runtime_dir) as relay:
        Subscriber.connect(MD, runtime_dir=runtime_dir).close()
        until(lambda: not relay.status().subscribers)
        before = open_files()
        for _ in range(20):
            Subscriber.connect(MD, runtime_dir=runtime_dir).close()
        until(lambda: not relay.status().subscribers)
        until(lambda: open_files() <= before)
