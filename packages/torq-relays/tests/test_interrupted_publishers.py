"""A blocking publisher whose calls are interrupted, nested, torn, forked, or find no relay."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from relays import running_relay
from twins import SIGNAL, Blocking, identity, numbers

from torq_relays import (
    LogOptions,
    Publisher,
    Subscriber,
    open_log,
)
from torq_relays.client.link import Event, Link
from torq_types import (
    ConnectionLostError,
    Domain,
    Heartbeat,
    NestedCallError,
    SignalIdentity,
    TransportError,
)

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
            with pytest.raises(NestedCallError, match=NESTED) as raised:
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


@pytest.mark.parametrize("error", [KeyboardInterrupt, TransportError, NestedCallError])
def test_whatever_a_handler_raises_in_a_write_nothing_goes_behind_what_it_tore(
    runtime_dir: Path, error: type[BaseException]
) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        sound = publisher._wire.socket
        assert sound is not None

        class Interrupted:
            """Takes ten bytes; then the handler raises."""

            def sendall(self, data: bytes) -> None:
                cast("socket.socket", sound).sendall(bytes(data)[:10])
                raise error("by a handler")

            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

        publisher._wire.socket = cast("Any", Interrupted())
        with pytest.raises(error):
            publisher.send_many([identity(1)])
        publisher.send(identity(2))
        publisher.flush()
        assert relay.ledger.tracker.last(7) == 2
        assert relay.ledger.counts[7].holes == 0
        assert not relay.bytes_skipped
        publisher.close()


def test_a_handler_that_raises_anywhere_leaves_a_publisher_of_use(runtime_dir: Path) -> None:
    """A real signal, a thousand times, in calls that do next to nothing."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with running_relay(SIGNAL, runtime_dir):
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)
        before = signal.signal(signal.SIGALRM, interrupt)
        hits = 0
        try:
            while hits < 1000:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0003)
                    while True:
                        publisher.send_many(())
                except KeyboardInterrupt:
                    hits += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        publisher.send(identity(1))
        publisher.flush()
        publisher.close()


def test_two_threads_may_close_the_same_publisher(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir):
        for source in range(1, 31):
            publisher = Publisher.connect(SIGNAL, source=source, runtime_dir=runtime_dir)
            publisher.send(identity(1))
            both = threading.Barrier(2)
            failures: list[BaseException] = []

            def close(
                publisher: Publisher = publisher,
                both: threading.Barrier = both,
                failures: list[BaseException] = failures,
            ) -> None:
                both.wait()
                try:
                    publisher.close()
                except TransportError as error:
                    failures.append(error)

            threads = [threading.Thread(target=close) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failures


def test_an_iterable_that_sends_is_told_so(runtime_dir: Path) -> None:
    with running_relay(SIGNAL, runtime_dir) as relay:
        publisher = Publisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir)

        def sending() -> Iterator[SignalIdentity]:
            yield identity(1)
            publisher.send(identity(2))

        with pytest.raises(NestedCallError, match=NESTED):
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
