"""What to follow of an EVM chain, and how."""

from __future__ import annotations

import msgspec

from torq_types import InstrumentId

__all__ = ["EvmSettings"]

_SILENCE_SECONDS = 60.0


class EvmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to follow, and how."""

    name: str
    chain_id: int
    urls: tuple[str, ...]
    pools: tuple[InstrumentId, ...]
    factories: tuple[InstrumentId, ...] = ()
    factory_from_block: int = 0
    max_pools: int = 1000
    requests_per_second: int = 25
    history_blocks: int = 128
    """How deep a reorganisation may be before everything is read anew."""
    max_gap_blocks: int = 512
    """A longer gap is not filled: the pools are read anew."""
    verify_blocks: int = 10
    """Every so many blocks one pool is compared with the chain; 0 for never."""
    repeat_blocks: int = 15
    """Every so many blocks all states are published again, for late readers."""
    silence_seconds: float = _SILENCE_SECONDS
    vault: bytes = bytes(20)
    """Balancer V2's Vault."""
