"""What never changes about a pool."""

from __future__ import annotations

import msgspec

from torq_services.state.exact import PIPS
from torq_types import Decimal64, InstrumentId, InstrumentMeta

__all__ = ["PoolMetadata", "metas_of"]


class PoolMetadata(msgspec.Struct, frozen=True):
    """What never changes about a pool."""

    instrument: InstrumentId
    tokens: tuple[InstrumentId, ...]
    decimals: tuple[int, ...]
    fee: int = 0
    """Pips for concentrated liquidity (0: it changes); otherwise of ``fee_denominator``."""
    fee_denominator: int = PIPS
    tick_spacing: int = 0
    rates: tuple[int, ...] = ()
    """StableSwap's rates, or a weighted pool's weights."""
    symbols: tuple[str, ...] = ()
    """What the tokens call themselves: for people only, anyone may call a token USDC."""


def metas_of(metadata: PoolMetadata) -> dict[InstrumentId, InstrumentMeta]:
    """What there is to say of a pool's tokens: their symbols, and their smallest units."""
    return {
        token: InstrumentMeta(
            token, Decimal64(0, 0), Decimal64(1, -places), Decimal64(0, 0), 1, symbol, ""
        )
        for token, symbol, places in zip(
            metadata.tokens, metadata.symbols, metadata.decimals, strict=True
        )
    }
