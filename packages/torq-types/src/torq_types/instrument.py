"""Instruments: what is traded, and where, in 40 bytes that need no lookup table."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from torq_types.errors import IdentifierError

__all__ = ["INSTRUMENT_SIZE", "InstrumentId", "InstrumentKind", "Venue"]

INSTRUMENT_SIZE = 40
_BODY_SIZE = 32


class InstrumentKind(IntEnum):
    """What an :class:`InstrumentId` names."""

    PAIR = 1
    """A pair on an exchange; the body is the exchange's own symbol."""
    POOL = 2
    """A liquidity pool; the body is a 20-byte address or a 32-byte pool id."""
    TOKEN = 3
    """A token contract; the body is its 20-byte address."""


class Venue(IntEnum):
    """Where an instrument trades. Numbers are part of the wire format: append, never renumber."""

    NONE = 0
    """No venue: a token belongs to its chain."""
    COINBASE = 1
    KRAKEN = 2
    BINANCE = 3
    GEMINI = 4
    UNISWAP_V2 = 100
    UNISWAP_V3 = 101
    UNISWAP_V4 = 102
    SUSHISWAP_V2 = 103
    SUSHISWAP_V3 = 104
    QUICKSWAP_V2 = 105
    QUICKSWAP_V3 = 106
    CURVE = 107
    BALANCER_V2 = 108
    PANCAKESWAP_V2 = 109
    PANCAKESWAP_V3 = 110

    @property
    def slug(self) -> str:
        """The name in text identifiers, such as ``uniswap_v3``."""
        return self.name.lower()

    @property
    def body_size(self) -> int | None:
        """Bytes in an identifier's body: 20 or 32 on a chain, ``None`` for symbols of any size."""
        if self < Venue.UNISWAP_V2:
            return None
        return 32 if self in (Venue.UNISWAP_V4, Venue.BALANCER_V2) else 20


class InstrumentId(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """One pair, pool or token. Bytes and text forms are in :mod:`torq_codec.identifiers`.

    Raises :class:`IdentifierError` for any combination that is not legal, so that an instance can
    always be written to the wire and read back.
    """

    kind: InstrumentKind
    venue: Venue
    chain_id: int
    """EIP-155 chain id, 1 to 2^32-1; 0 off-chain."""
    body: bytes
    """Symbol (UTF-8), address (20 bytes) or pool id (32 bytes)."""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise IdentifierError(problem)

    def _problem(self) -> str | None:
        size = len(self.body)
        if not 1 <= size <= _BODY_SIZE:
            return f"an identifier's body has {size} bytes; expected 1 to {_BODY_SIZE}"
        if self.kind is InstrumentKind.PAIR:
            if self.venue is Venue.NONE or self.venue.body_size is not None or self.chain_id:
                return f"a pair needs an exchange and no chain; found {self.venue.slug}"
            return _symbol_problem(self.body)
        if not 1 <= self.chain_id < 2**32:
            return f"found chain id {self.chain_id}; expected 1 to 2^32-1"
        if self.kind is InstrumentKind.TOKEN:
            if self.venue is not Venue.NONE or size != 20:
                return "a token has no venue and a 20-byte address"
            return None
        if self.venue.body_size != size:
            return f"a pool of {self.venue.slug} has a body of {self.venue.body_size}, not {size}"
        return None

    @classmethod
    def pair(cls, venue: Venue, symbol: str) -> InstrumentId:
        """A pair, by the exchange's own symbol."""
        return cls(InstrumentKind.PAIR, venue, 0, symbol.encode())

    @classmethod
    def pool(cls, venue: Venue, chain_id: int, body: bytes) -> InstrumentId:
        """A pool, by its 20-byte address or its 32-byte id."""
        return cls(InstrumentKind.POOL, venue, chain_id, body)

    @classmethod
    def token(cls, chain_id: int, address: bytes) -> InstrumentId:
        """A token, by its 20-byte address."""
        return cls(InstrumentKind.TOKEN, Venue.NONE, chain_id, address)

    @property
    def symbol(self) -> str:
        """The exchange's own symbol; only a pair has one."""
        if self.kind is not InstrumentKind.PAIR:
            raise IdentifierError(f"a {self.kind.name.lower()} has no symbol, only an address")
        return self.body.decode()


def _symbol_problem(body: bytes) -> str | None:
    try:
        symbol = body.decode()
    except UnicodeDecodeError:
        return f"a symbol is UTF-8 text; found the bytes {body.hex()}"
    if not symbol.isprintable() or " " in symbol:
        return f"a symbol has only printable characters and no space; found {symbol!r}"
    return None
