"""What a relay does about clients that break the rules, on purpose or not."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from components import missing
from relays import running_relay
from samples import trade

from torq_codec import Framer, MessageBuilder, Run, iter_messages, kernel
from torq_relays import Publisher, RelayLimits, RingLog, Subscriber, socket_path
from torq_relays.transports import unix
from torq_relays.wire.control import hello_message
from torq_types import Domain, Error, ErrorCode, Role, ServiceHello, SignalIdentity, Trade

MD = Domain.MARKET_DATA
QUICK = 100


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


class Hostile:
    """A publisher that sends whatever bytes it likes."""

    def __init__(self, runtime_dir: Path, source: int = 9) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(socket_path(MD, runtime_dir)))
        self.socket.sendall(
            hello_message(
                MD, Role.PUBLISHER, source=source, session=1, next_sequence=1, name="hostile"
            )
        )
        self.until(ServiceHello)

    def until(self, cls: type[Any], code: ErrorCode | None = None) -> Any:
        seen = b""
        while True:
            chunk = self.socket.recv(65536)
            assert chunk, f"closed before a {cls.__name__}"
            seen += chunk
            for message in iter_messages(seen):
                if cls in message and (code is None or message[cls].code is code):
                    return message[cls]

    def send(self, chunk: bytes) -> bool:
        """Whether the relay still takes it."""
        try:
            self.socket.sendall(chunk)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.socket.close()


def built(sequence: int, source: int = 9) -> bytes:
    builder = MessageBuilder(MD, source).add(trade(trade_id=str(sequence)))
    return builder.build(sequence=sequence, timestamp_ns=1)


def test_half_a_message_and_silence(runtime_dir: Path) -> None:
    limits = RelayLimits(heartbeat_ms=50, stall_seconds=0)
    with running_relay(MD, runtime_dir, limits=limits) as relay:
        hostile = Hostile(runtime_dir)
        hostile.send(built(1) + built(2)[:50])
        error = hostile.until(Error, ErrorCode.STALLED)
        assert "50 bytes" in error.detail
        assert relay.log.tail == len(built(1))
        hostile.close()


def test_endless_garbage_is_cut_off_by_name_and_others_go_on(runtime_dir: Path) -> None:
    limits = RelayLimits(heartbeat_ms=QUICK, garbage_bytes=1 << 20)
    chance = random.Random(3)
    with (
        running_relay(MD, runtime_dir, limits=limits) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as honest,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as reader,
    ):
        hostile = Hostile(runtime_dir)
        sent = 0
        while hostile.send(chance.randbytes(65536)) and sent < 100:
            sent += 1
            honest.send(trade(trade_id=str(sent)))
        assert sent < 100
        until(lambda: relay.faults[ErrorCode.GARBAGE] == 1)
        honest.send(trade(trade_id="last"))
        for message in reader:
            if message[Trade].trade_id == "last":
                break
        hostile.close()
        until(lambda: relay.status().connections == 2)


def test_bytes_made_to_cost_checksums_are_garbage_too() -> None:
    """Thousands of headers that each claim a megabyte: the work stays in proportion."""
    header = bytearray(built(1)[:32])
    header[8:12] = (1 << 20).to_bytes(4, "little")
    framer = Framer(MD)
    fed = 0
    started = time.process_time()
    for _ in range(48):
        chunk = bytes(header) * 2048
        fed += len(chunk)
        for frame in framer.feed(chunk):
            assert not isinstance(frame, Run)
        if framer.work_wasted + framer.bytes_skipped > 64 * fed:
            break  # a relay's limit would have ended this long ago
    assert framer.work_wasted > 0
    assert time.process_time() - started < 60


def test_a_long_message_passes_and_one_beyond_the_limit_does_not(runtime_dir: Path) -> None:
    limits = RelayLimits(heartbeat_ms=QUICK, max_payload=1 << 20)
    with running_relay(MD, runtime_dir, limits=limits, log=RingLog(4 << 20)) as relay:
        with (
            Subscriber.connect(MD, runtime_dir=runtime_dir) as reader,
            Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        ):
            long = trade(trade_id="x" * 1_000_000)
            publisher.send(long)
            publisher.send(trade())
            assert next(iter(reader))[Trade] == long
            assert next(iter(reader))[Trade] == trade()
        hostile = Hostile(runtime_dir)
        payload = kernel.plan_for(Trade).encode(trade(trade_id="x" * 1_100_000))
        hostile.send(kernel.build(MD, 9, 1, 1, payload))
        assert hostile.until(Error).code is ErrorCode.BAD_LENGTH
        hostile.close()
        until(lambda: relay.faults[ErrorCode.BAD_LENGTH] >= 1)


def test_unfinished_messages_of_all_connections_share_one_limit(runtime_dir: Path) -> None:
    limits = RelayLimits(heartbeat_ms=QUICK, buffered_bytes=6 << 20)
    payload = kernel.plan_for(Trade).encode(trade(trade_id="x" * (3 << 20)))
    with running_relay(MD, runtime_dir, limits=limits, log=RingLog(16 << 20)) as relay:
        hostiles = [Hostile(runtime_dir, source=number) for number in (9, 10, 11)]
        for number, hostile in enumerate(hostiles, 9):
            hostile.send(kernel.build(MD, number, 1, 1, payload)[:-8])
        until(lambda: relay.faults[ErrorCode.TOO_MUCH_BUFFERED] >= 1)
        for hostile in hostiles:
            hostile.close()
        until(lambda: relay.status().connections == 0)


def test_another_users_process_is_refused(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "peer_uid", lambda _: os.geteuid() + 1)
    with running_relay(MD, runtime_dir) as relay:
        stranger = socket.socket(socket.AF_UNIX)
        stranger.settimeout(5)
        stranger.connect(str(socket_path(MD, runtime_dir)))
        (message,) = iter_messages(stranger.recv(65536))
        assert message[Error].code is ErrorCode.FOREIGN_USER
        assert stranger.recv(1) == b""
        stranger.close()
        assert relay.faults[ErrorCode.FOREIGN_USER] == 1


def test_another_users_process_really_is_refused(runtime_dir: Path) -> None:
    """As root only: a child that became somebody else, and file modes that would let it in."""
    if os.geteuid() != 0:
        missing("another user to become", "sudo -E uv run pytest")
    with running_relay(MD, runtime_dir) as relay:
        path = socket_path(MD, runtime_dir)
        assert path.stat().st_mode & 0o777 == 0o600
        runtime_dir.chmod(0o755)
        path.chmod(0o666)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(5)
                    client.connect(str(path))
                    (message,) = iter_messages(client.recv(65536))
                    status = 0 if message[Error].code is ErrorCode.FOREIGN_USER else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        until(lambda: relay.faults[ErrorCode.FOREIGN_USER] == 1)
        runtime_dir.chmod(0o700)


def test_connections_that_come_and_go_leave_nothing(runtime_dir: Path) -> None:
    """Ten thousand that only cost: garbage, half a hello, nothing at all."""
    limits = RelayLimits(heartbeat_ms=QUICK, connections=16)
    hello = hello_message(MD, Role.PUBLISHER, source=5, session=1, next_sequence=1, name="x")
    chance = random.Random(1)
    with (
        running_relay(MD, runtime_dir, limits=limits) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as honest,
    ):
        path = str(socket_path(MD, runtime_dir))
        for number in range(2000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                opening = (b"", b"GET /\r\n", hello[:40], hello, chance.randbytes(100))[number % 5]
                if opening:
                    client.send(opening)
        honest.send(trade())
        honest.flush()
        until(lambda: relay.status().connections == 1)
        assert relay.faults[ErrorCode.NOT_A_HELLO] > 0
        assert relay.log.tail == len(built(1)) or relay.messages == 1


def test_a_publisher_that_reads_no_complaints_costs_the_relay_little(runtime_dir: Path) -> None:
    with running_relay(MD, runtime_dir) as relay:
        hostile = Hostile(runtime_dir)
        hole = 1
        for _ in range(3000):
            hole += 2
            if not hostile.send(built(hole)):
                break
        until(lambda: relay.ledger.counts[9].holes == 3000)
        (publisher,) = [c for c in relay._connections.values() if c.name == "hostile"]
        assert len(publisher._outgoing) < 1 << 17
        hostile.close()


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("mode", [2, 3])
@pytest.mark.parametrize("place", ["text", "end"])
def test_a_start_in_the_middle_of_a_message_costs_its_own_reader_only(
    runtime_dir: Path, place: str, mapped: bool, mode: int
) -> None:
    """The four bytes that messages begin with may stand in a text as well."""
    with (
        running_relay(Domain.SIGNAL, runtime_dir) as relay,
        Publisher.connect(Domain.SIGNAL, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send(SignalIdentity(1, "TORQ" * 64, ""))
        publisher.flush()
        text = next(at for at in range(8, 300, 8) if relay.log.read(at, 4) == b"TORQ")
        start = text if place == "text" else relay.log.tail - 8
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(socket_path(Domain.SIGNAL, runtime_dir)))
            raw.sendall(
                hello_message(
                    Domain.SIGNAL,
                    Role.SUBSCRIBER,
                    start_mode=mode,
                    position=start,
                    mapped=mapped,
                    name="raw",
                )
            )
            until(lambda: relay.faults[ErrorCode.BAD_START] == 1)
        publisher.send(SignalIdentity(2, "", ""))
        publisher.flush()  # the relay lives on
