"""What bytes that are no messages cost a framer, and what it says of them."""

from __future__ import annotations

import zlib

import pytest

from torq_codec import Framer, MessageBuilder, Run
from torq_codec.checksum import message_checksum
from torq_codec.faults import error_for, message_size, several_messages
from torq_codec.framing import Break, Fault
from torq_codec.kernel import SequenceTracker
from torq_types import (
    ChecksumError,
    Domain,
    DomainError,
    ErrorCode,
    Heartbeat,
    MagicError,
    ProtocolError,
    TlvTypeError,
    TruncatedError,
    VersionError,
)


def message(sequence: int = 1, source: int = 7) -> bytes:
    builder = MessageBuilder(Domain.SIGNAL, source)
    return bytes(builder.add(Heartbeat(sequence, 0)).build(sequence=sequence, timestamp_ns=9))


def damaged(at: int, sequence: int = 1) -> bytes:
    """A message with one bit of byte ``at`` turned."""
    raw = bytearray(message(sequence))
    raw[at] ^= 1
    return bytes(raw)


def claiming(size: int) -> bytes:
    """The 32 bytes of a header that claims a payload of ``size``, with a checksum that is none."""
    header = bytearray(message()[:32])
    header[8:12] = size.to_bytes(4, "little")
    return bytes(header)


def test_the_checksum_is_zlib_s_over_all_but_eight_bytes() -> None:
    raw = message()
    assert message_checksum(raw) == zlib.crc32(raw[8:]) == int.from_bytes(raw[4:8], "little")


def test_a_checksum_that_does_not_fit_is_counted_as_wasted_work() -> None:
    framer = Framer()
    (fault, run) = list(framer.feed(damaged(40) + message(2)))
    assert fault == Fault(ErrorCode.BAD_CHECKSUM, len(message()), 1)
    assert isinstance(run, Run)
    assert framer.work_wasted == len(message())
    assert framer.bytes_skipped == len(message())
    assert framer.faults == {ErrorCode.BAD_CHECKSUM: 1}


def test_sound_messages_waste_nothing() -> None:
    framer = Framer()
    for frame in framer.feed(message(1) + message(2)):
        assert isinstance(frame, Run)
        assert frame.count == 2
    assert (framer.work_wasted, framer.bytes_skipped, framer.pending) == (0, 0, 0)


def test_headers_hidden_in_a_claim_cost_four_times_its_bytes_at_most() -> None:
    """Each claims all the rest, whose checksum would be computed over and over."""
    size = 1 << 16
    headers = size // 32
    hostile = bytearray(claiming(2 * size))
    for number in range(1, headers):
        hostile += claiming(size - 32 * number - 32)
    framer = Framer()
    assert not list(framer.feed(bytes(hostile)))
    assert framer.pending == len(hostile)
    largest = size
    assert 4 * len(hostile) <= framer.work_wasted <= 4 * len(hostile) + largest


def test_a_sound_message_inside_a_claim_is_found_and_told() -> None:
    framer = Framer()
    frames = list(framer.feed(claiming(1 << 20) + message(5)))
    assert isinstance(frames[0], Fault)
    assert (frames[0].code, frames[0].skipped) == (ErrorCode.BAD_LENGTH, 32)
    assert isinstance(frames[1], Run)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_the_beginning_of_a_magic_is_kept_for_what_comes(kept: int) -> None:
    framer = Framer()
    raw = message()
    (fault,) = list(framer.feed(b"garbage!" + raw[:kept]))
    assert fault == Fault(ErrorCode.BAD_MAGIC, 8, 0)
    assert framer.pending == kept
    (run,) = list(framer.feed(raw[kept:]))
    assert isinstance(run, Run)


def test_damage_is_skipped_by_its_own_length_when_a_message_follows() -> None:
    for tail in (b"", b"T", b"TORQ", message(2)):
        framer = Framer()
        first = next(iter(framer.feed(damaged(40) + tail)))
        assert first == Fault(ErrorCode.BAD_CHECKSUM, len(message()), 1)
    framer = Framer()
    first = next(iter(framer.feed(damaged(40) + b"other")))
    assert isinstance(first, Fault)
    assert first.skipped == len(message()) + 5  # no message follows: on to the next magic


def test_what_is_out_of_order_is_a_break_that_one_decides_on() -> None:
    tracker = SequenceTracker()
    framer = Framer(Domain.SIGNAL, tracker=tracker, source=7)
    (run,) = list(framer.feed(message(1)))
    frames = framer.feed(message(5) + message(6))
    broken = next(iter(frames))
    assert broken == Break(ErrorCode.SEQUENCE, message(5), 7, 5, 9)
    framer.accept(broken)
    (run,) = list(frames)
    assert isinstance(run, Run)
    assert run.count == 2
    framer = Framer(Domain.SIGNAL, tracker=tracker, source=7)
    frames = framer.feed(message(6) + message(7))
    broken = next(iter(frames))
    assert isinstance(broken, Break)
    framer.leave_out(broken)
    (run,) = list(frames)
    assert isinstance(run, Run)
    assert run.count == 1
    framer = Framer(Domain.SIGNAL, tracker=SequenceTracker(), source=8)
    broken = next(iter(framer.feed(message(1))))
    assert isinstance(broken, Break)
    assert (broken.code, broken.source) == (ErrorCode.WRONG_SOURCE, 7)


def test_room_grows_with_a_long_message_and_is_given_back() -> None:
    framer = Framer(max_payload=1 << 24)
    assert len(framer.space()) == 1 << 18
    framer.space()[:32] = claiming(1 << 23)
    framer.wrote(32)
    assert framer.next() is None
    for _ in range(40):
        room = len(framer.space())
        assert room >= 1 << 16
        framer.wrote(min(room, 1 << 16))
    assert framer.pending == 32 + 40 * (1 << 16)
    framer._at = framer._end
    assert len(framer.space()) == 1 << 18


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (ErrorCode.BAD_MAGIC, MagicError, "b'TORQ'"),
        (ErrorCode.INCOMPLETE, TruncatedError, f"after {len(message())} bytes"),
        (ErrorCode.BAD_VERSION, VersionError, "version 2"),
        (ErrorCode.BAD_LENGTH, ProtocolError, "payload of 24 bytes"),
        (ErrorCode.BAD_CHECKSUM, ChecksumError, f"{zlib.crc32(message()[8:]):#010x}"),
        (ErrorCode.WRONG_DOMAIN, DomainError, "domain 2"),
        (ErrorCode.BAD_TLV, TlvTypeError, "in domain 2"),
    ],
)
def test_each_fault_is_an_exception_of_its_own(
    code: ErrorCode, kind: type[ProtocolError], words: str
) -> None:
    error = error_for(code, b"before.." + message(), 8)
    assert type(error) is kind
    assert words in str(error)


def test_sizes_are_told() -> None:
    assert message_size(b"12345678" + message(), 8) == len(message())
    assert "64 bytes; the first takes 32" in str(several_messages(64, 32))
