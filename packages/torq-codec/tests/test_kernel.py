"""One set of tests, both kernels."""

from __future__ import annotations

import contextlib
import zlib
from types import ModuleType
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import kernel_parameters, kernels
from samples import trade
from wire_strategies import structs

from torq_codec import layout_of
from torq_types import (
    REGISTRY,
    TLV,
    Decimal64,
    Domain,
    Entry,
    ErrorCode,
    FieldError,
    InstrumentId,
    L2Delta,
    Level,
    ProtocolError,
    Since,
    Trade,
    TruncatedError,
    Venue,
    tlv_type,
)
from torq_types.tlv import U16, U32, U64, Dec64, Text

MAX = 1 << 20


@pytest.fixture(params=kernel_parameters())
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def round_trip(kernel: ModuleType, tlv: TLV) -> TLV:
    plan = kernel.Plan(layout_of(type(tlv)))
    raw = plan.encode(tlv)
    length = int.from_bytes(raw[4:8], "little")
    assert len(raw) % 8 == 0
    decoded: TLV = plan.decode(b"front" + raw, 13, length, raw[2])
    return decoded


@pytest.mark.parametrize("cls", REGISTRY.values(), ids=lambda cls: cls.__name__)
def test_every_type_survives_the_wire_and_both_kernels_write_the_same(cls: type[TLV]) -> None:
    both = kernels()

    @settings(max_examples=25)
    @given(structs(cls))
    def check(tlv: TLV) -> None:
        written = {kernel.Plan(layout_of(cls)).encode(tlv) for kernel in both}
        assert len(written) == 1
        for kernel in both:
            assert round_trip(kernel, tlv) == tlv

    check()


def test_trade_has_the_documented_layout(kernel: ModuleType) -> None:
    raw = kernel.Plan(layout_of(Trade)).encode(trade())
    value = raw[8:]
    assert raw[:4] == b"\x01\x00\x01\x00"
    assert value[:4] == b"\x01\x07\x01\x00"
    assert value[8:15] == b"BTC-USD"
    assert int.from_bytes(value[40:48], "little") == 6508367
    assert int.from_bytes(value[48:56], "little") == 218600
    assert int.from_bytes(value[56:64], "little") == 1_786_309_548_228_568_804
    assert value[64:67] == b"\xfe\xf8\x02"
    assert int.from_bytes(value[72:76], "little") == 10
    assert value[76:86] == b"1068572090"


