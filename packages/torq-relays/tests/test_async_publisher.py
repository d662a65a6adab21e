"""The asyncio publisher where it has no twin: tasks, event loops, cancellation, transports."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from relays import running_relay
from twins import SIGNAL, identity

from torq_relays import (
    AsyncPublisher,
    BatchingSink,
    socket_path,
)
from torq_relays.wire.control import control_message
from torq_types import (
    ProtocolError,
    Role,
    ServiceHello,
    SignalIdentity,
    TransportError,
)


def test_an_event_loop_that_ends_lets_go_of_the_source(runtime_dir: Path) -> None:
    kept: list[AsyncPublisher] = []

    async def connect() -> None:
        kept.append(await AsyncPublisher.connect(SIGNAL, source=7, runtime_dir=runtime_dir))
        kept[-1].send(identity(1))

    with running_relay(SIGNAL, runtime_dir):
        for _ in range(2):
            asyncio.run(connect())
        assert len(kept) == 2


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
