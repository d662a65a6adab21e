"""The configuration: ``torq.toml``, or the sample's when there is none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from torq_services.adapters import ADAPTERS
from torq_services.instance.chain_config import ChainConfig, check_chain, url_problem
from torq_services.venues.scenario import load_header
from torq_types import (
    ConfigError,
    Decimal64,
    PrecisionError,
    Venue,
)

__all__ = [
    "CONFIG_NAME",
    "ChainConfig",
    "Config",
    "ConsoleConfig",
    "ExecutionConfig",
    "FlashArbitrageConfig",
    "RelayConfig",
    "StrategyConfig",
    "VenueConfig",
    "check",
    "decode",
    "load",
    "sample",
]

CONFIG_NAME = "torq.toml"
_HOUR_MS: Final = 3_600_000
_BOUNDS: Final = (
    ("strategy", "time_to_live_ms", 1, _HOUR_MS),
    ("strategy", "update_interval_ms", 0, _HOUR_MS),
    ("strategy", "max_quiet_ms", 1, 24 * _HOUR_MS),
    ("flash_arbitrage", "max_hops", 2, 4),
    ("flash_arbitrage", "time_to_live_ms", 1, _HOUR_MS),
    ("flash_arbitrage", "update_interval_ms", 0, _HOUR_MS),
    ("execution", "max_orders_per_minute", 2, 1_000_000),
    ("execution", "cooldown_ms", 0, 24 * _HOUR_MS),
    ("console", "port", 1, 65_535),
    ("relays", "ring_mib", 1, 65_536),
    ("relays", "max_message_mib", 1, 1024),
    ("relays", "connections", 8, 65_536),
    ("relays", "fsync_interval_ms", 1, 60_000),
    ("relays", "keep_mib", 0, 1 << 30),
    ("relays", "keep_days", 0, 36_500),
)
"""Of each number: its section, its key, the least and the most that make sense."""
_AMOUNTS: Final = (
    ("strategy", "max_notional", True),
    ("strategy", "min_net", False),
    ("execution", "max_notional", True),
    ("execution", "min_net", False),
)
"""Amounts as text, and whether one of nothing makes no sense."""
_SYMBOL_BYTES: Final = 32
"""As many has an instrument's identifier for its symbol."""


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exchange's feed."""

    url: str
    """WebSocket address."""
    rest_url: str
    """Base of the REST address, for the list of instruments."""
    symbols: tuple[str, ...]
    """The exchange's own, or canonical pairs such as BTC/USD."""
    taker_fee_pips: int
    """Hundredths of a basis point: 500 is 0.05 %."""
    book_levels: int = 0
    """Levels a side to ask for; 0 for the adapter's default."""
    audit_seconds: int = -1
    """Between two comparisons of a book with the exchange's REST answer; 0 for none, -1 for the
    adapter's default."""


class FlashArbitrageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The strategy that swaps around cycles of pools."""

    max_hops: int = 3
    """The longest cycles: 2 to 4 pools."""
    time_to_live_ms: int = 4000
    update_interval_ms: int = 500


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The relays."""

    ring_mib: int = 64
    """Size of the market-data ring."""
    max_message_mib: int = 16
    """A longer message is refused."""
    connections: int = 256
    """Clients that each relay serves at a time."""
    busy_poll: bool = False
    """Relays that never sleep: the least delay, for a processor each."""
    signal_fsync: Literal["always", "interval", "never"] = "interval"
    execution_fsync: Literal["always", "interval", "never"] = "always"
    fsync_interval_ms: int = 100
    keep_mib: int = 0
    """Size of each log on disk beyond which its oldest segments go; 0 keeps everything."""
    keep_days: int = 0
    """Age beyond which segments go; 0 keeps everything."""


class StrategyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cross-exchange strategy; amounts in the quote currency, as text."""

    max_notional: str = "10000"
    min_net: str = "0.01"
    time_to_live_ms: int = 2000
    update_interval_ms: int = 500
    max_quiet_ms: int = 10_000
    equal_quotes: tuple[tuple[str, ...], ...] = ()
    """Groups such as ["USD", "USDC"] that may be taken for one another; none by default."""


class ExecutionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The executor and its own limits; amounts in the quote currency, as text."""

    mode: Literal["paper"] = "paper"
    max_notional: str = "25000"
    min_net: str = "0.01"
    max_orders_per_minute: int = 60
    cooldown_ms: int = 5000


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The browser console; it listens on loopback only."""

    port: int = 8700


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a running instance needs to know."""

    venues: dict[str, VenueConfig] = {}
    chains: dict[str, ChainConfig] = {}
    relays: RelayConfig = RelayConfig()
    strategy: StrategyConfig = StrategyConfig()
    flash_arbitrage: FlashArbitrageConfig = FlashArbitrageConfig()
    execution: ExecutionConfig = ExecutionConfig()
    console: ConsoleConfig = ConsoleConfig()
    is_sample: bool = False
    """Recorded sessions instead of exchanges; set by ``torq up`` when there is no torq.toml."""
    sample_speed: str = "1"
    sample_port: int = 0

    def fees_pips(self) -> dict[Venue, int]:
        """Taker fee by venue, in hundredths of a basis point."""
        return {ADAPTERS[name].venue: venue.taker_fee_pips for name, venue in self.venues.items()}


