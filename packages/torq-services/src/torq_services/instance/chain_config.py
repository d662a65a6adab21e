"""The part of the configuration that names EVM chains and their pools."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from torq_codec import parse_instrument
from torq_types import ConfigError, IdentifierError, InstrumentKind

__all__ = ["ChainConfig", "check_chain", "url_problem"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""It is part of a service's name, and so of file names and of supervisord's answers."""


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
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{origin}: chain {name!r}: expected a name of 1 to 64 letters, digits, - and _,"
            " all of ASCII"
        )
    if not 0 < chain.chain_id < 1 << 32:
        raise ConfigError(f"{where}.chain_id is {chain.chain_id}; expected 1 to 4294967295")
    if not chain.rpc_urls:
        raise ConfigError(f"{where}.rpc_urls is empty; name at least one wss:// address")
    for url in chain.rpc_urls:
        problem = url_problem(url, ("ws", "wss"))
        if problem:
            raise ConfigError(f"{where}.rpc_urls has {url!r}; {problem}")
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
    for key, lowest, highest in (
        ("max_pools", 1, 1_000_000),
        ("requests_per_second", 1, 1_000_000),
        ("history_blocks", 1, 100_000),
        ("max_gap_blocks", 0, 100_000),
        ("verify_blocks", 0, 1_000_000_000),
        ("factory_from_block", 0, 1_000_000_000_000),
    ):
        number = getattr(chain, key)
        if not lowest <= number <= highest:
            raise ConfigError(f"{where}.{key} is {number}; expected {lowest} to {highest}")
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", chain.vault) is None:
        raise ConfigError(f"{where}.vault is {chain.vault!r}; expected an address")


def url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """What an address lacks: one of ``schemes``, a host, a port that exists; empty for nothing."""
    expected = f"expected {' or '.join(f'{scheme}://' for scheme in schemes)} and a host"
    try:
        parts = urlsplit(url)
        _ = parts.port
        is_whole = parts.scheme in schemes and bool(parts.hostname)
    except ValueError as error:
        return f"{expected} ({error})"
    is_plain = all("!" <= character <= "~" for character in url)
    return "" if is_whole and is_plain else expected
