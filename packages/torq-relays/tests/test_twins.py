"""The blocking and the asyncio clients promise the same: one test runs on both, on real sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from relays import running_relay
from twins import SIGNAL, Asynchronous, Blocking, Twins, built, identity, numbers

from torq_codec import Message
from torq_relays import (
    Bookmark,
    RelayLimits,
    socket_path,
)
from torq_relays.wire.control import control_message
from torq_types import (
    ConfigError,
    ConnectionLostError,
    Error,
    ErrorCode,
    Heartbeat,
    LogError,
    ProtocolError,
    RefusedError,
    Role,
    SignalIdentity,
    SystemHealth,
    TransportError,
)


@pytest.fixture(params=["blocking", "asyncio"])
def twins(request: pytest.FixtureRequest) -> Iterator[Twins]:
    if request.param == "blocking":
        yield Blocking()
        return
    asynchronous = Asynchronous()
    yield asynchronous
    asynchronous.stop()


def test_every_way_of_sending_arrives_in_order(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        reader = twins.subscriber(runtime_dir=runtime_dir, start="earliest")
        assert twins.call(publisher.send, identity(1)) == 1
        assert twins.call(publisher.send_many, map(identity, (2, 3))) == 3
        assert twins.call(publisher.send_messages, [(identity(4),), (identity(5),)]) == 5
        assert twins.call(publisher.send_built, built(7, 6, 2)) == 7
        assert twins.call(publisher.send, identity(8)) == 8
        twins.call(publisher.flush)
        assert relay.ledger.tracker.last(7) == 8
        assert numbers(twins.read(reader, 8)) == [1, 2, 3, 4, 5, 6, 7, 8]
        twins.call(publisher.close)
        twins.call(reader.close)


def test_what_cannot_be_sent_uses_up_no_sequence(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        bad = SignalIdentity(-1, "", "")
        for send, argument in (
            (publisher.send, bad),
            (publisher.send_many, [identity(1), bad]),
            (publisher.send_messages, [(identity(1),), (bad,)]),
        ):
            with pytest.raises(ProtocolError, match="does not fit"):
                twins.call(send, argument)
        with pytest.raises(ProtocolError):
            twins.call(publisher.send_built, built(7, 2, 1))
        assert publisher.sequence == 0
        assert twins.call(publisher.send, identity(1)) == 1
        twins.call(publisher.close)
        assert relay.ledger.counts[7].holes == 0


def test_what_a_lost_relay_had_not_got_is_sent_to_the_next(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        reader = twins.subscriber(runtime_dir=runtime_dir, start="earliest")
        twins.call(publisher.send, identity(1))
        twins.call(publisher.flush)
    # The blocking one waits for a relay, or says that there is none.
    if isinstance(twins, Asynchronous):
        twins.call(publisher.send, identity(2))
        twins.call(publisher.send_messages, [(identity(3),)])
        twins.call(publisher.send_built, built(7, 4, 1))
    with running_relay(SIGNAL, runtime_dir) as relay:
        if isinstance(twins, Blocking):
            publisher.send_many(map(identity, (2, 3, 4)))
        twins.call(publisher.send, identity(5))
        twins.call(publisher.flush)
        assert publisher.reconnects == 1
        assert numbers(twins.read(reader, 5)) == [1, 2, 3, 4, 5]
        counts = relay.ledger.counts[7]
        assert (counts.holes, counts.repeats, counts.restarts) == (0, 0, 0)
        twins.call(publisher.close)
        twins.call(reader.close)


def test_a_relay_that_stops_acknowledges_what_it_has(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir, timeout=1)
        twins.call(publisher.send_many, [identity(number) for number in range(10)])
        reader = twins.subscriber(start="earliest", runtime_dir=runtime_dir)
        assert numbers(twins.read(reader, 10)) == list(range(10))
        twins.call(reader.close)
    twins.call(publisher.flush)  # nobody is there to ask, and nobody need be
    twins.call(publisher.close)


def test_without_a_relay_close_says_what_it_could_not_deliver(
    twins: Twins, runtime_dir: Path
) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir, timeout=1)
        twins.call(publisher.send, identity(1))
        twins.call(publisher.flush)
        idle = twins.publisher(source=8, runtime_dir=runtime_dir, timeout=1)
    if isinstance(twins, Blocking):
        with pytest.raises(TransportError, match="no relay answers"):
            publisher.send_many([identity(2)])
        publisher._core.collected += publisher.session.encode(identity(2))  # as if just collected
    else:
        twins.call(publisher.send, identity(2))
    with pytest.raises(TransportError, match="relay"):
        twins.call(publisher.close)
    twins.call(idle.close)  # nothing of it is missing: nobody waits
    twins.call(publisher.close)  # a second time is no more than the first


def test_a_closed_publisher_says_so(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        twins.call(publisher.close)
        for method, arguments in (
            (publisher.send, [identity(1)]),
            (publisher.send_many, [[identity(1)]]),
            (publisher.send_messages, [[(identity(1),)]]),
            (publisher.send_built, [built(7, 1, 1)]),
            (publisher.flush, []),
        ):
            with pytest.raises(ConnectionLostError, match="this publisher is closed"):
                twins.call(method, *arguments)
        assert relay.messages == 0


def test_a_flush_is_patient_with_progress_and_not_without(
    twins: Twins, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        twins.call(publisher.send, identity(1))
        twins.call(publisher.flush, timeout=30)
        monkeypatch.setattr(relay.log, "append", _refusing)
        started = time.monotonic()
        twins.call(publisher.send, identity(2))
        with pytest.raises(TransportError, match=r"has taken nothing for 0\.5 s: .*no room"):
            twins.call(publisher.flush, timeout=0.5)
        assert time.monotonic() - started >= 0.5
        monkeypatch.undo()
        twins.call(publisher.flush, timeout=30)
        assert relay.ledger.tracker.last(7) == 2
        twins.call(publisher.close)


def _refusing(messages: bytes) -> None:
    raise LogError("no room")


def test_a_refused_client_gets_the_relays_reason(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        with pytest.raises(RefusedError, match="source 7 is in use"):
            twins.publisher(source=7, runtime_dir=runtime_dir, timeout=1)
        with pytest.raises(RefusedError, match="not in this log"):
            twins.subscriber(runtime_dir=runtime_dir, start=8_000_000)
        twins.call(publisher.close)


def test_a_monitor_gets_the_relays_health(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        monitor = twins.subscriber(runtime_dir=runtime_dir, role=Role.MONITOR)
        for message in twins.read(monitor, 2):
            assert message[SystemHealth].service == "relay-signal"
        twins.call(monitor.close)


@pytest.mark.parametrize("mapped", [True, False])
def test_close_ends_a_loop_that_waits_elsewhere(
    twins: Twins, runtime_dir: Path, mapped: bool
) -> None:
    quiet = RelayLimits(heartbeat_ms=60_000)  # a heartbeat would wake the loop, too
    with running_relay(SIGNAL, runtime_dir, limits=quiet):
        reader = twins.subscriber(runtime_dir=runtime_dir, mapped=mapped)
        found: list[list[Message]] = []
        waiting = threading.Thread(target=lambda: found.append(twins.read(reader, 1)))
        waiting.start()
        time.sleep(0.2)  # it may close before the loop waits, too: both must end
        started = time.monotonic()
        twins.call(reader.close)
        waiting.join(9)
        assert not waiting.is_alive()
        assert time.monotonic() - started < 8  # it was woken, not given up for silence
        assert found == [[]]
        assert reader.reconnects == 0


def test_connecting_without_a_relay_ends_with_a_hint(twins: Twins, runtime_dir: Path) -> None:
    hint = r"no relay answers on .*; is Torq up\?"
    with pytest.raises(TransportError, match=hint):
        twins.publisher(source=7, runtime_dir=runtime_dir, timeout=0.1)
    with pytest.raises(TransportError, match=hint):
        twins.subscriber(runtime_dir=runtime_dir, timeout=0.1)


@contextmanager
def mute_relay(runtime_dir: Path) -> Iterator[None]:
    """Accepts connections, and never says a word."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(SIGNAL, runtime_dir)))
        listener.listen(16)
        yield


