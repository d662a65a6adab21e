from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from torq_services.instance import config as configuration
from torq_services.instance.config import check, sample
from torq_services.instance.folder import Instance
from torq_types import ConfigError, InstrumentId, TorqError, Venue

EXAMPLE = (resources.files("torq_services.instance") / "torq.example.toml").read_text()


def test_the_example_is_sound_and_goes_live_on_paper_without_keys() -> None:
    config = configuration.decode(EXAMPLE.encode())
    assert not config.is_sample
    assert config.execution.mode == "paper"
    assert config.fees_pips() == {
        Venue.COINBASE: 6000,
        Venue.GEMINI: 4000,
        Venue.KRAKEN: 4000,
        Venue.BINANCE: 1000,
    }
    assert all(venue.url.startswith("wss://") for venue in config.venues.values())
    assert "key" not in EXAMPLE.replace("no keys needed", "")


def test_the_example_names_every_default_as_it_is() -> None:
    written = configuration.decode(EXAMPLE.encode())
    bare = configuration.decode(EXAMPLE.partition("# --- Strategy: between")[0].encode())
    assert written == bare


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[venues.coinbase]", "[venues.coinbaze]", "unknown venue 'coinbaze'; known are"),
        ("taker_fee_pips = 6000", "taker_fee_pips = 0.6", "Expected `int`"),
        ("taker_fee_pips = 6000", "taker_fee_pips = -1", "expected 0 to 99999"),
        ('symbols = ["BTC-USD", "ETH-USD"]', "symbols = []", "symbols is empty"),
        ('["BTC/USD", "ETH/USD"]', '["BTC/USD", "BTC/USD"]', "names one twice"),
        ("# book_levels = 1000 ", "book_levels = 11 ", "expected 10, 25, 100, 500, 1000"),
        ("# book_levels = 5000 ", "audit_seconds = -2 ", "audit_seconds is -2"),
        ("[venues.binance]", "[venues.kraken_v1]", "are the same exchange; keep one"),
        ('url = "wss://adv', 'url = "https://adv', "venues.coinbase.url"),
        ('max_notional = "10000"', "max_notional = 10000.0", "Expected `str`"),
        ('max_notional = "10000"', 'max_notional = "1e4"', "strategy.max_notional"),
        ('max_notional = "10000"', 'max_notional = "-1"', "no negative amount"),
        ("port = 8700", "port = 99999", "console.port"),
        ("port = 8700", "prot = 8700", "prot"),
        ('mode = "paper"', 'mode = "real"', "mode"),
        ("[console]", "[console", "torq init"),
        ("chain_id = 137", "chain_id = 0", "chain_id is 0"),
        ("chain_id = 137", "chain_id = 1", "is no token of chain 1"),
        ('"wss://polygon', '"https://polygon', "expected ws:// or wss://"),
        ('["wss://polygon-bor-rpc.publicnode.com"]', "[]", "rpc_urls is empty"),
        ("0x45dDa9cb7c25131D", "0x45dDA9cb7c25131D", "checksum"),
        ('"uniswap_v3@137:0x45', '"uniswap_v9@137:0x45', "uniswap_v9"),
        ('native = "token@137', 'native = "uniswap_v3@137', "is no token of chain 137"),
        ("[chains.polygon]", '[chains."poly gon"]', "letters, digits"),
        ("[chains.polygon]", '[chains."ñandú"]', "all of ASCII"),
        ("[chains.polygon]", f"[chains.{'a' * 65}]", "1 to 64 letters"),
        ("requests_per_second = 25", "requests_per_second = 0", "expected 1 to 1000000"),
        ("# history_blocks = 128 ", f"history_blocks = {2**62} ", "expected 1 to 100000"),
        ("# max_gap_blocks = 512 ", "max_gap_blocks = -1 ", "expected 0 to 100000"),
        ('"wss://polygon-bor-rpc.publicnode.com"', '"wss://"', "and a host"),
        ('"wss://ws.kraken.com/v2"', '"wss://"', "venues.kraken.url is 'wss://'"),
        ('"wss://ws.kraken.com/v2"', '"wss://a b/"', "and a host"),
        ('"wss://ws.kraken.com/v2"', '"wss://a:99999/"', "Port out of range"),
        ('"https://api.kraken.com"', '"https:///0"', "venues.kraken.rest_url"),
        ('["BTC/USD", "ETH/USD"]', '["BTC/USD", ""]', "symbols has ''"),
        ('["BTC/USD", "ETH/USD"]', '["BTC\\n/USD"]', "printable characters"),
        ("# book_levels = 5000 ", "audit_seconds = 86401 ", "expected 0 to 86400"),
        ('max_notional = "10000"', 'max_notional = "0"', "strategy.max_notional is 0"),
        ('max_notional = "25000"', 'max_notional = "0.0"', "execution.max_notional is 0.0"),
        ("# equal_quotes = [[", "equal_quotes = [[], [", "at least two currencies"),
        ("# equal_quotes = [[", 'equal_quotes = [["EUR", "EUR"], [', "names EUR 2 times"),
        ("# equal_quotes = [[", 'equal_quotes = [["USD", "USDT"], [', "names USD 2 times"),
        ("# equal_quotes = [[", 'equal_quotes = [["", "USDT"], [', "has ''"),
        ("[venues.coinbase]", "is_sample = true\n[venues.coinbase]", "is_sample is not for a file"),
        ("[venues.coinbase]", "sample_port = -1\n[venues.coinbase]", "sample_port is not for"),
        ("[venues.coinbase]", 'sample_speed = "2"\n[venues.coinbase]', "sample_speed is not for"),
        ("requests_per_second = 25", 'vault = "0x12"', "expected an address"),
        ("max_hops = 3", "max_hops = 5", "expected 2 to 4"),
    ],
)
def test_a_mistake_is_named_where_it_stands(old: str, new: str, problem: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(ConfigError) as error:
        configuration.decode(EXAMPLE.replace(old, new, 1).encode())
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("section", "key", "lowest", "highest"),
    [
        ("strategy", "time_to_live_ms", 1, 3_600_000),
        ("strategy", "update_interval_ms", 0, 3_600_000),
        ("strategy", "max_quiet_ms", 1, 86_400_000),
        ("flash_arbitrage", "time_to_live_ms", 1, 3_600_000),
        ("flash_arbitrage", "update_interval_ms", 0, 3_600_000),
        ("execution", "max_orders_per_minute", 2, 1_000_000),
        ("execution", "cooldown_ms", 0, 86_400_000),
        ("relays", "connections", 8, 65_536),
        ("console", "port", 1, 65_535),
    ],
)
def test_numbers_have_bounds(section: str, key: str, lowest: int, highest: int) -> None:
    venues = EXAMPLE.partition("# --- Strategy: between")[0]

    def decoded(number: int) -> int:
        text = f"{venues}\n[{section}]\n{key} = {number}\n"
        config = configuration.decode(text.encode())
        found: int = getattr(getattr(config, section), key)
        return found

    for number in (lowest, highest):
        assert decoded(number) == number
    for number in (lowest - 1, highest + 1, 2**63 - 1, 10**30):
        with pytest.raises(
            ConfigError, match=rf"{section}\.{key} is {number}; expected {lowest} to"
        ):
            decoded(number)


