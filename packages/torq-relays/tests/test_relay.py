"""A relay and its clients over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from relays import running_relay
from samples import BTC_USD, BTCUSD, trade

from torq_codec import Message, MessageBuilder, iter_messages
from torq_relays import (
    AsyncPublisher,
    AsyncSubscriber,
    BatchingSink,
    CollectingSink,
    DirectSink,
    Publisher,
    RelayLimits,
    RingLog,
    Subscriber,
    socket_path,
)
from torq_relays.wire.control import control_message, hello_message
from torq_types import (
    Decimal64,
    Domain,
    Error,
    ErrorCode,
    FieldError,
    GapCause,
    Heartbeat,
    Quote,
    RefusedError,
    RiskAlert,
    Role,
    SequenceGap,
    ServiceHello,
    SignalIdentity,
    SystemHealth,
    TlvTypeError,
    Trade,
    TransportError,
)

MD = Domain.MARKET_DATA


def take(subscriber: Subscriber, count: int) -> list[Message]:
    return list(itertools.islice(subscriber, count))


def ids(messages: list[Message]) -> list[str]:
    return [message[Trade].trade_id for message in messages]


def some_trades(first: int, last: int, **changes: Any) -> list[Trade]:
    return [trade(trade_id=str(number), **changes) for number in range(first, last + 1)]


def test_what_is_published_arrives_verbatim_and_in_order(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir) as relay,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as live,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        assert publisher.send(trade(trade_id="1")) == 1
        assert publisher.send_many(some_trades(2, 1000)) == 1000
        publisher.flush()
        messages = take(live, 1000)
        assert ids(messages) == [str(number) for number in range(1, 1001)]
        assert [m.header.sequence for m in messages] == list(range(1, 1001))
        assert relay.log.read(0, relay.log.tail) == b"".join(m.tobytes() for m in messages)
        assert live.position == relay.log.tail
        assert oct(socket_path(MD, runtime_dir).stat().st_mode)[-3:] == "600"
    assert not socket_path(MD, runtime_dir).exists()


def test_start_earliest_and_at_an_offset(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send_many(some_trades(1, 5))
        publisher.flush()
        with Subscriber.connect(MD, start="earliest", runtime_dir=runtime_dir) as reader:
            batch = next(reader.batches())
            assert ids(list(batch)) == ["1", "2", "3", "4", "5"]
            assert (len(batch), batch.start) == (5, 0)
        third = sum(len(message) for message in list(batch)[:2])
        with Subscriber.connect(MD, start=third, runtime_dir=runtime_dir) as reader:
            assert ids(take(reader, 3)) == ["3", "4", "5"]
        with pytest.raises(RefusedError, match="no message begins"):
            Subscriber.connect(MD, start=third + 8, runtime_dir=runtime_dir)
        with pytest.raises(RefusedError, match="not in this log"):
            Subscriber.connect(MD, start=1 << 40, runtime_dir=runtime_dir)


def test_filters_by_type_and_by_instrument_keep_exact_positions(runtime_dir: Path) -> None:
    zero = Decimal64(0, 0)
    quote = Quote(BTC_USD, zero, zero, zero, zero, 0)
    with (
        running_relay(MD, runtime_dir) as relay,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(
            MD, types=[Trade], instruments=[BTCUSD], runtime_dir=runtime_dir
        ) as both,
        Subscriber.connect(MD, types=[Quote], runtime_dir=runtime_dir) as quotes,
        Subscriber.connect(MD, instruments=[BTC_USD], runtime_dir=runtime_dir) as coinbase,
    ):
        for number in range(1, 6):
            publisher.send(quote)
            publisher.send(trade(trade_id=str(number)))
            publisher.send(trade(trade_id=f"g{number}", instrument=BTCUSD))
        publisher.flush()
        batches = both.batches()
        found = [next(batches) for _ in range(5)]
        assert [m[Trade].trade_id for batch in found for m in batch] == [
            f"g{n}" for n in range(1, 6)
        ]
        for batch in found:
            assert relay.log.read(batch.start, len(batch.messages)) == batch.messages
        assert all(Quote in m for m in take(quotes, 5))
        assert [Quote in m for m in take(coinbase, 10)] == [True, False] * 5


@pytest.mark.parametrize("domain", [Domain.SIGNAL, Domain.EXECUTION])
def test_a_durable_log_outlives_its_relay_and_both_clients_go_on(
    domain: Domain, runtime_dir: Path
) -> None:
    def tlv(number: int) -> SignalIdentity | RiskAlert:
        if domain is Domain.SIGNAL:
            return SignalIdentity(number, "s", "1")
        return RiskAlert(Decimal64(number, 0), Decimal64(0, 0), 1, "n")

    with running_relay(domain, runtime_dir):
        publisher = Publisher.connect(domain, source=3, runtime_dir=runtime_dir)
        subscriber = Subscriber.connect(domain, runtime_dir=runtime_dir)
        publisher.send(tlv(1))
        publisher.flush()
        seen = take(subscriber, 1)
    with running_relay(domain, runtime_dir) as relay:
        publisher.send(tlv(2))
        publisher.flush()
        publisher.send(tlv(3))
        publisher.flush()
        seen += take(subscriber, 2)
        assert [m.header.sequence for m in seen] == [1, 2, 3]
        counts = relay.ledger.counts[3]
        assert (counts.holes, counts.repeats) == (0, 0)
        publisher.close()
        subscriber.close()
        with Publisher.connect(domain, source=3, runtime_dir=runtime_dir) as again:
            assert again.send(tlv(4)) == 1
        assert relay.ledger.counts[3].restarts == 1


def test_a_ring_that_was_replaced_is_told_as_a_gap(runtime_dir: Path) -> None:
    with running_relay(MD, runtime_dir):
        publisher = Publisher.connect(MD, source=3, runtime_dir=runtime_dir)
        subscriber = Subscriber.connect(MD, runtime_dir=runtime_dir)
        publisher.send(trade())
        publisher.flush()
        take(subscriber, 1)
        position = subscriber.position
    with running_relay(MD, runtime_dir):
        publisher.send(trade(trade_id="new"))
        publisher.flush()
        gap, message = take(subscriber, 2)
        assert gap[SequenceGap].cause is GapCause.LOG_REPLACED
        assert gap[SequenceGap].from_position == position
        assert message[Trade].trade_id == "new"
        publisher.close()
        subscriber.close()


def test_a_reader_that_was_lapped_gets_the_exact_range_it_lost(runtime_dir: Path) -> None:
    log = RingLog(8192)
    with (
        running_relay(MD, runtime_dir, log=log),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send_many(some_trades(1, 1))
        publisher.flush()
        size = log.tail
        with Subscriber.connect(MD, start=0, runtime_dir=runtime_dir) as reader:
            take(reader, 1)
        publisher.send_many(some_trades(2, 9) * 100)
        publisher.flush()
        with Subscriber.connect(MD, start=size, runtime_dir=runtime_dir) as reader:
            messages = take(reader, 1 + (log.tail - log.head) // size)
        gap = messages[0][SequenceGap]
        assert (gap.from_position, gap.to_position) == (size, log.head)
        assert gap.cause is GapCause.LAPPED
        assert messages[1].header.sequence == log.head // size + 1
        assert messages[-1].header.sequence == publisher.sequence


class RawClient:
    """Speaks to the relay byte by byte, as a hostile or broken client would."""

    def __init__(self, runtime_dir: Path, domain: Domain = MD) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(socket_path(domain, runtime_dir)))

    def hello(self, source: int = 9, domain: Domain = MD, role: Role = Role.PUBLISHER) -> None:
        hello = hello_message(domain, role, source=source, session=1, next_sequence=1, name="raw")
        self.socket.sendall(hello)

    def until(self, cls: type[Any]) -> Any:
        seen = b""
        while True:
            chunk = self.socket.recv(65536)
            assert chunk, f"closed before a {cls.__name__}"
            seen += chunk
            for message in iter_messages(seen):
                if cls in message:
                    return message[cls]

    def is_closed(self) -> bool:
        while chunk := self.socket.recv(65536):
            del chunk
        return True


def built(sequence: int, source: int = 9) -> bytes:
    builder = MessageBuilder(MD, source).add(trade(trade_id=str(sequence)))
    return builder.build(sequence=sequence, timestamp_ns=1)


def test_bad_messages_are_dropped_counted_and_explained_and_cost_nobody_else(
    runtime_dir: Path,
) -> None:
    flipped = bytearray(built(2))
    flipped[70] ^= 1
    signal = MessageBuilder(Domain.SIGNAL, 9).add(SignalIdentity(1, "", ""))
    with (
        running_relay(MD, runtime_dir) as relay,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as reader,
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as other,
    ):
        raw = RawClient(runtime_dir)
        raw.hello()
        raw.until(ServiceHello)
        raw.socket.sendall(built(1) + bytes(flipped) + built(2) + b"garbage!" + built(3))
        error = raw.until(Error)
        assert (error.code, error.sequence) == (ErrorCode.BAD_CHECKSUM, 2)
        raw.socket.sendall(signal.build(sequence=4, timestamp_ns=1) + built(4, source=8))
        raw.socket.sendall(built(3) + built(4) + built(9) + built(10)[:50])
        *before, gap, last = take(reader, 6)
        assert ids([*before, last]) == ["1", "2", "3", "4", "9"]
        assert (gap[SequenceGap].first_sequence, gap[SequenceGap].last_sequence) == (5, 8)
        assert (gap[SequenceGap].cause, reader.gaps) == (GapCause.SOURCE_HOLE, 1)
        raw.socket.close()
        other.send(trade(trade_id="other"))
        other.flush()
        assert ids(take(reader, 1)) == ["other"]
        deadline = time.monotonic() + 10
        while ErrorCode.INCOMPLETE not in relay.faults and time.monotonic() < deadline:
            time.sleep(0.01)
        faults = relay.status().faults
        assert faults == {
            "bad_magic": 1,
            "bad_checksum": 1,
            "wrong_domain": 1,
            "wrong_source": 1,
            "sequence": 1,
            "incomplete": 1,
        }
        status = next(s for s in relay.status().publishers if s.source == 9)
        assert (status.holes, status.repeats, status.connected) == (1, 1, False)
        assert relay.status().bytes_skipped == len(flipped) + 8 + 64


def test_clients_that_do_not_introduce_themselves_are_refused_by_name(runtime_dir: Path) -> None:
    limits = RelayLimits(heartbeat_ms=50, registration_seconds=0, connections=3)
    with running_relay(MD, runtime_dir, limits=limits) as relay:
        silent = RawClient(runtime_dir)
        assert silent.until(Error).code is ErrorCode.REGISTRATION_TIMEOUT
        assert silent.is_closed()
        silent.socket.close()
    limits = RelayLimits(heartbeat_ms=50, connections=3)
    with running_relay(MD, runtime_dir, limits=limits) as relay:
        for opening, code in [
            (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.NOT_A_HELLO),
            (built(1), ErrorCode.NOT_A_HELLO),
            (b"TORQ" + bytes(4) + b"\xff" * 24, ErrorCode.BAD_LENGTH),
            (control_message(MD, 1, Heartbeat(0, 0))[:-1] + b"x", ErrorCode.NOT_A_HELLO),
        ]:
            client = RawClient(runtime_dir)
            client.socket.sendall(opening)
            assert client.until(Error).code is code
            assert client.is_closed()
            client.socket.close()
        wrong = RawClient(runtime_dir)
        wrong.hello(domain=Domain.SIGNAL)
        assert wrong.until(Error).code is ErrorCode.WRONG_DOMAIN
        wrong.socket.close()
        many = [RawClient(runtime_dir) for _ in range(4)]
        assert many[-1].until(Error).code is ErrorCode.TOO_MANY_CONNECTIONS
        for client in many:
            client.socket.close()
        assert relay.faults[ErrorCode.NOT_A_HELLO] == 3


def test_a_source_has_one_publisher_at_a_time(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir, name="first"),
    ):
        with pytest.raises(RefusedError, match="in use by 'first'"):
            Publisher.connect(MD, source=7, runtime_dir=runtime_dir, timeout=0)
        with pytest.raises(TransportError, match="1 to 65535"):
            Publisher.connect(MD, source=0, runtime_dir=runtime_dir)


def test_a_tlv_that_cannot_be_sent_uses_up_no_sequence(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        with pytest.raises(TlvTypeError):
            publisher.send(SignalIdentity(1, "", ""))
        with pytest.raises(FieldError):
            publisher.send(trade(), trade(exchange_timestamp_ns=-1))
        assert publisher.send(trade()) == 1


def test_without_a_relay_the_error_names_the_socket(runtime_dir: Path) -> None:
    for connect in (
        lambda: Publisher.connect(MD, source=1, runtime_dir=runtime_dir, timeout=0),
        lambda: Subscriber.connect(MD, runtime_dir=runtime_dir, timeout=0),
    ):
        with pytest.raises(TransportError, match=r"market-data\.sock"):
            connect()


def test_a_second_relay_on_the_same_socket_is_refused_and_a_dead_ones_socket_replaced(
    runtime_dir: Path,
) -> None:
    path = socket_path(MD, runtime_dir)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with running_relay(MD, runtime_dir):
        with (
            pytest.raises(TransportError, match="already listens"),
            running_relay(MD, runtime_dir),
        ):
            pass
        Publisher.connect(MD, source=1, runtime_dir=runtime_dir).close()


async def test_the_async_twins(runtime_dir: Path) -> None:
    with running_relay(MD, runtime_dir):
        async with (
            await AsyncPublisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
            await AsyncSubscriber.connect(MD, types=[Trade], runtime_dir=runtime_dir) as reader,
        ):
            publisher.send_many(some_trades(1, 500))
            await publisher.flush()
            seen: list[str] = []
            async for message in reader:
                seen.append(message[Trade].trade_id)
                if len(seen) == 500:
                    break
            assert seen == [str(number) for number in range(1, 501)]


async def test_the_async_publisher_keeps_what_the_relay_missed(runtime_dir: Path) -> None:
    with running_relay(Domain.SIGNAL, runtime_dir):
        publisher = await AsyncPublisher.connect(Domain.SIGNAL, source=7, runtime_dir=runtime_dir)
        reader = await AsyncSubscriber.connect(Domain.SIGNAL, runtime_dir=runtime_dir)
        publisher.send(SignalIdentity(1, "", ""))
        await publisher.flush()
    for number in range(2, 50):
        publisher.send(SignalIdentity(number, "", ""))
    await asyncio.sleep(0.1)
    with running_relay(Domain.SIGNAL, runtime_dir):
        await publisher.flush()
        seen: list[int] = []
        async for message in reader:
            seen.append(message[SignalIdentity].strategy_id)
            if len(seen) == 49:
                break
        assert seen == list(range(1, 50))
        await publisher.close()
        await reader.close()


async def test_a_monitor_gets_the_relays_own_account(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir, name="coinbase") as publisher,
    ):
        publisher.send(trade())
        publisher.flush()
        async with await AsyncSubscriber.connect(
            MD, runtime_dir=runtime_dir, role=Role.MONITOR
        ) as monitor:
            async for message in monitor:
                health = message[SystemHealth]
                break
    assert health.service == "relay-market-data"
    assert '"name":"coinbase"' in health.counters


async def test_sinks(runtime_dir: Path) -> None:
    now = [0]
    collecting = CollectingSink()
    collecting.send(trade())
    await collecting.flush()
    assert collecting.tlvs == [trade()]
    with (
        running_relay(MD, runtime_dir) as relay,
        Subscriber.connect(MD, runtime_dir=runtime_dir) as reader,
    ):
        async with await AsyncPublisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher:
            direct = DirectSink(publisher)
            direct.send(trade(trade_id="0"))
            await direct.flush()
            assert relay.messages == 1
            batching = BatchingSink(publisher, lambda: now[0], max_messages=3, max_delay_ns=100)
            batching.send(trade(trade_id="1"))
            batching.send(trade(trade_id="2"))
            assert publisher.sequence == 1
            batching.send(trade(trade_id="3"))
            assert publisher.sequence == 4
            batching.send(trade(trade_id="4"))
            now[0] = 100
            batching.poll()
            assert publisher.sequence == 5
            batching.send(trade(trade_id="5"))
            await batching.flush()
        assert ids(take(reader, 6)) == ["0", "1", "2", "3", "4", "5"]


def test_a_batch_becomes_a_structured_array(runtime_dir: Path) -> None:
    with (
        running_relay(MD, runtime_dir),
        Publisher.connect(MD, source=7, runtime_dir=runtime_dir) as publisher,
    ):
        publisher.send_many(some_trades(1, 3))
        publisher.flush()
        with Subscriber.connect(MD, start="earliest", runtime_dir=runtime_dir) as reader:
            table = next(reader.batches()).to_numpy(Trade)
    assert table["sequence"].tolist() == [1, 2, 3]
    assert table["source"].tolist() == [7, 7, 7]
    assert table["price_mantissa"].tolist() == [6508367] * 3
    assert table["price_exponent"].tolist() == [-2] * 3
    assert table["side"].tolist() == [2] * 3
