"""The small parts of a chain's feed: headers, blocks, blooms, logs and their owners, the cache."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_utils.crypto import keccak
from pool_messages import POOL, TOKENS, block_hash, state, sync
from scripted_chain import log_of, word
from structlog.testing import capture_logs

from torq_codec import format_instrument
from torq_codec.dex import parse_log, topics_of
from torq_services.adapters.chain.blocks import (
    BlockHeader,
    BlockHistory,
    BrokenChainError,
    read_header,
)
from torq_services.adapters.chain.bloom import may_contain_any
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.health import pool_health
from torq_services.adapters.chain.logs import PAIR_CREATED, POOL_CREATED, LogFilter, checked
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_services.adapters.chain.settings import EvmSettings
from torq_services.state.pools import PoolEntry
from torq_types import InstrumentId, InvalidationReason, MalformedEventError, Venue

VAULT = b"\x0c" * 20


def header(number: int, branch: int = 0) -> BlockHeader:
    return BlockHeader(number, block_hash(number, branch), block_hash(number - 1, branch), 20, 1000)


def test_a_header_is_read_from_a_node_s_json() -> None:
    """The fields of Ethereum's JSON-RPC specification."""
    fields: dict[str, Any] = {
        "number": "0x1b4", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32,
        "baseFeePerGas": "0x7", "timestamp": "0x54e34e8e", "logsBloom": "0x" + "33" * 256,
    }  # fmt: skip
    expected = BlockHeader(436, b"\x11" * 32, b"\x22" * 32, 7, 1424182926, b"\x33" * 256)
    assert read_header(fields) == expected
    formatted = {
        "number": 436, "hash": b"\x11" * 32, "parentHash": b"\x22" * 32, "baseFeePerGas": 7,
        "timestamp": 1424182926, "logsBloom": b"\x33" * 256,
    }  # fmt: skip
    assert read_header(formatted) == expected, "as web3 formats it"
    old = {key: value for key, value in fields.items() if key not in ("baseFeePerGas", "logsBloom")}
    assert read_header(old) == msgspec.structs.replace(expected, base_fee=0, logs_bloom=b"")
    for key in ("number", "hash", "parentHash", "timestamp"):
        with pytest.raises(BrokenChainError, match="not a block's header"):
            read_header({k: v for k, v in fields.items() if k != key})
        with pytest.raises(BrokenChainError, match="not a block's header"):
            read_header(fields | {key: None})


def test_an_empty_history_knows_nothing() -> None:
    history = BlockHistory(3)
    assert (history.tip, history.at(0), history.knows(bytes(32))) == (None, None, False)
    assert history.abandon(0) == []
    history.append(header(7))
    assert history.tip == header(7), "the first one follows nothing"