def test_the_ring_leaves_half_of_the_memory_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_memory_mib", lambda: 127)
    with pytest.raises(ConfigError, match=r"ring_mib is 64; expected at most half of .* 127 MiB"):
        configuration.decode(EXAMPLE.encode())
    monkeypatch.setattr(configuration, "_memory_mib", lambda: 128)
    assert configuration.decode(EXAMPLE.encode()).relays.ring_mib == 64


def test_a_chain_needs_something_to_follow_and_a_name_of_its_own() -> None:
    chain = """
[chains.{}]
chain_id = 137
rpc_urls = ["ws://127.0.0.1:1"]
native = "token@137:0x0d500B1d8E8eF31E21C99d1Db9A6444d3ADf1270"
{}
"""
    pools = 'pools = ["uniswap_v3@137:0x45dDa9cb7c25131DF268515131f647d726f50608"]'
    with pytest.raises(ConfigError, match="nothing to follow"):
        configuration.decode(chain.format("a", "").encode())
    with pytest.raises(ConfigError, match=r"chains\.b and chains\.a are both chain 137"):
        configuration.decode((chain.format("a", pools) + chain.format("b", pools)).encode())
    config = configuration.decode(chain.format("a", pools).encode())
    names = [spec.name for spec in Instance.services(config)]
    assert "chain-a" in names
    assert "strategy-flash-arbitrage" in names
    assert "strategy-cross-exchange" not in names


@pytest.mark.parametrize("symbol", ["币安人生USDT", "Ω", "a" * 32, "币" * 10])
def test_a_symbol_is_what_an_identifier_may_hold(symbol: str) -> None:
    settings = sample()
    venue = msgspec.structs.replace(settings.venues["gemini"], symbols=(symbol,))
    check(msgspec.structs.replace(settings, venues={"gemini": venue}), "here")
    InstrumentId.pair(Venue.GEMINI, symbol)


@pytest.mark.parametrize("symbol", ["", "a b", "a\n", "\u202e", "\u3000", "a" * 33, "币" * 11])
def test_a_symbol_that_no_identifier_may_hold_is_refused(symbol: str) -> None:
    settings = sample()
    venue = msgspec.structs.replace(settings.venues["gemini"], symbols=(symbol,))
    with pytest.raises(ConfigError, match="expected printable characters without spaces"):
        check(msgspec.structs.replace(settings, venues={"gemini": venue}), "here")
    with pytest.raises(TorqError):
        InstrumentId.pair(Venue.GEMINI, symbol)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        configuration.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError):
        configuration.decode(b"\xff\xfe")
    with pytest.raises(ConfigError, match="neither venues nor chains"):
        configuration.decode(b"venues = {}")


def test_brackets_without_end() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # other tests' libraries raise it
    try:
        with pytest.raises(ConfigError, match="brackets within brackets"):
            configuration.decode(b"a=" + b"[" * 5000 + b"]" * 5000)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "1e3"])
def test_speeds_that_make_no_sense(speed: str) -> None:
    with pytest.raises(ConfigError, match="speed"):
        configuration.sample(speed=speed)


def test_an_instance_keeps_its_configuration_to_itself(runtime_dir: Path) -> None:
    instance = Instance(runtime_dir / "one")
    with pytest.raises(ConfigError, match="no Torq instance"):
        instance.config()
    config = configuration.sample(venue_port=1234)
    instance.prepare(config)
    assert instance.config() == config
    assert oct(instance.config_path.stat().st_mode)[-3:] == "600"
    names = [spec.name for spec in instance.services(config)]
    assert names[:4] == ["relay-market-data", "relay-signal", "relay-execution", "sample-venues"]
    assert names[-1] == "console"
    instance.config_path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        instance.config()