@pytest.mark.parametrize("kind", ["publisher", "subscriber"])
def test_a_relay_that_never_answers_costs_no_more_than_ones_patience(
    twins: Twins, runtime_dir: Path, kind: str
) -> None:
    connect = {
        "publisher": lambda: twins.publisher(source=7, runtime_dir=runtime_dir, timeout=0.3),
        "subscriber": lambda: twins.subscriber(runtime_dir=runtime_dir, timeout=0.3),
    }
    with mute_relay(runtime_dir):
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"does not answer|was silent"):
            connect[kind]()
        assert time.monotonic() - started < 4  # not the five seconds of a patient client


@contextmanager
def talkative_server(runtime_dir: Path) -> Iterator[None]:
    """Accepts connections, and says everything but hello."""
    stopping = threading.Event()
    beat = control_message(SIGNAL, 0, Heartbeat(0, 1000))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(SIGNAL, runtime_dir)))
        listener.listen(16)
        listener.settimeout(0.02)
        clients: list[socket.socket] = []

        def talk() -> None:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    clients.append(listener.accept()[0])
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.send(beat)

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            yield
        finally:
            stopping.set()
            talking.join()
            for client in clients:
                client.close()


@pytest.mark.parametrize("kind", ["publisher", "subscriber"])
def test_a_server_that_talks_and_never_greets_is_given_up(
    twins: Twins, runtime_dir: Path, kind: str
) -> None:
    connect = {
        "publisher": lambda: twins.publisher(source=7, runtime_dir=runtime_dir, timeout=0.3),
        "subscriber": lambda: twins.subscriber(runtime_dir=runtime_dir, timeout=0.3),
    }
    with (
        talkative_server(runtime_dir),
        pytest.raises(TransportError, match=r"does not answer a hello"),
    ):
        connect[kind]()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_patience_that_is_none_is_refused(
    twins: Twins, runtime_dir: Path, timeout: float
) -> None:
    expected = "expected seconds, 0 or more"
    with pytest.raises(ConfigError, match=expected):
        twins.publisher(source=7, runtime_dir=runtime_dir, timeout=timeout)
    with pytest.raises(ConfigError, match=expected):
        twins.subscriber(runtime_dir=runtime_dir, timeout=timeout)
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        with pytest.raises(ConfigError, match=expected):
            twins.call(publisher.flush, timeout=timeout)
        twins.call(publisher.close)


