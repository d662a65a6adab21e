"""What relays and readers ask of both kernels."""

from __future__ import annotations

import mmap
import struct
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels import kernel_parameters, kernels
from samples import BTC_USD, BTCUSD, trade

from torq_codec import layout_of, pack_instrument, parse_message
from torq_codec.kernel import _pure
from torq_types import (
    TLV,
    Decimal64,
    Domain,
    ErrorCode,
    FieldError,
    Heartbeat,
    InstrumentId,
    Quote,
    SignalIdentity,
    TlvTypeError,
    Trade,
    Venue,
)

MD = Domain.MARKET_DATA
MAX = 1 << 20


@pytest.fixture(params=kernel_parameters())
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def built(*origins: tuple[int, int], tlv: TLV | None = None) -> list[bytes]:
    """A message for each (source, sequence); its timestamp is 1000 times its sequence."""
    messages = []
    for source, sequence in origins:
        builder = _pure.MessageBuilder(MD, source).add(tlv or trade(trade_id="x" * (sequence % 7)))
        messages.append(builder.build(sequence=sequence, timestamp_ns=sequence * 1000))
    return messages


def test_builder_builds_one_and_each(kernel: ModuleType) -> None:
    builder = kernel.MessageBuilder(MD, 7)
    one = builder.build_one((trade(), Heartbeat(1, 2)), sequence=4, timestamp_ns=9)
    assert parse_message(one).tlvs == (trade(), Heartbeat(1, 2))
    several, count = builder.build_each(
        [trade(trade_id=str(n)) for n in range(100)], sequence=5, timestamp_ns=3
    )
    messages = list(kernel.iter_messages(several))
    assert count == len(messages) == 100
    assert [m.header.sequence for m in messages] == list(range(5, 105))
    assert [m[Trade].trade_id for m in kernel.walk_messages(several)] == [
        str(n) for n in range(100)
    ]
    assert builder.build_each([], sequence=1, timestamp_ns=0) == (b"", 0)


def test_a_builder_that_failed_starts_empty(kernel: ModuleType) -> None:
    builder = kernel.MessageBuilder(MD, 7)
    good = builder.build_one((trade(),), sequence=1, timestamp_ns=0)
    with pytest.raises(TlvTypeError, match="SignalIdentity"):
        builder.build_one((trade(), SignalIdentity(1, "", "")), sequence=1, timestamp_ns=0)
    assert builder.build_one((trade(),), sequence=1, timestamp_ns=0) == good
    with pytest.raises(FieldError):
        builder.build_each([trade(), trade(exchange_timestamp_ns=-1)], sequence=1, timestamp_ns=0)
    assert builder.build_one((trade(),), sequence=1, timestamp_ns=0) == good
    with pytest.raises(FieldError, match="domain"):
        kernel.MessageBuilder(0, 7)


def test_a_message_does_not_outrun_its_buffer(kernel: ModuleType) -> None:
    (message,) = built((7, 1))
    assert kernel.Message(message, 0, len(message))[Trade] == trade(trade_id="x")
    for start, end in [(-1, 40), (0, len(message) + 8), (0, 16), (len(message), 0)]:
        with pytest.raises(ValueError, match="no message"):
            kernel.Message(message, start, end)
    with pytest.raises(ValueError, match="no verified"):
        list(kernel.walk_messages(message[:-1]))


def test_the_tracker_stops_before_what_is_out_of_order(kernel: ModuleType) -> None:
    tracker = kernel.SequenceTracker()

    def scan(*messages: bytes, source: int = 0) -> tuple[int, int]:
        blob = b"".join(messages)
        stop, count, code = tracker.scan(blob, 0, len(blob), MD, MAX, source)
        assert stop == sum(map(len, messages[:count]))
        return count, code

    assert scan(*built((7, 5), (8, 1), (7, 6), (8, 2))) == (4, 0)
    assert (tracker.last(7), tracker.last_timestamp_ns(7), tracker.last(9)) == (6, 6000, 0)
    assert tracker.sources() == [7, 8]
    assert scan(*built((7, 7), (7, 9))) == (1, ErrorCode.SEQUENCE)
    assert scan(*built((7, 7))) == (0, ErrorCode.SEQUENCE)
    assert scan(*built((0, 1))) == (0, ErrorCode.WRONG_SOURCE)
    assert scan(*built((7, 8), (8, 3)), source=7) == (1, ErrorCode.WRONG_SOURCE)
    assert scan(*built((9, 2)), source=9) == (0, ErrorCode.SEQUENCE)
    assert scan(*built((9, 1)), source=9) == (1, 0)
    tracker.set(9, 40, 1)
    assert scan(*built((9, 41))) == (1, 0)
    assert scan(built((9, 42))[0][:-8]) == (0, ErrorCode.INCOMPLETE)
    tracker.clear()
    assert tracker.sources() == []


