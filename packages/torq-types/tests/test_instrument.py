"""Which instruments there are: every boundary of kind, venue, chain and body."""

from __future__ import annotations

import pytest

from torq_types import IdentifierError, InstrumentId, InstrumentKind, Venue

PAIR, POOL, TOKEN = InstrumentKind.PAIR, InstrumentKind.POOL, InstrumentKind.TOKEN
ADDRESS, POOL_ID = bytes(range(20)), bytes(range(32))


@pytest.mark.parametrize(
    ("kind", "venue", "chain_id", "body"),
    [
        (PAIR, Venue.COINBASE, 0, b"B"),
        (PAIR, Venue.GEMINI, 0, b"B" * 32),
        (PAIR, Venue.KRAKEN, 0, "ÅÄÖ".encode()),
        (POOL, Venue.UNISWAP_V2, 1, ADDRESS),
        (POOL, Venue.UNISWAP_V4, 137, POOL_ID),
        (POOL, Venue.BALANCER_V2, 2**32 - 1, POOL_ID),
        (TOKEN, Venue.NONE, 1, ADDRESS),
        (TOKEN, Venue.NONE, 2**32 - 1, ADDRESS),
    ],
)
def test_legal(kind: InstrumentKind, venue: Venue, chain_id: int, body: bytes) -> None:
    assert InstrumentId(kind, venue, chain_id, body).body == body


@pytest.mark.parametrize(
    ("kind", "venue", "chain_id", "body", "problem"),
    [
        (PAIR, Venue.COINBASE, 0, b"", "0 bytes"),
        (PAIR, Venue.COINBASE, 0, b"B" * 33, "33 bytes; expected 1 to 32"),
        (PAIR, Venue.COINBASE, 1, b"BTC-USD", "no chain"),
        (PAIR, Venue.NONE, 0, b"BTC-USD", "an exchange"),
        (PAIR, Venue.UNISWAP_V2, 0, b"BTC-USD", "an exchange"),
        (PAIR, Venue.UNISWAP_V4, 0, POOL_ID, "an exchange"),
        (PAIR, Venue.COINBASE, 0, b"BTC USD", "no space"),
        (PAIR, Venue.COINBASE, 0, b"BTC\nUSD", "printable"),
        (PAIR, Venue.COINBASE, 0, b"BTC\xff", "UTF-8"),
        (POOL, Venue.UNISWAP_V3, 0, ADDRESS, "chain id 0"),
        (POOL, Venue.UNISWAP_V3, 2**32, ADDRESS, "chain id 4294967296"),
        (POOL, Venue.UNISWAP_V3, -1, ADDRESS, "chain id -1"),
        (POOL, Venue.UNISWAP_V3, 1, ADDRESS[:19], "a body of 20, not 19"),
        (POOL, Venue.UNISWAP_V3, 1, POOL_ID, "a body of 20, not 32"),
        (POOL, Venue.UNISWAP_V4, 1, ADDRESS, "a body of 32, not 20"),
        (POOL, Venue.COINBASE, 1, ADDRESS, "a body of None"),
        (POOL, Venue.NONE, 1, ADDRESS, "a body of None"),
        (TOKEN, Venue.NONE, 0, ADDRESS, "chain id 0"),
        (TOKEN, Venue.NONE, 1, ADDRESS[:19], "20-byte address"),
        (TOKEN, Venue.NONE, 1, POOL_ID, "20-byte address"),
        (TOKEN, Venue.UNISWAP_V2, 1, ADDRESS, "no venue"),
    ],
)
def test_not_legal(
    kind: InstrumentKind, venue: Venue, chain_id: int, body: bytes, problem: str
) -> None:
    with pytest.raises(IdentifierError, match=problem):
        InstrumentId(kind, venue, chain_id, body)


def test_each_kind_is_made_by_its_own_name() -> None:
    pair = InstrumentId.pair(Venue.KRAKEN, "XBT/USD")
    assert pair == InstrumentId(PAIR, Venue.KRAKEN, 0, b"XBT/USD")
    assert pair.symbol == "XBT/USD"
    pool = InstrumentId.pool(Venue.CURVE, 137, ADDRESS)
    assert pool == InstrumentId(POOL, Venue.CURVE, 137, ADDRESS)
    token = InstrumentId.token(137, ADDRESS)
    assert token == InstrumentId(TOKEN, Venue.NONE, 137, ADDRESS)
    for nameless, kind in ((pool, "pool"), (token, "token")):
        with pytest.raises(IdentifierError, match=f"a {kind} has no symbol"):
            _ = nameless.symbol