@pytest.mark.parametrize("timeout", [0, float("inf")])
def test_no_patience_and_infinite_patience_connect(
    twins: Twins, runtime_dir: Path, timeout: float
) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir, timeout=timeout)
        reader = twins.subscriber(start="earliest", runtime_dir=runtime_dir, timeout=timeout)
        twins.call(publisher.send_many, [identity(1)] * 20_000)
        twins.call(publisher.flush, timeout=60)
        twins.call(publisher.flush, timeout=0)  # the relay's word is here already
        assert len(twins.read(reader, 20_000)) == 20_000
        assert publisher.reconnects == 0
        twins.call(reader.close)
        twins.call(publisher.close)


@pytest.mark.parametrize("start", ["foo", None, 1.5, True, -1, 1 << 64, Bookmark(1, -8)])
def test_a_start_that_is_none_is_refused(twins: Twins, runtime_dir: Path, start: Any) -> None:
    with pytest.raises(ConfigError, match="expected 'live', 'earliest', a position"):
        twins.subscriber(runtime_dir=runtime_dir, start=start)


def test_a_tlv_that_cannot_be_sent_ends_send_many_before_its_group(
    twins: Twins, runtime_dir: Path
) -> None:
    bad = SignalIdentity(1 << 16, "", "")
    tlvs = [*map(identity, range(1500)), bad, *map(identity, range(500))]
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        with pytest.raises(ProtocolError):
            twins.call(publisher.send_many, iter(tlvs))
        assert publisher.sequence == 1024
        twins.call(publisher.flush)
        assert relay.ledger.tracker.last(7) == 1024
        twins.call(publisher.close)


def test_a_relay_that_says_what_cannot_be_read_is_left(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir)
        message = bytearray(control_message(SIGNAL, 0, Error(0, ErrorCode.OTHER, "no UTF-8")))
        at = message.find(b"no UTF-8")
        message[at : at + 8] = b"\xff" * 8
        message[4:8] = zlib.crc32(message[8:]).to_bytes(4, "little")
        with pytest.raises(ConnectionLostError, match="cannot be read"):
            publisher.session.receive(bytes(message))
        twins.call(publisher.send, identity(1))
        twins.call(publisher.flush)
        twins.call(publisher.close)


def test_a_flush_keeps_to_its_own_time_without_a_relay(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir, timeout=60)
    message = publisher.session.encode(identity(1))
    publisher.session.keep(message, 1)
    started = time.monotonic()
    with pytest.raises(TransportError):
        twins.call(publisher.flush, timeout=0.3)
    assert time.monotonic() - started < 20  # the patience of connect is another one
    publisher._core.link.timeout = 0.1
    with pytest.raises(TransportError):
        twins.call(publisher.close)


def test_a_month_of_patience_is_no_error(twins: Twins, runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = twins.publisher(source=7, runtime_dir=runtime_dir, timeout=3e6)
        twins.call(publisher.send, identity(1))
        twins.call(publisher.flush)
        twins.call(publisher.close)


def test_without_a_free_descriptor_connecting_says_so(
    twins: Twins, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with running_relay(SIGNAL, runtime_dir):
        monkeypatch.setattr("torq_relays.transports.unix.socket.socket", none_left)
        for connect in (
            lambda: twins.publisher(source=7, runtime_dir=runtime_dir, timeout=0.1),
            lambda: twins.subscriber(runtime_dir=runtime_dir, timeout=0.1),
        ):
            with pytest.raises(TransportError, match="Too many open files"):
                connect()  # type: ignore[no-untyped-call]
        monkeypatch.undo()


@pytest.mark.parametrize("mapped", [True, False])
def test_close_in_the_middle_of_a_search_ends_the_loop(
    twins: Twins, runtime_dir: Path, mapped: bool
) -> None:
    with running_relay(SIGNAL, runtime_dir):
        reader = twins.subscriber(runtime_dir=runtime_dir, mapped=mapped, timeout=600)
    found: list[list[Message]] = []
    waiting = threading.Thread(target=lambda: found.append(twins.read(reader, 1)))
    waiting.start()
    while not reader._core.link.problem:  # it searches, and found nobody
        time.sleep(0.01)
    with running_relay(SIGNAL, runtime_dir) as relay:
        twins.call(reader.close)
        waiting.join(60)
        assert not waiting.is_alive()
        assert found == [[]]
        assert reader._wire.socket is None
        deadline = time.monotonic() + 60
        while relay.status().subscribers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not relay.status().subscribers
