"""Small markets for tests of state, strategies and execution."""

from __future__ import annotations

from torq_codec import Message, MessageBuilder, parse_message
from torq_types import (
    TLV,
    Decimal64,
    Domain,
    InstrumentId,
    InstrumentMeta,
    L2Snapshot,
    Level,
)


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    """Levels from texts of price and quantity."""
    return tuple(Level(Decimal64.parse(price), Decimal64.parse(qty)) for price, qty in pairs)


def snapshot(
    instrument: InstrumentId,
    bids: tuple[Level, ...] = (),
    asks: tuple[Level, ...] = (),
    book_sequence: int = 1,
) -> L2Snapshot:
    """A whole book."""
    return L2Snapshot(instrument, book_sequence, 0, 0, bids, asks)


def meta(
    instrument: InstrumentId,
    *,
    base: str = "BTC",
    quote: str = "USD",
    lot: str = "0.00000001",
    minimum: str = "0.00000001",
) -> InstrumentMeta:
    """What the venue says of an instrument."""
    return InstrumentMeta(
        instrument,
        Decimal64.parse("0.01"),
        Decimal64.parse(lot),
        Decimal64.parse(minimum),
        1,
        base,
        quote,
    )


class Source:
    """Numbers messages as a publisher would."""

    def __init__(self, source: int, now_ns: int = 0) -> None:
        self.source = source
        self.sequence = 0
        self.now_ns = now_ns

    def message(self, *tlvs: TLV) -> Message:
        """The next message."""
        self.sequence += 1
        builder = MessageBuilder(Domain.MARKET_DATA, self.source)
        for tlv in tlvs:
            builder.add(tlv)
        return parse_message(builder.build(sequence=self.sequence, timestamp_ns=self.now_ns))
