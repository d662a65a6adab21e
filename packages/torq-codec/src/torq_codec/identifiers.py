"""InstrumentId to 40 bytes and to text, and back; both ways are the identity.

Bytes: u8 kind, u8 body length, u16 venue, u32 chain id, then the body zero-filled to 32 bytes.
Text: ``coinbase:BTC-USD``, ``uniswap_v3@137:0x45dD...`` (a pool), ``token@137:0x2791...``.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache

from eth_hash.auto import keccak

from torq_types import (
    INSTRUMENT_SIZE,
    IdentifierError,
    InstrumentId,
    InstrumentKind,
    Venue,
)

__all__ = [
    "checksum_address",
    "format_instrument",
    "pack_instrument",
    "parse_instrument",
    "unpack_instrument",
]

_LAYOUT = struct.Struct("<BBHI32s")
_BY_SLUG = {venue.slug: venue for venue in Venue if venue is not Venue.NONE}
_TEXT = re.compile(r"([a-z0-9_]+)(?:@(0|[1-9][0-9]*))?:(.+)", re.ASCII | re.DOTALL)


@lru_cache(maxsize=65_536)
def pack_instrument(instrument: InstrumentId) -> bytes:
    """The 40 bytes of ``instrument``."""
    return _LAYOUT.pack(
        instrument.kind,
        len(instrument.body),
        instrument.venue,
        instrument.chain_id,
        instrument.body,
    )


@lru_cache(maxsize=65_536)
def unpack_instrument(packed: bytes) -> InstrumentId:
    """The instrument in 40 bytes.

    Raises :class:`IdentifierError` for an unknown kind or venue, a wrong length or filler that is
    not zero: only bytes that :func:`pack_instrument` writes are read.
    """
    if len(packed) != INSTRUMENT_SIZE:
        raise IdentifierError(f"an identifier has {INSTRUMENT_SIZE} bytes; found {len(packed)}")
    kind, size, venue, chain_id, filled = _LAYOUT.unpack(packed)
    if any(filled[size:]):
        raise IdentifierError(f"bytes behind an identifier's body of {size} are not zero")
    try:
        return InstrumentId(InstrumentKind(kind), Venue(venue), chain_id, filled[:size])
    except ValueError as error:
        raise IdentifierError(f"unknown kind or venue in an identifier: {error}") from error


def format_instrument(instrument: InstrumentId) -> str:
    """The text form of ``instrument``; addresses carry their EIP-55 checksum."""
    if instrument.kind is InstrumentKind.PAIR:
        return f"{instrument.venue.slug}:{instrument.symbol}"
    body = instrument.body
    address = checksum_address(body) if len(body) == 20 else f"0x{body.hex()}"
    venue = "token" if instrument.kind is InstrumentKind.TOKEN else instrument.venue.slug
    return f"{venue}@{instrument.chain_id}:{address}"


def parse_instrument(text: str) -> InstrumentId:
    """Read a text form; an address may come with or without its checksum, but not with a wrong one.

    Raises :class:`IdentifierError` saying what was found and expected.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise IdentifierError(
            f"found {text[:80]!r}; "
            "expected 'venue:SYMBOL', 'venue@chain:0x...' or 'token@chain:0x...'"
        )
    slug, chain, body = match.groups()
    if chain is None:
        return InstrumentId.pair(_venue(slug), body)
    raw = _parse_hex(body)
    if slug == "token":
        return InstrumentId.token(int(chain), raw)
    return InstrumentId.pool(_venue(slug), int(chain), raw)


def checksum_address(address: bytes) -> str:
    """A 20-byte address as text with the mixed-case checksum of EIP-55."""
    digits = address.hex()
    hashed = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit
        for digit, nibble in zip(digits, hashed, strict=False)
    )


def _venue(slug: str) -> Venue:
    try:
        return _BY_SLUG[slug]
    except KeyError:
        known = ", ".join(sorted(_BY_SLUG))
        raise IdentifierError(f"unknown venue {slug[:40]!r}; known are {known}") from None


def _parse_hex(text: str) -> bytes:
    digits = text[2:]
    if not text.startswith("0x") or not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", digits, re.ASCII):
        raise IdentifierError(f"found {text[:80]!r}; expected an address: 0x and hex digits")
    raw = bytes.fromhex(digits)
    mixed = digits.lower() != digits and digits.upper() != digits
    if mixed and len(raw) == 20 and checksum_address(raw) != text:
        raise IdentifierError(
            f"the checksum of {text} is wrong; expected {checksum_address(raw)} (a typing error?)"
        )
    if mixed and len(raw) != 20:
        raise IdentifierError(f"{text[:80]!r} mixes cases; only 20-byte addresses carry a checksum")
    return raw
