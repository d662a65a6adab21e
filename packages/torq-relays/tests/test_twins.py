"""The blocking and the asyncio clients promise the same: one test runs on both, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from relays import running_relay

from torq_codec import Message, MessageBuilder
from torq_relays import (
    AsyncPublisher,
    AsyncSubscriber,
    BatchingSink,
    Bookmark,
    LogOptions,
    Publisher,
    RelayLimits,
    Subscriber,
    open_log,
    socket_path,
)
from torq_relays.client.link import Event, Link
from torq_relays.wire.control import control_message
from torq_types import (
    ConfigError,
    ConnectionLostError,
    Domain,
    Error,
    ErrorCode,
    Heartbeat,
    LogError,
    ProtocolError,
    RefusedError,
    Role,
    ServiceHello,
    SignalIdentity,
    SystemHealth,
    TransportError,
)

SIGNAL = Domain.SIGNAL


class Blocking:
    """Calls the blocking twins."""

    def publisher(self, **how: Any) -> Any:
        return Publisher.connect(SIGNAL, **how)

    def subscriber(self, **how: Any) -> Any:
        return Subscriber.connect(SIGNAL, **how)

    def call(self, method: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        return method(*arguments, **how)

    def read(self, subscriber: Subscriber, count: int) -> list[Message]:
        messages: list[Message] = []
        for message in subscriber:
            messages.append(message)
            if len(messages) == count:
                break
        return messages


class Asynchronous:
    """Calls the asyncio twins, in an event loop of another thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop(self) -> None:
        async def others_end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            assert not tasks, tasks  # a client that was closed leaves no task behind

        try:
            self.run(others_end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def publisher(self, **how: Any) -> Any:
        return self.run(AsyncPublisher.connect(SIGNAL, **how))

    def subscriber(self, **how: Any) -> Any:
        return self.run(AsyncSubscriber.connect(SIGNAL, **how))

    def call(self, method: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        async def work() -> Any:
            result = method(*arguments, **how)
            return await result if asyncio.iscoroutine(result) else result

        return self.run(work())

    def read(self, subscriber: AsyncSubscriber, count: int) -> list[Message]:
        async def work() -> list[Message]:
            messages: list[Message] = []
            async for message in subscriber:
                messages.append(message)
                if len(messages) == count:
                    break
            return messages

        messages: list[Message] = self.run(work())
        return messages


Twins = Blocking | Asynchronous


@pytest.fixture(params=["blocking", "asyncio"])
def twins(request: pytest.FixtureRequest) -> Iterator[Twins]:
    if request.param == "blocking":
        yield Blocking()
        return
    asynchronous = Asynchronous()
    yield asynchronous
    asynchronous.stop()


def identity(number: int) -> SignalIdentity:
    return SignalIdentity(number, "", "")


def built(source: int, first: int, count: int) -> bytes:
    builder = MessageBuilder(SIGNAL, source)
    messages = b""
    for number in range(first, first + count):
        message = builder.add(identity(number)).build(sequence=number, timestamp_ns=time.time_ns())
        messages += message
    return messages


def numbers(messages: list[Message]) -> list[int]:
    return [message[SignalIdentity].strategy_id for message in messages]


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


def test_an_event_loop_that_ends_lets_go_of_the_source(runtime_dir: Path) -> None:
    kept: list[AsyncPublisher] = []

    async def connect() -> None:
        kept.append(await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir))
        kept[-1].send(identity(1))

    with running_relay(SIGNAL, runtime_dir):
        for _ in range(2):
            asyncio.run(connect())
        assert len(kept) == 2


NESTED = "in the middle of another call"


def test_a_signal_handler_cannot_send_in_the_middle_of_a_call(runtime_dir: Path) -> None:
    """Its message would overtake the one under way, which the relay would drop as a repeat."""
    with running_relay(SIGNAL, runtime_dir):
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir, timeout=60)
    refused: list[str] = []
    again: list[AbstractContextManager[Any]] = []

    def pause(seconds: float) -> None:
        """Where a handler runs: the relay is back, and the handler sends."""
        monkeypatch.undo()
        again.append(running_relay(SIGNAL, runtime_dir))
        again[0].__enter__()
        for call in (
            lambda: publisher.send(identity(1)),
            lambda: publisher.send_many([identity(1)]),
            lambda: publisher.send_messages([(identity(1),)]),
            lambda: publisher.flush(),
        ):
            with pytest.raises(TransportError, match=NESTED) as raised:
                call()
            refused.append(str(raised.value))

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("torq_relays.client.blocking_wire.time.sleep", pause)
    try:
        assert publisher.send(identity(2)) == 1
        publisher.send(identity(3))
        publisher.flush()
        assert len(refused) == 4
        reader = Subscriber.connect(SIGNAL, runtime_dir=runtime_dir, start="earliest")
        assert numbers(Blocking().read(reader, 2)) == [2, 3]
        assert publisher.session.error_count == 0
        reader.close()
        publisher.close()
    finally:
        monkeypatch.undo()
        again[0].__exit__(None, None, None)


