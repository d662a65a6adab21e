"""Building, parsing and scanning, beside what else one would use for the same trade.

Run all: ``uv run torq bench``; this file alone: ``uv run python tests/benchmarks/bench_codec.py
--fast --inherit-environ TORQ_PURE_PYTHON``.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgspec
import pyperf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from subjects import DOMAIN, INSTRUMENTS, TRADES, blocks

from torq_codec import MessageBuilder, kernel, pack_instrument, parse_message
from torq_relays.wire.filters import filter_of
from torq_types import Header, Trade

COUNT = len(TRADES)
MANY = 8000


class Enveloped(msgspec.Struct, frozen=True):
    """msgspec's message: the same trade inside an equivalent header."""

    header: Header
    trade: Trade


def protobuf_class() -> Any:
    """The same fields as a protobuf message, made without a compiler."""
    file = descriptor_pb2.FileDescriptorProto(name="trade.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Trade")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = [
        ("version", kinds.TYPE_UINT32), ("domain", kinds.TYPE_UINT32),
        ("source", kinds.TYPE_UINT32), ("sequence", kinds.TYPE_UINT64),
        ("timestamp_ns", kinds.TYPE_FIXED64), ("instrument", kinds.TYPE_BYTES),
        ("price_mantissa", kinds.TYPE_SINT64), ("price_exponent", kinds.TYPE_SINT32),
        ("quantity_mantissa", kinds.TYPE_SINT64), ("quantity_exponent", kinds.TYPE_SINT32),
        ("exchange_timestamp_ns", kinds.TYPE_FIXED64), ("side", kinds.TYPE_UINT32),
        ("trade_id", kinds.TYPE_STRING),
    ]  # fmt: skip
    for number, (name, kind) in enumerate(fields, 1):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Trade"))


def main() -> None:
    """Measure everything in one run; every figure is per message."""
    runner = pyperf.Runner()
    which = kernel.implementation
    runner.metadata["kernel"] = which
    builder = MessageBuilder(DOMAIN, 7)

    def build() -> None:
        for trade in TRADES:
            builder.add(trade).build(sequence=1, timestamp_ns=1_786_309_548_228_568_804)

    messages = [builder.add(trade).build(sequence=9, timestamp_ns=2) for trade in TRADES]

    def parse() -> None:
        for raw in messages:
            message = parse_message(raw)
            _ = message.header
            message[Trade]

    runner.bench_func(f"build, {which}", build, inner_loops=COUNT)
    runner.bench_func(f"parse, {which}", parse, inner_loops=COUNT)
    if which == "pure":
        return

    header = parse_message(messages[0]).header
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.msgpack.Decoder(Enveloped)

    def build_msgspec() -> None:
        for trade in TRADES:
            encoder.encode(Enveloped(header, trade))

    packed = [encoder.encode(Enveloped(header, trade)) for trade in TRADES]

    def parse_msgspec() -> None:
        for raw in packed:
            decoder.decode(raw)

    runner.bench_func("build, msgspec", build_msgspec, inner_loops=COUNT)
    runner.bench_func("parse, msgspec", parse_msgspec, inner_loops=COUNT)

    protobuf = protobuf_class()
    instrument_bytes = [pack_instrument(instrument) for instrument in INSTRUMENTS]

    def to_protobuf(number: int, trade: Trade) -> Any:
        return protobuf(
            version=2, domain=1, source=7, sequence=1, timestamp_ns=1_786_309_548_228_568_804,
            instrument=instrument_bytes[number], price_mantissa=trade.price.mantissa,
            price_exponent=trade.price.exponent, quantity_mantissa=trade.quantity.mantissa,
            quantity_exponent=trade.quantity.exponent,
            exchange_timestamp_ns=trade.exchange_timestamp_ns, side=trade.side,
            trade_id=trade.trade_id,
        )  # fmt: skip

    def build_protobuf() -> None:
        for number, trade in enumerate(TRADES):
            to_protobuf(number, trade).SerializeToString()

    serialised = [to_protobuf(n, trade).SerializeToString() for n, trade in enumerate(TRADES)]

    def parse_protobuf() -> None:
        for raw in serialised:
            message = protobuf.FromString(raw)
            _ = message.sequence, message.price_mantissa, message.trade_id

    runner.bench_func("build, protobuf", build_protobuf, inner_loops=COUNT)
    runner.bench_func("parse, protobuf", parse_protobuf, inner_loops=COUNT)

    by_hand = struct.Struct("<IBBHQQ HBBI 40s qqQ bbB5x I10s2x")

    def build_by_hand() -> None:
        for number, trade in enumerate(TRADES):
            covered = by_hand.pack(
                96, 2, 1, 7, 1, 1_786_309_548_228_568_804, 1, 1, 0, 86, instrument_bytes[number],
                trade.price.mantissa, trade.quantity.mantissa, trade.exchange_timestamp_ns,
                trade.price.exponent, trade.quantity.exponent, trade.side, 10,
                trade.trade_id.encode(),
            )  # fmt: skip
            _ = b"TORQ" + zlib.crc32(covered).to_bytes(4, "little") + covered

    def parse_by_hand() -> None:
        for raw in messages:
            if zlib.crc32(memoryview(raw)[8:]) == int.from_bytes(raw[4:8], "little"):
                by_hand.unpack_from(raw, 8)

    runner.bench_func("build, struct and zlib", build_by_hand, inner_loops=COUNT)
    runner.bench_func("parse, struct and zlib", parse_by_hand, inner_loops=COUNT)

    buffer = b"".join(blocks(MANY)[:-1])
    tracker = kernel.SequenceTracker()
    one = filter_of(instruments=[INSTRUMENTS[500]])

    def scan() -> None:
        assert kernel.scan(buffer, 0, len(buffer), 0, 1 << 20)[1] == MANY

    def scan_and_filter() -> None:
        tracker.set(7, 0, 0)
        assert tracker.scan(buffer, 0, len(buffer), DOMAIN, 1 << 20)[1] == MANY
        assert len(one.runs(buffer, 0, len(buffer))) == MANY // 1000

    def checksum() -> None:
        zlib.crc32(buffer)

    def copy() -> None:
        bytearray(buffer)

    runner.bench_func("scan", scan, inner_loops=MANY)
    runner.bench_func("scan, zlib.crc32 of the same bytes", checksum, inner_loops=MANY)
    runner.bench_func("scan, copying the same bytes", copy, inner_loops=MANY)
    runner.bench_func("filter 1 of 1000", scan_and_filter, inner_loops=MANY)


if __name__ == "__main__":
    main()
