"""Building and parsing a Trade, beside the same by hand and by msgspec's msgpack.

Run: ``uv run python tests/benchmarks/bench_codec.py --fast -o codec.json``; compare the medians of
one run with each other, never with another machine's.
"""

from __future__ import annotations

import struct
import zlib

import msgspec
import pyperf

from torq_codec import MessageBuilder, kernel, parse_message
from torq_types import Decimal64, Domain, Header, InstrumentId, Side, Trade, Venue


class Enveloped(msgspec.Struct, frozen=True):
    """The rival's message: the same header and the same trade."""

    header: Header
    trade: Trade


TRADE = Trade(
    InstrumentId.pair(Venue.COINBASE, "BTC-USD"),
    Decimal64.parse("65083.67"),
    Decimal64.parse("0.00218600"),
    1_786_309_548_228_568_804,
    Side.SELL,
    "1068572090",
)
MESSAGE = MessageBuilder(Domain.MARKET_DATA, 7).add(TRADE).build(sequence=1, timestamp_ns=1)
HEADER = parse_message(MESSAGE).header
BUFFER = MESSAGE * 8192
encoder = msgspec.msgpack.Encoder()
decoder = msgspec.msgpack.Decoder(Enveloped)
PACKED = encoder.encode(Enveloped(HEADER, TRADE))
by_hand = struct.Struct("<IBBHQQ HBBI 40s qqQ bbB5x I10s2x")
builder = MessageBuilder(Domain.MARKET_DATA, 7)


def build() -> bytes:
    """TLV object to verified bytes."""
    return builder.add(TRADE).build(sequence=1, timestamp_ns=1)


def parse() -> Trade:
    """Bytes to header and TLV object, verified."""
    message = parse_message(MESSAGE)
    _ = message.header
    return message[Trade]


def build_by_hand() -> bytes:
    """The least that struct and zlib can do for the same bytes."""
    covered = by_hand.pack(
        96, 2, 1, 7, 1, 1, 1, 1, 0, 88, b"", TRADE.price.mantissa, TRADE.quantity.mantissa,
        TRADE.exchange_timestamp_ns, -2, -8, 2, 10, b"1068572090",
    )  # fmt: skip
    return b"TORQ" + zlib.crc32(covered).to_bytes(4, "little") + covered


def main() -> None:
    """Measure everything in one run."""
    runner = pyperf.Runner()
    runner.metadata["kernel"] = kernel.implementation
    runner.bench_func("build", build)
    runner.bench_func("build, msgspec msgpack", lambda: encoder.encode(Enveloped(HEADER, TRADE)))
    runner.bench_func("build, struct and zlib", build_by_hand)
    runner.bench_func("parse", parse)
    runner.bench_func("parse, msgspec msgpack", lambda: decoder.decode(PACKED))
    runner.bench_func("scan 8192 messages", lambda: kernel.scan(BUFFER, 0, len(BUFFER), 0, 1 << 20))


if __name__ == "__main__":
    main()
