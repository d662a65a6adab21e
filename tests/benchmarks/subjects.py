"""The messages that every benchmark uses: 128 bytes each, a thousand different trades."""

from __future__ import annotations

from torq_codec import MessageBuilder
from torq_types import Decimal64, Domain, Heartbeat, InstrumentId, Side, Trade, Venue

__all__ = ["DOMAIN", "END", "INSTRUMENTS", "SIZE", "TRADES", "blocks"]

DOMAIN = Domain.MARKET_DATA
SIZE = 128
END = Heartbeat(2**40, 0)
"""The last message: passes every filter by instrument."""
INSTRUMENTS = [InstrumentId.pair(Venue.COINBASE, f"X{number}-USD") for number in range(1000)]
TRADES = [
    Trade(
        INSTRUMENTS[number],
        Decimal64(6_508_367 + number, -2),
        Decimal64(218_600 + 37 * number, -8),
        1_786_309_548_228_568_804 + number,
        Side.SELL if number % 2 else Side.BUY,
        f"{1_068_572_090 + number}",
    )
    for number in range(1000)
]


def blocks(count: int, source: int = 7) -> list[bytes]:
    """``count`` messages (a multiple of 1000), then the END, in blocks of a thousand."""
    builder = MessageBuilder(DOMAIN, source)
    made = []
    for first in range(1, count + 1, 1000):
        messages, _ = builder.build_each(TRADES, sequence=first, timestamp_ns=first)
        assert len(messages) == 1000 * SIZE
        made.append(messages)
    made.append(builder.add(END).build(sequence=count + 1, timestamp_ns=count + 1))
    return made
