"""Builder, parser and framer on whole messages."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import trade

from torq_codec import Break, Fault, Framer, MessageBuilder, Run, iter_messages, parse_message
from torq_types import (
    ChecksumError,
    Domain,
    ErrorCode,
    FieldError,
    Heartbeat,
    MagicError,
    ProtocolError,
    Quote,
    TlvTypeError,
    Trade,
    TruncatedError,
)


def message(sequence: int = 1) -> bytes:
    builder = MessageBuilder(Domain.MARKET_DATA, source=7).add(trade(trade_id=str(sequence)))
    return builder.build(sequence=sequence, timestamp_ns=5)


def test_what_was_built_is_parsed() -> None:
    parsed = parse_message(message(3))
    assert (parsed.header.source, parsed.header.sequence, parsed.header.timestamp_ns) == (7, 3, 5)
    assert parsed.header.domain is Domain.MARKET_DATA
    assert parsed[Trade] == trade(trade_id="3")
    assert Trade in parsed
    assert Quote not in parsed
    assert parsed.get(Quote) is None
    assert parsed.tobytes() == message(3)
    with pytest.raises(KeyError, match="it has Trade"):
        parsed[Quote]


def test_a_builder_refuses_a_type_of_another_domain_and_is_empty_after_build() -> None:
    builder = MessageBuilder(Domain.SIGNAL, source=1)
    with pytest.raises(TlvTypeError, match="Trade"):
        builder.add(trade())
    assert len(builder.add(Heartbeat(1, 2)).build(sequence=1, timestamp_ns=0)) == 56
    assert len(builder.build(sequence=2, timestamp_ns=0)) == 32


def test_an_unknown_type_is_skipped_and_still_named() -> None:
    parsed = parse_message(message(), registry={})
    assert parsed.tlvs == ()
    assert parsed.types == (1,)


def test_every_single_bit_flip_is_rejected() -> None:
    sound = message()
    for bit in range(8 * len(sound)):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            parse_message(flipped)


def test_the_error_says_what_is_wrong() -> None:
    sound = message()
    with pytest.raises(MagicError, match="XORQ"):
        parse_message(b"X" + sound[1:])
    with pytest.raises(TruncatedError):
        parse_message(sound[:-8])
    with pytest.raises(TruncatedError):
        parse_message(b"")
    with pytest.raises(ChecksumError):
        parse_message(sound[:-1] + b"\xff")
    with pytest.raises(ProtocolError, match="expected one message"):
        parse_message(sound * 2)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300)
def test_arbitrary_bytes_raise_only_protocol_errors(junk: bytes, with_magic: bool) -> None:
    blob = b"TORQ" + junk if with_magic else junk
    with pytest.raises(ProtocolError):
        parse_message(blob)
    list(Framer().feed(blob))


def test_iter_messages_reads_all_and_stops_at_damage() -> None:
    blob = message(1) + message(2)
    assert [m.header.sequence for m in iter_messages(blob)] == [1, 2]
    messages = iter_messages(blob + b"garbage")
    assert next(messages).header.sequence == 1
    assert next(messages).header.sequence == 2
    with pytest.raises(MagicError):
        next(messages)


def _sequences(frames: Iterable[Run | Fault | Break]) -> list[int]:
    return [
        m.header.sequence
        for frame in frames
        if isinstance(frame, Run)
        for m in iter_messages(frame.messages)
    ]


@given(st.lists(st.integers(0, 400), max_size=12))
def test_chunk_boundaries_do_not_matter(cuts: list[int]) -> None:
    blob = message(1) + message(2) + message(3)
    framer = Framer(Domain.MARKET_DATA)
    found: list[int] = []
    edges = sorted({0, len(blob), *(cut for cut in cuts if cut < len(blob))})
    for start, end in itertools.pairwise(edges):
        found += _sequences(framer.feed(blob[start:end]))
    assert found == [1, 2, 3]
    assert not framer.faults
    assert framer.pending == 0


@given(
    st.binary(min_size=1, max_size=100).filter(lambda junk: b"T" not in junk), st.integers(1, 50)
)
def test_garbage_is_skipped_and_counted_to_the_byte(junk: bytes, step: int) -> None:
    blob = message(1) + junk + message(2)
    framer = Framer()
    found: list[int] = []
    for at in range(0, len(blob), step):
        found += _sequences(framer.feed(blob[at : at + step]))
    assert found == [1, 2]
    assert framer.bytes_skipped == len(junk)
    assert set(framer.faults) == {ErrorCode.BAD_MAGIC}


def test_a_damaged_message_costs_itself_and_no_other() -> None:
    damaged = bytearray(message(2))
    damaged[60] ^= 1
    framer = Framer()
    frames = list(framer.feed(message(1) + bytes(damaged) + message(3)))
    assert _sequences(frames) == [1, 3]
    assert framer.bytes_skipped == len(damaged)
    fault = next(frame for frame in frames if isinstance(frame, Fault))
    assert (fault.code, fault.sequence) == (ErrorCode.BAD_CHECKSUM, 2)


def test_a_damaged_length_costs_itself_and_no_other() -> None:
    for wrong in (8, 104 + 8, 4096, 2**31):
        damaged = bytearray(message(2))
        damaged[8:12] = wrong.to_bytes(4, "little")
        framer = Framer()
        found = _sequences(framer.feed(message(1) + bytes(damaged) + message(3)))
        found += _sequences(framer.feed(message(4) * 60))
        assert found[:3] == [1, 3, 4], wrong


def test_random_damage_never_loses_step() -> None:
    chance = random.Random(7)
    blob = bytearray(b"".join(message(n) for n in range(1, 201)))
    for _ in range(20):
        blob[chance.randrange(len(blob))] ^= 1 << chance.randrange(8)
    framer = Framer()
    found = _sequences(framer.feed(bytes(blob) + message(201)))
    assert len(found) >= 180
    assert found == sorted(found)
    assert found[-1] == 201


def test_a_field_error_in_a_sound_message_is_a_protocol_error() -> None:
    sound = parse_message(message())
    raw = bytearray(sound.tobytes())
    raw[40 + 66] = 9
    raw[4:8] = zlib.crc32(raw[8:]).to_bytes(4, "little")
    with pytest.raises(FieldError):
        parse_message(raw)[Trade]