def test_blocks_are_found_by_number_and_hash() -> None:
    history = BlockHistory(3)
    for number in range(5, 9):
        history.append(header(number))
    assert [history.at(n) for n in range(4, 11)] == [
        None, None, header(6), header(7), header(8), None, None,
    ]  # fmt: skip
    assert [history.knows(block_hash(n)) for n in range(5, 10)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert history.abandon(8) == []
    assert history.abandon(6) == [header(8), header(7)]
    assert history.tip == header(6)
    history.restart(header(20))
    assert (history.tip, history.at(6), history.at(20)) == (header(20), None, header(20))


@pytest.mark.parametrize(
    "block",
    [
        header(10), header(8), header(9, 1),
        BlockHeader(10, block_hash(10), block_hash(8), 0, 0),
        BlockHeader(8, block_hash(8, 1), block_hash(8), 0, 0),
    ],
)  # fmt: skip
def test_a_block_that_does_not_follow_is_refused(block: BlockHeader) -> None:
    history = BlockHistory(3)
    history.append(header(8))
    with pytest.raises(BrokenChainError, match=f"block {block.number} follows 0x"):
        history.append(block)
    assert history.tip == header(8)


def bloom_of(*entries: bytes) -> bytes:
    """By the Yellow Paper: three times eleven bits of the Keccak-256, from its first six bytes."""
    bits = 0
    for entry in entries:
        digest = keccak(entry)
        for at in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bits.to_bytes(256, "big")


def test_a_bloom_denies_what_lacks_any_of_its_three_bits() -> None:
    whole = int.from_bytes(bloom_of(POOL.body), "big")
    places = [place for place in range(2048) if whole >> place & 1]
    assert len(places) == 3
    assert may_contain_any(bloom_of(POOL.body), [POOL.body])
    for missing in places:
        assert not may_contain_any((whole & ~(1 << missing)).to_bytes(256, "big"), [POOL.body])
    other = bloom_of(b"\x0a" * 20)
    assert not may_contain_any(other, [POOL.body])
    assert may_contain_any(other, [POOL.body, b"\x0a" * 20])
    assert not may_contain_any(other, [])


def test_a_bloom_that_is_none_denies_nothing() -> None:
    for bloom in (b"", bytes(256), bytes(255), b"\x01" * 255, b"\x01" * 257):
        assert may_contain_any(bloom, [POOL.body])


def test_a_filter_asks_for_its_pools_events_and_nothing_else() -> None:
    wanted = LogFilter(VAULT)
    assert wanted.parameters() == {"address": [], "topics": [[]]}
    wanted.add(POOL)
    other = InstrumentId.pool(Venue.UNISWAP_V3, 1, b"\x04" * 20)
    wanted.add(other)
    topics = sorted({*topics_of(Venue.UNISWAP_V2), *topics_of(Venue.UNISWAP_V3)})
    assert wanted.parameters() == {
        "address": ["0x" + "04" * 20, "0x" + "09" * 20],
        "topics": [["0x" + topic.hex() for topic in topics]],
    }
    log = parse_log(log_of(sync(1, 1)))
    assert wanted.owner(log) == POOL
    assert wanted.owner(msgspec.structs.replace(log, address=b"\x04" * 20)) == other
    assert wanted.owner(msgspec.structs.replace(log, address=b"\x05" * 20)) is None


def test_balancer_s_events_are_the_vault_s_and_name_their_pool() -> None:
    pool = InstrumentId.pool(Venue.BALANCER_V2, 1, b"\x07" * 20 + bytes(12))
    wanted = LogFilter(VAULT)
    wanted.add(pool)
    assert wanted.addresses == {VAULT, b"\x07" * 20}
    log = parse_log(log_of(sync(1, 1)))
    topic = log.topics[0]

    def of(address: bytes, *topics: bytes) -> InstrumentId | None:
        return wanted.owner(msgspec.structs.replace(log, address=address, topics=topics))

    assert of(VAULT, topic, pool.body) == pool
    assert of(VAULT, topic, bytes(32)) is None, "another pool of the Vault's"
    assert of(VAULT, topic) is None
    assert of(b"\x07" * 20, topic) == pool, "its fee changes at its own contract"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        # The pair and how many there are; the tick spacing and the pool.
        (PAIR_CREATED, bytes(12) + b"\x07" * 20 + word(3)),
        (POOL_CREATED, word(60) + bytes(12) + b"\x07" * 20),
    ],
)
def test_a_factory_says_which_pool_it_made(topic: bytes, payload: bytes) -> None:
    factory = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x05" * 20)
    wanted = LogFilter(VAULT, [factory])
    assert set(wanted.parameters()["topics"][0]) == {
        "0x" + PAIR_CREATED.hex(), "0x" + POOL_CREATED.hex(),
    }  # fmt: skip
    log = msgspec.structs.replace(
        parse_log(log_of(sync(1, 1))), address=factory.body, topics=(topic, bytes(32)),
        payload=payload,
    )  # fmt: skip
    made = InstrumentId.pool(Venue.SUSHISWAP_V2, 137, b"\x07" * 20)
    assert wanted.created(log, 137) == made
    for change in (
        {"address": b"\x06" * 20}, {"topics": ()}, {"topics": (bytes(32),)},
        {"payload": payload[:-1]}, {"payload": payload + b"\0"},
    ):  # fmt: skip
        assert wanted.created(msgspec.structs.replace(log, **change), 137) is None


def test_the_events_are_those_of_the_factories_interfaces() -> None:
    """As every explorer shows them."""
    assert PAIR_CREATED.hex().startswith("0d3648bd0f6ba801")
    assert POOL_CREATED.hex().startswith("783cca1c0412dd0d")


def test_each_kind_of_untrue_answer_is_counted_or_refused() -> None:
    own = block_hash(1)
    first, second, third = (log_of(sync(n, 1, n)) for n in (1, 2, 3))
    alien = first | {"address": "0x" + "0a" * 20, "logIndex": "0x9"}
    faults: Counter[str] = Counter()
    answer = [first, alien, third, second, second, third]
    logs = checked(answer, own, {POOL.body}, faults)
    assert [log.log_index for log in logs] == [1, 2, 3]
    assert faults == {"unasked_logs": 1, "repeated_logs": 2, "disordered_logs": 1}
    assert checked([], own, {POOL.body}, faults) == []
    faults.clear()
    assert len(checked([second, third], own, {POOL.body}, faults)) == 2
    assert faults == {}
    with pytest.raises(MalformedEventError, match="found dict"):
        checked({}, own, {POOL.body}, faults)
    with pytest.raises(MalformedEventError, match="asked for the logs of 0x"):
        checked([first], block_hash(2), {POOL.body}, faults)
    with pytest.raises(MalformedEventError, match="two different logs have the index 2"):
        checked([second, third | {"logIndex": "0x2"}], own, {POOL.body}, faults)


