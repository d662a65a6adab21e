"""The part of the configuration that names EVM chains and their pools."""

from __future__ import annotations

import re

import msgspec

from torq_codec import parse_instrument
from torq_types import ConfigError, IdentifierError, InstrumentKind

__all__ = ["ChainConfig", "check_chain"]


class ChainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One EVM chain, and the pools to follow on it."""

    chain_id: int
    """EIP-155."""
    rpc_urls: tuple[str, ...]
    """WebSocket addresses of nodes; the next one is taken when one fails."""
    native: str
    """The token that wraps the chain's own currency, such as ``token@137:0x0d50...``."""
    profit_tokens: tuple[str, ...] = ()
    """In which a profit is welcome, the best first; the native one when left out."""
    pools: tuple[str, ...] = ()
    """Such as ``uniswap_v3@137:0x45dD...``."""
    factories: tuple[str, ...] = ()
    """Every pool that these created is followed, up to ``max_pools``."""
    factory_from_block: int = 0
    max_pools: int = 1000
    requests_per_second: int = 25
    history_blocks: int = 128
    """How deep a reorganisation may be before everything is read anew."""
    max_gap_blocks: int = 512
    """A longer gap is not filled: the pools are read anew."""
    verify_blocks: int = 10
    """Every so many blocks one pool is compared with the chain; 0 for never."""
    vault: str = "0xBA12222222228d8Ba445958a75a0704d566BF2C8"
    """Balancer V2's Vault."""


def check_chain(name: str, chain: ChainConfig, origin: str) -> None:
    """Raises :class:`ConfigError` saying where and what."""
    where = f"{origin}: chains.{name}"
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ConfigError(f"{where}: a chain's name is letters, digits, - and _")
    if not 0 < chain.chain_id < 1 << 32:
        raise ConfigError(f"{where}.chain_id is {chain.chain_id}; expected 1 to 4294967295")
    if not chain.rpc_urls:
        raise ConfigError(f"{where}.rpc_urls is empty; name at least one wss:// address")
    for url in chain.rpc_urls:
        if not url.startswith(("ws://", "wss://")):
            raise ConfigError(f"{where}.rpc_urls has {url!r}; expected ws:// or wss://")
    if not chain.pools and not chain.factories:
        raise ConfigError(f"{where}: neither pools nor factories; there is nothing to follow")
    for key, texts, kind in (
        ("native", (chain.native,), InstrumentKind.TOKEN),
        ("profit_tokens", chain.profit_tokens, InstrumentKind.TOKEN),
        ("pools", chain.pools, InstrumentKind.POOL),
        ("factories", chain.factories, InstrumentKind.POOL),
    ):
        for text in texts:
            try:
                found = parse_instrument(text)
            except IdentifierError as error:
                raise ConfigError(f"{where}.{key}: {error}") from error
            if (found.kind, found.chain_id) != (kind, chain.chain_id):
                raise ConfigError(
                    f"{where}.{key}: {text} is no {kind.name.lower()} of chain {chain.chain_id}"
                )
    for key, lowest in (
        ("max_pools", 1), ("requests_per_second", 1), ("history_blocks", 1), ("max_gap_blocks", 0),
        ("verify_blocks", 0), ("factory_from_block", 0),
    ):  # fmt: skip
        number = getattr(chain, key)
        if number < lowest:
            raise ConfigError(f"{where}.{key} is {number}; expected {lowest} or more")
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", chain.vault) is None:
        raise ConfigError(f"{where}.vault is {chain.vault!r}; expected an address")