def test_an_iterable_that_sends_is_told_so(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)

        def sending() -> Iterator[SignalIdentity]:
            yield identity(1)
            publisher.send(identity(2))

        with pytest.raises(TransportError, match=NESTED):
            publisher.send_many(sending())
        publisher.send(identity(3))
        publisher.flush()
        assert relay.ledger.counts[7].holes == 0
        assert relay.ledger.tracker.last(7) == 1
        publisher.close()


def test_a_number_of_a_message_that_is_nowhere_is_given_back(runtime_dir: Path) -> None:
    """A handler raises between the message's number and its place among those that are kept."""
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        publisher._core.collected += publisher.session.encode(identity(1))
        encode = publisher.session.encode

        def interrupted(*tlvs: Any) -> bytes:
            encode(*tlvs)
            raise KeyboardInterrupt

        publisher.session.encode = interrupted  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            publisher.send(identity(2))
        publisher.session.encode = encode  # type: ignore[method-assign]
        assert publisher.send(identity(3)) == 2
        publisher.flush()
        assert relay.ledger.tracker.last(7) == 2
        assert relay.ledger.counts[7].holes == 0
        publisher.close()


def test_nothing_is_written_behind_what_a_stuck_relay_took_in_part(runtime_dir: Path) -> None:
    """The socket is full for longer than the publisher's patience, then the relay goes on."""
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir, timeout=1)
        sound = publisher._wire.socket
        assert sound is not None

        class Stuck:
            """Takes ten bytes, and then nothing in time."""

            def sendall(self, data: bytes) -> None:
                cast("socket.socket", sound).sendall(bytes(data)[:10])
                raise TimeoutError("timed out")

            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

        for publish in (
            lambda: publisher.send_many([identity(1)]),
            lambda: publisher._core.collected.__iadd__(publisher.session.encode(identity(2))),
        ):
            publisher._wire.socket = cast("Any", Stuck())
            publish()
            publisher.flush(60)
            sound = publisher._wire.socket
            assert sound is not None
        assert relay.ledger.tracker.last(7) == 2
        assert relay.ledger.counts[7].holes == 0
        publisher.close()


def test_what_a_blocking_send_could_not_deliver_is_delivered_once(runtime_dir: Path) -> None:
    """It says that the relay is away; what it took all the same goes out when it is back."""
    with running_relay(SIGNAL, runtime_dir):
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir, timeout=0)
        publisher.send(identity(1))
        publisher.flush(10)
    for number in (2, 3):
        with pytest.raises(TransportError, match="no relay answers"):
            publisher.send(identity(number))
    with pytest.raises(TransportError, match="no relay answers"):
        publisher.send_many(map(identity, (4, 5)))
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher.flush(10)
        reader = Subscriber.connect(SIGNAL, start="earliest", runtime_dir=runtime_dir)
        assert numbers(Blocking().read(reader, 5)) == [1, 2, 3, 4, 5]
        assert relay.ledger.counts[7].holes == 0
        reader.close()
        publisher.close()


def test_a_write_that_was_torn_is_not_written_on_behind(runtime_dir: Path) -> None:
    """An exception out of a signal handler, in the middle of a write: half a message is sent."""
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        publisher.send(identity(1))
        publisher.flush()
        connection = publisher._wire.socket
        assert connection is not None

        sound = connection

        class Torn:
            """Sends ten bytes, then the handler raises."""

            def sendall(self, data: bytes) -> None:
                sound.sendall(bytes(data)[:10])
                raise KeyboardInterrupt

            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

        publisher._wire.socket = cast("Any", Torn())
        with pytest.raises(KeyboardInterrupt):
            publisher.send_many([identity(2)])
        publisher.send(identity(3))
        publisher.flush()
        assert relay.ledger.tracker.last(7) == 3
        assert relay.ledger.counts[7].holes == 0
        publisher.close()


def test_a_thread_that_cannot_begin_costs_no_message(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        monkeypatch.setattr("torq_relays.client.publisher._PAUSE_NS", 1 << 62)
        monkeypatch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="new thread"):
            publisher.send(identity(1))
        monkeypatch.undo()
        publisher.send(identity(2))
        publisher.flush()
        assert relay.ledger.tracker.last(7) == 2
        publisher.close()


