"""The parts of the EVM feed on their own: cache, blocks, log answers, pools by messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from pool_messages import POOL, TOKENS, block_hash, complete, state, sync

from torq_amm import ConstantProductPool
from torq_services.adapters.chain.blocks import (
    BlockHeader,
    BlockHistory,
    BrokenChainError,
    read_header,
)
from torq_services.adapters.chain.bloom import may_contain_any
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.logs import PAIR_CREATED, LogFilter, checked
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_services.adapters.chain.rpc import RateLimit
from torq_services.state import PoolMarket
from torq_services.state.pool_values import decimal_text, state_of
from torq_types import (
    InstrumentId,
    InvalidationReason,
    MalformedEventError,
    StalePoolError,
    StateInvalidation,
    Venue,
)


def header(number: int, branch: int = 0, parent_branch: int | None = None) -> BlockHeader:
    before = branch if parent_branch is None else parent_branch
    return BlockHeader(number, block_hash(number, branch), block_hash(number - 1, before), 0, 0)


def reserve_of(market: PoolMarket) -> int:
    value = market.value(POOL)
    assert isinstance(value, ConstantProductPool)
    return value.reserve0


def following() -> PoolMarket:
    """A market that has block 10, and the pool at its end."""
    market = PoolMarket(history_blocks=4)
    market.apply(complete(10))
    market.apply(state(100, 10))
    return market


def test_an_event_counts_when_its_block_is_complete() -> None:
    market = following()
    market.apply(sync(101, 11))
    market.apply(sync(102, 11, 1))
    assert reserve_of(market) == 100
    assert set(market.apply(complete(11)).changed) == {POOL}
    assert reserve_of(market) == 102


def test_pools_change_in_the_order_of_their_events() -> None:
    pools = [InstrumentId.pool(Venue.UNISWAP_V2, 1, bytes([n]) * 20) for n in range(1, 21)]
    market = PoolMarket()
    for pool in pools:
        value = ConstantProductPool(pool, TOKENS[0], TOKENS[1], 100, 100)
        market.apply(state_of(value, 10, block_hash(10), (18, 18)))
    market.apply(complete(10))
    for pool in reversed(pools):
        market.apply(msgspec.structs.replace(sync(101, 11), pool=pool))
    assert list(market.apply(complete(11)).changed) == pools[::-1]
    assert list(market.lose(None, InvalidationReason.SILENT)) == pools


def test_an_event_that_comes_again_is_counted_and_changes_nothing() -> None:
    market = following()
    for event in (sync(101, 11), complete(11), sync(50, 11), sync(50, 10), complete(12)):
        market.apply(event)
    assert market.faults["repeated"] == 2
    assert reserve_of(market) == 101


def test_a_reorganisation_goes_back_to_the_common_block() -> None:
    market = following()
    for number in (11, 12, 13):
        market.apply(sync(90 + number, number))
        market.apply(complete(number))
    update = market.apply(
        StateInvalidation(POOL, 11, 0, InvalidationReason.REORGANISED, "2 blocks")
    )
    assert set(update.rolled_back) == {POOL}
    assert reserve_of(market) == 101
    market.apply(sync(7, 12, branch=1))
    market.apply(complete(12, 1, 0))
    assert reserve_of(market) == 7
    assert market.faults == {}


def test_deeper_than_what_is_kept_is_stale_until_a_state_comes() -> None:
    market = following()
    for number in range(11, 20):
        market.apply(sync(90 + number, number))
        market.apply(complete(number))
    market.apply(StateInvalidation(POOL, 11, 0, InvalidationReason.REORGANISED, ""))
    with pytest.raises(StalePoolError, match="reorganised"):
        market.value(POOL)
    market.apply(complete(12, 1, 0))
    market.apply(state(5, 12, 1))
    assert reserve_of(market) == 5


def test_a_block_that_does_not_follow_makes_every_pool_of_the_chain_stale() -> None:
    market = following()
    market.apply(complete(12))
    with pytest.raises(StalePoolError, match="sequence_gap"):
        market.value(POOL)
    assert market.faults["unlinked"] == 1


def test_blocks_that_vanish_without_a_word_make_stale_what_they_had_changed() -> None:
    market = following()
    market.apply(sync(101, 11))
    market.apply(complete(11))
    update = market.apply(complete(11, 1, 0))
    assert POOL in update.rolled_back
    with pytest.raises(StalePoolError):
        market.value(POOL)


def test_a_state_that_contradicts_is_counted_and_believed() -> None:
    market = following()
    market.apply(state(99, 10))
    assert market.faults["contradicted"] == 1
    assert reserve_of(market) == 99


def test_a_history_takes_only_what_follows() -> None:
    history = BlockHistory(3)
    for number in range(5, 10):
        history.append(header(number))
    assert not history.knows(block_hash(6))
    with pytest.raises(BrokenChainError, match="block 11 follows"):
        history.append(header(11))
    with pytest.raises(BrokenChainError):
        history.append(header(10, 1))
    dropped = history.abandon(8)
    assert [block.number for block in dropped] == [9]
    history.append(header(9, 1, 0))
    assert history.at(9) == header(9, 1, 0)
    assert history.at(5) is None


@pytest.mark.parametrize(
    "fields", [{}, {"number": "0xg", "hash": "0x", "parentHash": "0x", "timestamp": "0x1"}]
)
def test_what_is_no_header_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BrokenChainError, match="not a block's header"):
        read_header(fields)


def entry(index: int, **changes: Any) -> dict[str, Any]:
    """A log as a node answers it."""
    values: dict[str, Any] = {
        "address": "0x" + "09" * 20, "topics": ["0x" + "11" * 32], "data": "0x",
        "blockNumber": "0x1", "blockHash": "0x" + "22" * 32,
        "transactionHash": "0x" + "33" * 32, "transactionIndex": "0x0",
        "logIndex": hex(index), "removed": False,
    }  # fmt: skip
    return values | changes


def test_a_block_s_logs_come_out_in_order_each_once() -> None:
    faults: Counter[str] = Counter()
    answer = [entry(3), entry(1), entry(1), entry(2, address="0x" + "08" * 20)]
    logs = checked(answer, b"\x22" * 32, {b"\x09" * 20}, faults)
    assert [log.log_index for log in logs] == [1, 3]
    assert faults == {"disordered_logs": 1, "repeated_logs": 1, "unasked_logs": 1}
    for bad in ([entry(1), entry(1, data="0x01")], [entry(1, blockHash="0x" + "44" * 32)], None):
        with pytest.raises(MalformedEventError):
            checked(bad, b"\x22" * 32, {b"\x09" * 20}, faults)


def test_a_factory_s_new_pool_is_recognised() -> None:
    factory = InstrumentId.pool(Venue.QUICKSWAP_V2, 1, b"\x05" * 20)
    wanted = LogFilter(bytes(20), [factory])
    payload = "0x" + "00" * 12 + "07" * 20 + "00" * 32
    log = entry(
        0, address="0x" + "05" * 20, topics=["0x" + PAIR_CREATED.hex(), "0x", "0x"], data=payload
    )
    log["topics"] = ["0x" + PAIR_CREATED.hex(), "0x" + "00" * 32, "0x" + "00" * 32]
    (parsed,) = checked([log], b"\x22" * 32, wanted.addresses, Counter())
    created = wanted.created(parsed, 1)
    assert created == InstrumentId.pool(Venue.QUICKSWAP_V2, 1, b"\x07" * 20)
    assert wanted.owner(parsed) is None
    wanted.add(created)
    assert "0x" + "07" * 20 in wanted.parameters()["address"]


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=5))
def test_a_bloom_never_denies_what_it_holds(addresses: list[bytes]) -> None:
    bloom = 0
    for address in addresses:
        digest = keccak(address)
        for place in (0, 2, 4):
            bloom |= 1 << (int.from_bytes(digest[place : place + 2], "big") & 2047)
    for address in addresses:
        assert may_contain_any(bloom.to_bytes(256, "big"), [address])
    assert not may_contain_any(bytes(255) + b"\x01", addresses)


METADATA = PoolMetadata(POOL, TOKENS, (18, 6), 3, 1000, 0, (10**18, 10**30), ("WETH", 'US"D'))


def test_metadata_is_read_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "pools.json"
    cache = MetadataCache(path)
    cache.put(METADATA)
    cache.scanned["factory"] = 17
    cache.save()
    again = MetadataCache(path)
    assert again.get(POOL) == METADATA
    assert again.of_factory(Venue.UNISWAP_V2) == [POOL]
    assert again.scanned == {"factory": 17}
    assert not again.is_rebuilt
    assert [child.name for child in tmp_path.iterdir()] == ["pools.json"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other"])
def test_a_damaged_cache_is_noticed_and_not_trusted(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pools.json"
    cache = MetadataCache(path)
    cache.put(METADATA)
    cache.save()
    content = path.read_bytes()
    damaged = {
        "flipped": content.replace(b"1000", b"1001"), "cut": content[:-20], "empty": b"",
        "other": b'{"format":3,"sha256":"","content":{"pools":[],"scanned":{}}}',
    }  # fmt: skip
    path.write_bytes(damaged[damage])
    again = MetadataCache(path)
    assert again.is_rebuilt
    assert again.get(POOL) is None
    again.put(METADATA)
    again.save()
    assert not MetadataCache(path).is_rebuilt


async def test_requests_wait_for_their_rate() -> None:
    limit = RateLimit(1000)
    await limit.take(1000)
    waiting = asyncio.create_task(limit.take(200))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.wait_for(waiting, 10)


@given(st.fractions(min_value=Fraction(1, 10**30), max_value=10**30))
def test_prices_for_people_keep_their_first_digits(value: Fraction) -> None:
    shown = Fraction(decimal_text(value))
    assert 0 <= value - shown <= value / 10**7
    digits = decimal_text(value).replace(".", "").strip("0")
    assert len(digits) <= max(8, len(str(int(value))))