def load(path: Path) -> Config:
    """Read and check ``path``. Raises :class:`ConfigError` saying where and what."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return decode(text, str(path))


def decode(text: bytes, origin: str = CONFIG_NAME) -> Config:
    """Parse TOML and check it. Raises :class:`ConfigError`."""
    try:
        config = msgspec.toml.decode(text, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{origin}: {error}; 'torq init' writes a correct example") from error
    except RecursionError:
        raise ConfigError(
            f"{origin}: brackets within brackets without end; 'torq init' writes a correct example"
        ) from None
    for key in ("is_sample", "sample_speed", "sample_port"):
        if getattr(config, key) != getattr(Config(), key):
            raise ConfigError(
                f"{origin}: {key} is not for a file; without one, 'torq up' plays sample data"
            )
    check(config, origin)
    return config


def sample(*, speed: str = "1", port: int = 8700, venue_port: int = 0) -> Config:
    """The configuration of sample mode: the recordings, and top-tier taker fees."""
    base = f"127.0.0.1:{venue_port}"
    pools = load_header()
    config = Config(
        venues={
            "coinbase": VenueConfig(
                url=f"ws://{base}/coinbase",
                rest_url=f"http://{base}/coinbase",
                symbols=("BTC-USD", "ETH-USD"),
                taker_fee_pips=500,
            ),
            "gemini": VenueConfig(
                url=f"ws://{base}/gemini/v2/marketdata",
                rest_url=f"http://{base}/gemini",
                symbols=("BTCUSD", "ETHUSD", "SOLUSD"),
                taker_fee_pips=300,
            ),
        },
        chains={
            "sample": ChainConfig(
                chain_id=pools.chain_id,
                rpc_urls=(f"ws://{base}/evm",),
                native=pools.native,
                profit_tokens=tuple(pools.profit_tokens),
                pools=tuple(pools.pools),
                vault=pools.vault,
                requests_per_second=10_000,
            )
        },
        console=ConsoleConfig(port=port),
        is_sample=True,
        sample_speed=speed,
        sample_port=venue_port,
    )
    check(config, "sample configuration")
    return config


def check(config: Config, origin: str) -> None:
    """Raises :class:`ConfigError` saying where in ``origin`` and what."""

    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise ConfigError(f"{origin}: {problem}")

    known = ", ".join(sorted(ADAPTERS))
    require(
        bool(config.venues or config.chains),
        f"neither venues nor chains; name a chain, or at least one of {known}",
    )
    for name, venue in config.venues.items():
        require(name in ADAPTERS, f"unknown venue {name!r}; known are {known}")
        _check_venue(name, venue, require)
    by_venue: dict[Venue, str] = {}
    for name in config.venues:
        other = by_venue.setdefault(ADAPTERS[name].venue, name)
        require(other == name, f"venues.{name} and venues.{other} are the same exchange; keep one")
    seen: dict[int, str] = {}
    for name, chain in config.chains.items():
        check_chain(name, chain, origin)
        other = seen.setdefault(chain.chain_id, name)
        require(other == name, f"chains.{name} and chains.{other} are both chain {chain.chain_id}")
    for section, key, lowest, highest in _BOUNDS:
        number = getattr(getattr(config, section), key)
        require(
            lowest <= number <= highest,
            f"{section}.{key} is {number}; expected {lowest} to {highest}",
        )
    ring, memory = config.relays.ring_mib, _memory_mib()
    require(
        2 * ring <= memory,
        f"relays.ring_mib is {ring}; expected at most half of this machine's {memory} MiB",
    )
    port = config.sample_port
    require(0 <= port <= 65_535, f"sample_port is {port}; expected 0 to 65535")
    for section, key, is_positive in _AMOUNTS:
        text = getattr(getattr(config, section), key)
        amount = _amount(text, f"{origin}: {section}.{key}")
        require(amount.mantissa >= 0, f"{section}.{key} is {text}; expected no negative amount")
        require(amount.mantissa > 0 or not is_positive, f"{section}.{key} is {text}; expected more")
    speed = _amount(config.sample_speed, f"{origin}: sample.speed")
    require(speed.mantissa > 0, f"speed is {config.sample_speed}; expected more than 0, such as 1")
    _check_quotes(config.strategy.equal_quotes, require)


_Require = Callable[[bool, str], None]


def _check_venue(name: str, venue: VenueConfig, require: _Require) -> None:
    require(bool(venue.symbols), f"venues.{name}.symbols is empty")
    for symbol in venue.symbols:
        require(
            _is_symbol(symbol),
            f"venues.{name}.symbols has {symbol!r}; expected printable characters without spaces,"
            f" 1 to {_SYMBOL_BYTES} bytes in UTF-8",
        )
    require(
        len(set(venue.symbols)) == len(venue.symbols),
        f"venues.{name}.symbols names one twice",
    )
    levels = ADAPTERS[name].book_levels
    require(
        venue.book_levels == 0 or venue.book_levels in levels,
        f"venues.{name}.book_levels is {venue.book_levels}; expected"
        f" {', '.join(map(str, levels)) or 'none: all levels are followed'}",
    )
    require(
        -1 <= venue.audit_seconds <= 86_400,
        f"venues.{name}.audit_seconds is {venue.audit_seconds}; expected 0 to 86400, or -1",
    )
    require(
        0 <= venue.taker_fee_pips < 100_000,
        f"venues.{name}.taker_fee_pips is {venue.taker_fee_pips}; expected 0 to 99999"
        " (hundredths of a basis point)",
    )
    for key, url, schemes in (
        ("url", venue.url, ("ws", "wss")),
        ("rest_url", venue.rest_url, ("http", "https")),
    ):
        problem = url_problem(url, schemes)
        require(not problem, f"venues.{name}.{key} is {url!r}; {problem}")


def _check_quotes(groups: tuple[tuple[str, ...], ...], require: _Require) -> None:
    where = "strategy.equal_quotes"
    require(
        all(len(group) > 1 for group in groups),
        f"{where}: each group needs at least two currencies",
    )
    for currency, count in Counter(name for group in groups for name in group).items():
        require(
            _is_symbol(currency),
            f"{where} has {currency!r}; expected a currency such as USD",
        )
        require(
            count == 1,
            f"{where} names {currency} {count} times; expected once: what equals it is one group",
        )


def _is_symbol(text: str) -> bool:
    """Whether it may be that of a pair, or of a currency; as identifiers have them."""
    is_word = bool(text) and text.isprintable() and " " not in text
    return is_word and len(text.encode()) <= _SYMBOL_BYTES


def _amount(text: str, where: str) -> Decimal64:
    try:
        return Decimal64.parse(text)
    except PrecisionError as error:
        raise ConfigError(f"{where}: {error}") from error


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