def test_a_forked_child_cannot_use_its_parents_publisher(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        with publisher._lock:  # as its own thread may hold it
            child = os.fork()
            if not child:
                try:
                    publisher.send(identity(1))
                except ConnectionLostError:
                    os._exit(7)
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        publisher.send(identity(1))
        publisher.flush()
        assert relay.ledger.tracker.last(7) == 1
        assert publisher.reconnects == 0
        publisher.close()


def test_a_signal_handler_that_closes_a_subscriber_ends_its_loop(runtime_dir: Path) -> None:
    with (
        running_relay(SIGNAL, runtime_dir),
        Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send_many(map(identity, range(10)))
        publisher.flush()
        for method in ("read", "wait"):  # where the handler runs: before either
            reader = Subscriber.connect(SIGNAL, start="earliest", runtime_dir=runtime_dir)
            original = getattr(reader._core, method)

            def interrupted(original: Any = original, reader: Subscriber = reader) -> Any:
                reader.close()
                return original()

            setattr(reader._core, method, interrupted)
            assert len(list(reader)) <= 10
            assert reader._core._follower is None


def test_who_closes_in_another_thread_is_not_brought_back() -> None:
    link = Link(Path("nowhere"), 1.0, retries_refusals=True)
    link.happened(Event.LEFT)
    for late in (Event.OPENED, Event.GREETED, Event.LOST):
        link.happened(late)
        assert link.is_closed


def test_a_relay_with_a_slow_fsync_is_durable_before_its_last_word(runtime_dir: Path) -> None:
    domain = Domain.EXECUTION
    options = LogOptions(fsync="interval", fsync_interval_ms=3_600_000)
    log = open_log(domain, runtime_dir / "logs", options)
    with running_relay(domain, runtime_dir, log=log) as relay:
        publisher = Publisher.connect(domain, source=7, runtime_dir=runtime_dir, timeout=1)
        publisher.send(Heartbeat(1, 0))
        while relay.messages < 1:
            time.sleep(0.001)
    publisher.flush()
    publisher.close()


async def test_asyncio_hears_the_last_word_though_it_writes_first(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = await AsyncPublisher.connect(
            SIGNAL, source=7, runtime_dir=runtime_dir, timeout=1
        )
        publisher.send(identity(1))
        while relay.messages < 1:
            time.sleep(0.001)  # noqa: ASYNC251 - the event loop is busy
    await publisher.flush()
    await publisher.close()


async def test_asyncio_flush_ends_though_others_go_on_sending(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)

        async def send_for_ever() -> None:
            while True:
                publisher.send(identity(1))
                await asyncio.sleep(0)

        sending = asyncio.create_task(send_for_ever())
        async with asyncio.timeout(60):
            await publisher.flush()
        sending.cancel()
        await asyncio.wait([sending])
        await publisher.close()


async def test_asyncio_send_in_another_thread_numbers_nothing(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.to_thread(publisher.send, identity(1))
        assert publisher.sequence == 0
        publisher.send(identity(1))
        while relay.messages < 1:
            await asyncio.sleep(0)  # it is written without a flush
        await publisher.close()


async def test_asyncio_close_does_not_swallow_a_cancellation(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        for turns in range(12):
            publisher = await AsyncPublisher.connect(
                SIGNAL, source=100 + turns, runtime_dir=runtime_dir
            )
            closing = asyncio.create_task(publisher.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            was_under_way = closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled() == was_under_way
            await publisher.close()


async def test_asyncio_closes_at_once_are_no_error(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        publisher = await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        publisher.send(identity(1))
        await asyncio.gather(publisher.close(), publisher.close(), publisher.flush())


async def test_asyncio_drain_ends_when_the_publisher_is_closed(runtime_dir: Path) -> None:
    """A relay that does not read: what it will never take is given up, with the socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(SIGNAL, runtime_dir)))
        listener.listen(1)
        connecting = asyncio.create_task(
            AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir, timeout=0.2)
        )
        listener.setblocking(False)
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        hello = ServiceHello(
            start_position=0, session=1, next_sequence=1, log_id=1, last_timestamp_ns=0,
            source=0, role=Role.RELAY, start_mode=0, mapped=0, types=(), instruments=(), name="",
        )  # fmt: skip
        client.sendall(control_message(SIGNAL, 0, hello))
        publisher = await connecting
        publisher.send_many([identity(1)] * 200_000)
        draining = asyncio.create_task(publisher.drain())
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="has taken nothing"):
            await publisher.close()
        async with asyncio.timeout(60):
            await draining
        client.close()


def test_uvloop_and_a_relay_that_has_just_gone(runtime_dir: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def send_on() -> AsyncPublisher:
        with running_relay(SIGNAL, runtime_dir):
            publisher = await AsyncPublisher.connect(
                SIGNAL, source=7, runtime_dir=runtime_dir, timeout=0.2
            )
        for turn in range(400):  # each is kept, and none raises
            publisher.send(identity(turn))
            if turn % 3 == 0:
                await asyncio.sleep(0)
        assert publisher.sequence == 400
        with running_relay(SIGNAL, runtime_dir) as relay:
            await publisher.flush(60)
            assert relay.ledger.tracker.last(7) == 400
            await publisher.close()
        return publisher

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(send_on())


async def test_what_a_batch_could_not_pass_on_waits_on(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        sink = BatchingSink(publisher, lambda: 0, max_messages=4)
        for number in range(3):
            sink.send(identity(number))
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.to_thread(sink.send, identity(3))  # the fourth: it would be passed on
        await sink.flush()
        assert relay.ledger.tracker.last(7) == 4
        await publisher.close()


async def test_a_bad_message_costs_a_batch_no_other(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        sink = BatchingSink(publisher, lambda: 0)
        for number in (1, 1 << 16, 2):
            sink.send(SignalIdentity(number, "", ""))
        with pytest.raises(ProtocolError, match="does not fit"):
            await sink.flush()
        await sink.flush()
        assert relay.ledger.tracker.last(7) == 2
        await publisher.close()