@given(seed=st.binary(min_size=1, max_size=64), size=st.integers(0, 2000), start=st.integers(0, 40))
@settings(max_examples=300)
def test_checksum_is_zlibs_at_every_length_and_alignment(
    seed: bytes, size: int, start: int
) -> None:
    blob = (seed * (size // len(seed) + 1))[:size]
    for kernel in kernels():
        assert kernel.crc32(blob, start, size) == zlib.crc32(blob[start:])


def test_checksum_of_every_short_length(kernel: ModuleType) -> None:
    blob = bytes(range(256)) * 3
    for size in range(600):
        assert kernel.crc32(blob, 1, 1 + size) == zlib.crc32(blob[1 : 1 + size]), size


@pytest.mark.parametrize(
    "change",
    [
        {"exchange_timestamp_ns": -1},
        {"exchange_timestamp_ns": 2**64},
        {"price": Decimal64(2**63, 0)},
        {"price": Decimal64(1, 200)},
        {"price": "1.0"},
        {"trade_id": 7},
        {"trade_id": "\ud800"},
        {"side": "BUY"},
        {"instrument": None},
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    kernel: ModuleType, change: dict[str, Any]
) -> None:
    with pytest.raises(FieldError, match="Trade"):
        kernel.Plan(layout_of(Trade)).encode(trade(**change))


def test_an_unknown_enum_value_is_a_field_error(kernel: ModuleType) -> None:
    plan = kernel.Plan(layout_of(Trade))
    raw = bytearray(plan.encode(trade()))
    raw[8 + 66] = 9
    with pytest.raises(FieldError, match="Side"):
        plan.decode(raw, 8, len(raw) - 8, 1)


@given(junk=st.binary(max_size=200), data=st.data())
@settings(max_examples=200)
def test_arbitrary_values_never_raise_anything_but_a_protocol_error(
    junk: bytes, data: st.DataObject
) -> None:
    cls = data.draw(st.sampled_from(list(REGISTRY.values())))
    for kernel in kernels():
        with contextlib.suppress(ProtocolError):
            kernel.Plan(layout_of(cls)).decode(junk, 0, len(junk), 1)


def test_an_array_cannot_claim_more_than_there_is(kernel: ModuleType) -> None:
    plan = kernel.Plan(layout_of(L2Delta))
    level = Level(Decimal64(1, 0), Decimal64(1, 0))
    delta = L2Delta(InstrumentId.pair(Venue.GEMINI, "BTCUSD"), 1, 0, 0, (level,), ())
    raw = bytearray(plan.encode(delta))
    raw[8 + 64 : 8 + 68] = b"\xff\xff\xff\xff"
    with pytest.raises(TruncatedError, match="bids"):
        plan.decode(raw, 8, len(raw) - 8, 1)


class _RowV1(Entry, frozen=True, gc=False):
    a: U16


class _RowV2(Entry, frozen=True, gc=False):
    a: U16
    b: Annotated[U32, Since(2)] = 7


@tlv_type(200, register=False)
class _V1(TLV, frozen=True, gc=False):
    price: Dec64
    rows: tuple[_RowV1, ...]
    name: Text


@tlv_type(200, schema_version=2, register=False)
class _V2(TLV, frozen=True, gc=False):
    price: Dec64
    rows: tuple[_RowV2, ...]
    name: Text
    added: Annotated[U64, Since(2)] = 11
    label: Annotated[Text, Since(2)] = "none"


def test_an_old_reader_reads_a_newer_version_and_a_new_reader_an_older(kernel: ModuleType) -> None:
    old_plan, new_plan = kernel.Plan(layout_of(_V1)), kernel.Plan(layout_of(_V2))
    price = Decimal64.parse("1.50")
    new = new_plan.encode(_V2(price, (_RowV2(1, 2), _RowV2(3, 4)), "x", 5, "y"))
    old = old_plan.encode(_V1(price, (_RowV1(1), _RowV1(3)), "x"))
    read_by_old = old_plan.decode(new, 8, int.from_bytes(new[4:8], "little"), new[2])
    assert read_by_old == _V1(price, (_RowV1(1), _RowV1(3)), "x")
    read_by_new = new_plan.decode(old, 8, int.from_bytes(old[4:8], "little"), old[2])
    assert read_by_new == _V2(price, (_RowV2(1, 7), _RowV2(3, 7)), "x", 11, "none")


def test_scan_passes_sound_messages_and_names_the_first_fault(kernel: ModuleType) -> None:
    payload = kernel.Plan(layout_of(Trade)).encode(trade())
    good = kernel.build(Domain.MARKET_DATA, 7, 1, 1, payload)
    size = len(good)

    def code(blob: bytes, domain: int = 0) -> tuple[int, int, int]:
        result: tuple[int, int, int] = kernel.scan(blob, 0, len(blob), domain, MAX)
        return result

    assert code(good * 3) == (3 * size, 3, 0)
    assert code(good + good[:40]) == (size, 1, ErrorCode.INCOMPLETE)
    assert code(good + b"TO") == (size, 1, ErrorCode.INCOMPLETE)
    assert code(good + b"TX") == (size, 1, ErrorCode.BAD_MAGIC)
    assert code(good, domain=2)[2] == ErrorCode.WRONG_DOMAIN
    assert kernel.scan(good, 0, size, 0, 8)[2] == ErrorCode.BAD_LENGTH
    wrong_version = bytearray(good)
    wrong_version[12] = 1
    assert code(bytes(wrong_version))[2] == ErrorCode.BAD_VERSION
    flipped = bytearray(good)
    flipped[-1] ^= 1
    assert code(good + bytes(flipped)) == (size, 1, ErrorCode.BAD_CHECKSUM)
    signal_type = kernel.build(Domain.SIGNAL, 7, 1, 1, payload)
    assert code(signal_type)[2] == ErrorCode.BAD_TLV
    overlong = kernel.build(Domain.MARKET_DATA, 7, 1, 1, b"\x01\x00\x01\x00\xff\x00\x00\x00")
    assert code(overlong)[2] == ErrorCode.BAD_TLV
    assert code(kernel.build(Domain.MARKET_DATA, 7, 1, 1, b"")) == (32, 1, 0)


def test_find_magic(kernel: ModuleType) -> None:
    assert kernel.find_magic(b"xxTTORQ", 0, 7) == 3
    assert kernel.find_magic(b"xxTTORQ", 4, 7) == -1
    assert kernel.find_magic(b"xxTORQ", 0, 5) == -1
    assert kernel.find_magic(b"", 0, 0) == -1


@pytest.mark.parametrize(("source", "sequence"), [(65536, 1), (-1, 1), (1, -1), (1, 2**64)])
def test_a_header_out_of_range_is_refused(kernel: ModuleType, source: int, sequence: int) -> None:
    with pytest.raises(FieldError, match="header"):
        kernel.build(1, source, sequence, 0, b"")
