"""What a chain's feed says of itself and of its pools."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import msgspec

from torq_codec import format_instrument
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_services.state.pool_values import decimal_text, display_price
from torq_services.state.pools import PoolEntry
from torq_types import SwapError

__all__ = ["EvmHealth", "FeedState", "PoolHealth", "pool_health"]

FeedState = Literal["connecting", "synchronising", "in step", "waiting"]


class PoolHealth(msgspec.Struct):
    """One pool, for people to read."""

    pool: str
    tokens: str
    status: str
    price: str
    """The second token per the first one in whole tokens, before the fee; rounded for display."""
    block_number: int
    """Of its last change."""
    events: int


class EvmHealth(msgspec.Struct):
    """The feed's account of itself."""

    chain: str
    state: FeedState
    endpoint: str
    connects: int
    block_number: int
    verified_pools: int
    stale_pools: int
    blocks: int
    events: int
    reorganisations: int
    deepest_reorganisation: int
    verifications: int
    rebuilds: int
    last_doubt: str
    faults: dict[str, int]
    pools: list[PoolHealth]
    """The first ones of those that are followed."""


def pool_health(entry: PoolEntry, metadata: PoolMetadata, *, is_in_step: bool) -> PoolHealth:
    """One pool's account; out of step with its chain, none is verified."""
    status, price = "stale", ""
    if entry.status == "verified" and is_in_step:
        status = "verified"
        with suppress(SwapError):  # an empty pool has none
            price = decimal_text(display_price(entry.value, entry.decimals))
    names = [symbol or "?" for symbol in metadata.symbols]
    return PoolHealth(
        format_instrument(entry.instrument), "/".join(names), status, price,
        entry.block_number, entry.events,
    )  # fmt: skip