METADATA = PoolMetadata(POOL, TOKENS, (18, 6), 3, 1000, 60, (10**18, 10**30), ("WETH", "U"))
OTHER = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x0a" * 20)


def test_a_cache_gives_back_all_that_it_was_given(tmp_path: Path) -> None:
    cache = MetadataCache(tmp_path / "pools.json")
    assert (cache.is_rebuilt, cache.get(POOL), cache.scanned) == (False, None, {})
    cache.put(METADATA)
    other = msgspec.structs.replace(METADATA, instrument=OTHER)
    cache.put(other)
    cache.scanned["factory"] = 7
    assert MetadataCache(tmp_path / "pools.json").get(POOL) is None, "not saved yet"
    cache.save()
    again = MetadataCache(tmp_path / "pools.json")
    assert (again.get(POOL), again.get(OTHER)) == (METADATA, other)
    assert again.of_factory(Venue.UNISWAP_V2) == [POOL]
    assert again.of_factory(Venue.SUSHISWAP_V2) == [OTHER]
    assert again.of_factory(Venue.UNISWAP_V3) == []
    assert (again.scanned, again.is_rebuilt) == ({"factory": 7}, False)


def test_the_cache_is_on_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []

    def fsync(number: int) -> None:
        synced.append((tmp_path / "pools.new").read_bytes())
        assert not (tmp_path / "pools.json").exists()

    monkeypatch.setattr(os, "fsync", fsync)
    cache = MetadataCache(tmp_path / "pools.json")
    cache.put(METADATA)
    cache.save()
    assert synced == [(tmp_path / "pools.json").read_bytes()]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format":3', b'"format":2'), (b'"decimals":[18,6]', b'"decimals":[18,7]'),
        (b'"sha256":"', b'"sha256":"0'), (b'{"format"', b'["format"'),
    ],
)  # fmt: skip
def test_a_cache_that_is_not_as_it_was_written_is_not_believed(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = tmp_path / "pools.json"
    cache = MetadataCache(path)
    cache.put(METADATA)
    cache.scanned["factory"] = 7
    cache.save()
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with capture_logs() as logs:
        again = MetadataCache(path)
    assert [(log["log_level"], log["path"]) for log in logs] == [("warning", str(path))]
    assert (again.is_rebuilt, again.get(POOL), again.scanned) == (True, None, {})


def test_a_cache_with_a_pool_that_cannot_be_is_not_believed(tmp_path: Path) -> None:
    """Its checksum is right: somebody else wrote it so."""
    path = tmp_path / "pools.json"
    cache = MetadataCache(path)
    cache.put(METADATA)
    cache.put(msgspec.structs.replace(METADATA, instrument=OTHER, tokens=(POOL,)))
    cache.save()
    content = msgspec.json.decode(path.read_bytes())["content"]
    content["pools"][1]["tokens"] = ["nonsense"]
    raw = msgspec.json.encode(content)
    digest = hashlib.sha256(raw).hexdigest()
    path.write_bytes(b'{"format":3,"sha256":"%s","content":%s}' % (digest.encode(), raw))
    again = MetadataCache(path)
    assert (again.is_rebuilt, again.get(POOL)) == (True, None)


def test_a_pool_s_account_is_for_people_to_read() -> None:
    entry = PoolEntry(POOL, 4)
    entry.load(state(100, 10))
    entry.take(sync(101, 11), 11, 0)
    found = pool_health(entry, METADATA, is_in_step=True)
    assert (found.pool, found.tokens) == (format_instrument(POOL), "WETH/U")
    assert (found.status, found.price, found.block_number, found.events) == ("verified", "1", 10, 1)
    found = pool_health(entry, METADATA, is_in_step=False)
    assert (found.status, found.price) == ("stale", "")
    nameless = msgspec.structs.replace(METADATA, symbols=("", "U"))
    assert pool_health(entry, nameless, is_in_step=True).tokens == "?/U"
    entry.load(state(0, 12))
    found = pool_health(entry, METADATA, is_in_step=True)
    assert (found.status, found.price) == ("verified", ""), "an empty pool has no price"
    entry.invalidate(InvalidationReason.SILENT)
    assert pool_health(entry, METADATA, is_in_step=True).status == "stale"


def test_the_settings_that_nobody_has_to_give() -> None:
    settings = EvmSettings(name="x", chain_id=1, urls=(), pools=())
    assert (settings.factories, settings.factory_from_block, settings.max_pools) == ((), 0, 1000)
    assert (settings.requests_per_second, settings.history_blocks) == (25, 128)
    assert (settings.max_gap_blocks, settings.verify_blocks, settings.repeat_blocks) == (
        512, 10, 15,
    )  # fmt: skip
    assert (settings.silence_seconds, settings.vault) == (60, bytes(20))