OFFSETS = {
    cls.TYPE: tuple(
        part.offset for part in layout_of(cls).segments[0].block.parts if part.wire == "instrument"
    )
    for cls in (Trade, Quote, Heartbeat)
}


@given(
    picks=st.lists(st.integers(0, 5), max_size=30),
    types=st.sets(st.sampled_from([Trade.TYPE, Quote.TYPE, Heartbeat.TYPE])),
    wanted=st.sets(st.integers(0, 3)),
)
def test_filters_agree_with_the_plain_rule(
    picks: list[int], types: set[int], wanted: set[int]
) -> None:
    instruments = [InstrumentId.pair(Venue.COINBASE, f"X{n}-USD") for n in range(4)]
    zero = Decimal64(0, 0)
    choices: list[TLV] = [trade(instrument=instrument) for instrument in instruments]
    choices += [Quote(instruments[0], zero, zero, zero, zero, 0), Heartbeat(1, 1)]
    blob, expected = b"", b""
    for sequence, pick in enumerate(picks, 1):
        tlv = choices[pick]
        (message,) = built((7, sequence), tlv=tlv)
        blob += message
        named = getattr(tlv, "instrument", None)
        right_name = not wanted or named is None or instruments.index(named) in wanted
        if (not types or tlv.TYPE in types) and right_name:
            expected += message
    packed = {pack_instrument(instruments[n]) for n in wanted}
    found = []
    for kernel in kernels():
        chosen = kernel.Filter(types, packed, OFFSETS)
        runs = chosen.runs(blob, 0, len(blob))
        assert b"".join(blob[start:end] for start, end in runs) == expected
        assert chosen.passes_all == (not types and not wanted)
        found.append(runs)
    assert all(runs == found[0] for runs in found)


def test_a_filter_of_a_thousand_instruments_finds_each(kernel: ModuleType) -> None:
    instruments = [InstrumentId.pair(Venue.COINBASE, f"X{n}") for n in range(1000)]
    packed = {pack_instrument(instrument) for instrument in instruments}
    chosen = kernel.Filter((), packed, OFFSETS)
    for number in (0, 1, 500, 999):
        (message,) = built((7, 1), tlv=trade(instrument=instruments[number]))
        assert chosen.runs(message, 0, len(message)) == [(0, len(message))]
    (other,) = built((7, 1), tlv=trade(instrument=BTCUSD))
    assert chosen.runs(other, 0, len(other)) == []


def test_gather_and_count(kernel: ModuleType) -> None:
    blob = b"".join(built((7, 1), (7, 2))) + built((9, 3), tlv=Heartbeat(5, 6))[0]
    assert kernel.count(blob) == 3
    assert kernel.count(b"") == 0
    size = layout_of(Trade).segments[0].block.size
    table = kernel.gather(blob, Trade.TYPE, size)
    assert len(table) == 2 * (18 + size)
    assert struct.unpack_from("<HQQ", table, 18 + size) == (7, 2, 2000)
    assert table[18 : 18 + 40] == pack_instrument(BTC_USD)
    assert kernel.gather(blob, Heartbeat.TYPE, 16)[18:30] == struct.pack("<QI", 5, 6)
    assert kernel.gather(blob, Heartbeat.TYPE, 24) == b""


def test_advance_finds_the_next_boundary_round_the_end(kernel: ModuleType) -> None:
    messages = built(*((7, n) for n in range(1, 41)))
    ring, capacity = bytearray(4096), 4096
    everything = b"".join(messages)
    head = 0
    edges = [0]
    for message in messages:
        edges.append(edges[-1] + len(message))
    start = next(edge for edge in edges if edge >= len(everything) - capacity)
    for position in range(start, len(everything)):
        ring[position % capacity] = everything[position]
    for target in (start, start + 1, start + 300, len(everything)):
        found = kernel.advance(ring, start, target)
        assert found == next(edge for edge in edges if edge >= target)
    assert kernel.advance(ring, start, head) == start


def test_words_are_shared(kernel: ModuleType) -> None:
    page = mmap.mmap(-1, 4096)
    kernel.store_u64(page, 64, 2**64 - 1)
    assert kernel.load_u64(page, 64) == 2**64 - 1
    kernel.fence()
    assert kernel.spin_while(page, 64, 5, 1000) == 2**64 - 1
    assert kernel.spin_while(page, 128, 0, 1000) == 0
    for offset in (-8, 4, 4096):
        with pytest.raises(ValueError, match="aligned"):
            kernel.load_u64(page, offset)
    page.close()
