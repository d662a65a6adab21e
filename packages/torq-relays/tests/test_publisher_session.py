"""A publisher's session without any I/O: numbers, times, what is kept, what is sent again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from torq_codec import MessageBuilder, iter_messages
from torq_relays.client.publishing_session import MAX_UNACKNOWLEDGED, PublisherSession
from torq_relays.wire.control import RELAY_SOURCE, control_message
from torq_types import (
    TLV,
    Acknowledgement,
    ChecksumError,
    Domain,
    Error,
    ErrorCode,
    FieldError,
    Heartbeat,
    ProtocolError,
    RefusedError,
    Role,
    ServiceHello,
    SignalIdentity,
    TransportError,
)


def session(
    domain: Domain = Domain.SIGNAL, times: list[int] | None = None, source: int = 7
) -> PublisherSession:
    """One whose clock says ``times``, one after the other, and then the last for ever."""
    said = times or [1_000]
    return PublisherSession(
        domain, source, "test", lambda: said.pop(0) if len(said) > 1 else said[0]
    )


def from_relay(*tlvs: TLV, domain: Domain = Domain.SIGNAL) -> bytes:
    return control_message(domain, RELAY_SOURCE, *tlvs)


def greeting(next_sequence: int, last_timestamp_ns: int = 0) -> bytes:
    return from_relay(
        ServiceHello(
            start_position=0, session=1, next_sequence=next_sequence, log_id=1,
            last_timestamp_ns=last_timestamp_ns, source=RELAY_SOURCE, role=Role.RELAY,
            start_mode=0, mapped=0, types=(), instruments=(), name="relay",
        )
    )  # fmt: skip


def keep(publisher: PublisherSession, count: int) -> bytes:
    """A batch of ``count`` messages, written."""
    batch = publisher.encode_each([Heartbeat(n, 0) for n in range(count)])
    publisher.keep(batch, publisher.sequence)
    return batch


def sequences(messages: bytes) -> list[int]:
    return [message.header.sequence for message in iter_messages(messages)]


@pytest.mark.parametrize("source", [0, 65_536, -1])
def test_a_source_has_a_number_of_its_own(source: int) -> None:
    with pytest.raises(TransportError, match=f"found source {source}; expected 1 to 65535"):
        session(source=source)
    assert session(source=1).source == 1
    assert session(source=65_535).source == 65_535


def test_numbers_count_from_one_and_times_never_go_back() -> None:
    publisher = session(times=[1_000, 1_005, 1_003, 1_006])
    headers = [
        message.header
        for _ in range(3)
        for message in iter_messages(publisher.encode(Heartbeat(0, 0)))
    ]
    assert [header.sequence for header in headers] == [1, 2, 3]
    assert [header.timestamp_ns for header in headers] == [1_005, 1_005, 1_006]
    assert {header.source for header in headers} == {7}


def test_a_batch_has_one_time_which_does_not_go_back_either() -> None:
    publisher = session(times=[1_000, 1_005, 900])
    publisher.encode(Heartbeat(0, 0))
    batch = publisher.encode_each([Heartbeat(0, 0), Heartbeat(0, 0)])
    assert [m.header.timestamp_ns for m in iter_messages(batch)] == [1_005, 1_005]
    assert sequences(batch) == [2, 3]


def test_the_relay_s_last_time_is_the_earliest_for_what_follows() -> None:
    publisher = session(times=[1_000])
    publisher.receive(greeting(1, last_timestamp_ns=5_000))
    (message,) = iter_messages(publisher.encode(Heartbeat(0, 0)))
    assert message.header.timestamp_ns == 5_000


def test_what_cannot_be_encoded_uses_up_no_number() -> None:
    publisher = session()
    bad = SignalIdentity(1 << 16, "", "")
    attempts: tuple[Callable[[], bytes], ...] = (
        lambda: publisher.encode(bad),
        lambda: publisher.encode_each([Heartbeat(0, 0), bad]),
        lambda: publisher.encode_messages([(Heartbeat(0, 0),), (bad,)]),
    )
    for encode in attempts:
        with pytest.raises(FieldError):
            encode()
        assert publisher.sequence == 0
    both = publisher.encode_messages([(Heartbeat(1, 0),), (Heartbeat(2, 0), Heartbeat(3, 0))])
    assert sequences(both) == [1, 2]


def test_what_was_built_elsewhere_must_be_the_next() -> None:
    builder = MessageBuilder(Domain.SIGNAL, 7)

    def built(*numbers: int, source: int = 7, domain: Domain = Domain.SIGNAL) -> bytes:
        made = builder if source == 7 else MessageBuilder(domain, source)
        return b"".join(
            bytes(made.add(Heartbeat(n, 0)).build(sequence=n, timestamp_ns=9_000 + n))
            for n in numbers
        )

    publisher = session()
    publisher.take_built(built(1, 2))
    assert publisher.sequence == 2
    publisher.take_built(b"")
    assert publisher.sequence == 2
    for wrong in (built(4), built(2), built(3, 5), built(3, source=8), built(3)[:-8]):
        with pytest.raises(ProtocolError):
            publisher.take_built(wrong)
        assert publisher.sequence == 2
    damaged = bytearray(built(3))
    damaged[40] ^= 1
    with pytest.raises(ChecksumError):
        publisher.take_built(bytes(damaged))
    publisher.take_built(memoryview(built(3)))
    assert publisher.sequence == 3
    (message,) = iter_messages(publisher.encode(Heartbeat(0, 0)))
    assert message.header.timestamp_ns == 9_003  # not before what was built


def test_only_what_is_behind_the_relay_s_last_is_sent_again() -> None:
    publisher = session()
    keep(publisher, 3)
    keep(publisher, 2)
    assert sequences(publisher.unacknowledged()) == [1, 2, 3, 4, 5]
    publisher.receive(from_relay(Acknowledgement(2, 2)))  # in the middle of a batch
    (hello,) = iter_messages(publisher.hello())
    assert hello[ServiceHello].next_sequence == 1  # of the oldest batch that is kept
    publisher.receive(greeting(3))
    assert sequences(publisher.unacknowledged()) == [3, 4, 5]
    publisher.receive(from_relay(Acknowledgement(3, 3)))
    (hello,) = iter_messages(publisher.hello())
    assert hello[ServiceHello].next_sequence == 4
    publisher.receive(greeting(6))
    assert publisher.unacknowledged() == b""
    (hello,) = iter_messages(publisher.hello())
    assert hello[ServiceHello].next_sequence == 6


def test_a_hello_says_who_comes_and_what_follows() -> None:
    publisher = session(times=[1_234])
    publisher.encode(Heartbeat(0, 0))  # collected, and not written: it waits for the greeting
    (message,) = iter_messages(publisher.hello())
    hello = message[ServiceHello]
    assert (hello.role, hello.source, hello.name) == (Role.PUBLISHER, 7, "test")
    assert (hello.session, hello.next_sequence) == (1_234, 1)
    assert message.header.sequence == 0


@pytest.mark.parametrize(
    ("domain", "appended", "durable"),
    [(Domain.MARKET_DATA, 2, 0), (Domain.SIGNAL, 2, 0), (Domain.EXECUTION, 2, 2)],
)
def test_flushed_is_what_the_domain_promises(domain: Domain, appended: int, durable: int) -> None:
    publisher = session(domain)
    keep(publisher, 2)
    assert not publisher.is_flushed(1)
    if domain is Domain.EXECUTION:
        publisher.receive(from_relay(Acknowledgement(2, 1), domain=domain))
        assert publisher.is_flushed(1)
        assert not publisher.is_flushed(2)
    publisher.receive(from_relay(Acknowledgement(appended, durable), domain=domain))
    assert publisher.is_flushed(2)
    assert not publisher.is_flushed(3)
    assert publisher.acknowledged == (appended, durable)


def test_acknowledgements_do_not_go_back() -> None:
    publisher = session()
    keep(publisher, 3)
    publisher.receive(from_relay(Acknowledgement(3, 2)))
    publisher.receive(from_relay(Acknowledgement(1, 1)))
    assert publisher.acknowledged == (3, 2)


def test_what_is_durable_is_not_kept_and_makes_room() -> None:
    publisher = session()
    half = bytes(MAX_UNACKNOWLEDGED // 2)
    publisher.keep(half, 1)
    publisher.keep(half, 2)
    assert not publisher.is_full  # exactly as much as may wait
    publisher.keep(b"12345678", 3)
    assert publisher.is_full
    publisher.receive(from_relay(Acknowledgement(3, 0)))
    assert publisher.is_full  # appended is not durable yet: a relay that dies would lose it
    publisher.receive(from_relay(Acknowledgement(3, 1)))
    assert not publisher.is_full


def test_complaints_are_kept_and_a_refusal_ends_the_greeting() -> None:
    publisher = session()
    complaint = Error(4, ErrorCode.SEQUENCE, "some are missing")
    with pytest.raises(RefusedError, match=r"some are missing \(SEQUENCE\)"):
        publisher.receive(from_relay(complaint))
    publisher.receive(greeting(1))
    assert publisher.greeted
    publisher.receive(from_relay(complaint))
    assert list(publisher.errors) == [complaint, complaint]
    assert publisher.error_count == 2
    publisher.hello()
    assert not publisher.greeted


def test_a_relay_that_knows_more_takes_us_for_an_earlier_session() -> None:
    publisher = session(times=[1_000])
    keep(publisher, 2)
    publisher.receive(greeting(3))  # exactly what was sent
    with pytest.raises(TransportError, match="beginning a later session"):
        publisher.receive(greeting(4, last_timestamp_ns=77_000))
    (message,) = iter_messages(publisher.hello())
    assert message[ServiceHello].session == 77_001
    (message,) = iter_messages(publisher.encode(Heartbeat(0, 0)))
    assert message.header.timestamp_ns == 77_001
