"""Which pools are followed: those named, those that factories made, and those on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pool_messages import POOL, TOKENS, sync
from scripted_chain import ScriptedChain, log_of, word

from torq_codec import format_instrument
from torq_services.adapters.chain.cache import MetadataCache
from torq_services.adapters.chain.logs import PAIR_CREATED
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_types import InstrumentId, Venue

FACTORY = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x05" * 20)
NAME = format_instrument(FACTORY)
MADE = [InstrumentId.pool(Venue.SUSHISWAP_V2, 1, bytes([n]) * 20) for n in range(0x20, 0x25)]


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedChain:
    """Blocks 10 to 14, in each of which a pool was made."""
    found = ScriptedChain(monkeypatch, tmp_path)
    for number, pool in enumerate(MADE, 10):
        block = found.head if number == 10 else found.add(number)
        block.logs.append(created(number, pool))
        block.reserves[pool] = number
        found.add_pool(pool)
    found.head.reserves |= dict(zip(MADE, range(10, 15), strict=True))
    found.settings = msgspec.structs.replace(found.settings, factories=(FACTORY,), pools=())
    return found


def created(number: int, pool: InstrumentId) -> dict[str, Any]:
    log = log_of(sync(1, number, 3, pool=pool))
    return log | {
        "address": "0x" + FACTORY.body.hex(),
        "topics": ["0x" + t.hex() for t in (PAIR_CREATED, bytes(12) + b"\1" * 20, bytes(32))],
        "data": "0x" + (bytes(12) + pool.body + word(1)).hex(),
    }


def scans(chain: ScriptedChain) -> list[tuple[int, int]]:
    """From which to which block logs were asked for."""
    return [
        (int(query["fromBlock"], 16), int(query["toBlock"], 16))
        for method, query in chain.asked
        if method == "eth_getLogs" and "fromBlock" in query
    ]


def followed(chain: ScriptedChain) -> list[InstrumentId]:
    return list(chain.feed.market.entries)


def saved(chain: ScriptedChain) -> MetadataCache:
    return MetadataCache(chain.folder / "pools.json")


def test_a_factory_s_logs_are_searched_and_its_pools_followed(chain: ScriptedChain) -> None:
    async def story() -> None:
        assert followed(chain) == MADE
        assert scans(chain) == [(0, 14)]
        query = next(query for method, query in chain.asked if method == "eth_getLogs")
        assert query["address"] == "0x" + FACTORY.body.hex()

    chain.run(story)
    assert saved(chain).of_factory(Venue.SUSHISWAP_V2) == MADE
    assert saved(chain).scanned == {NAME: 6}, "the last 8 blocks may still be abandoned"


def test_after_a_restart_only_what_is_new_is_searched(chain: ScriptedChain) -> None:
    async def first() -> None:
        assert scans(chain) == [(11, 14)]
        assert followed(chain) == MADE[1:]

    chain.run(first, factory_from_block=11, history_blocks=2)
    assert saved(chain).scanned == {NAME: 12}
    chain.asked.clear()

    async def second() -> None:
        assert scans(chain) == [(12, 14)]
        assert followed(chain) == MADE[1:]
        assert not [query for method, query in chain.asked if "0x0dfe1681" in str(query)], (
            "token0()"
        )

    chain.run(second)


def test_the_last_block_is_searched_too(chain: ScriptedChain) -> None:
    async def story() -> None:
        assert scans(chain) == [(14, 14)]
        assert followed(chain) == MADE[4:]

    chain.run(story, factory_from_block=14)


def test_long_ranges_are_searched_in_steps(chain: ScriptedChain) -> None:
    chain.add(25_000)

    async def story() -> None:
        assert scans(chain) == [(0, 9999), (10_000, 19_999), (20_000, 25_000)]
        assert followed(chain) == MADE

    chain.run(story)
    assert saved(chain).scanned == {NAME: 24_992}


def test_a_node_that_refuses_so_many_blocks_is_asked_for_fewer(chain: ScriptedChain) -> None:
    def override(method: str, parameters: Sequence[Any]) -> Any:
        if method != "eth_getLogs" or "fromBlock" not in parameters[0]:
            return None
        first, last = (int(parameters[0][key], 16) for key in ("fromBlock", "toBlock"))
        return RuntimeError("query returned too much") if last - first >= 2500 else None

    chain.add(6000)
    chain.override = override

    async def story() -> None:
        assert scans(chain) == [(0, 6000), (0, 4999), (0, 2499), (2500, 4999), (5000, 6000)]
        assert followed(chain) == MADE

    chain.run(story)


def test_a_node_that_refuses_a_single_block_is_left(chain: ScriptedChain) -> None:
    chain.override = lambda method, parameters: (
        RuntimeError("no logs here") if method == "eth_getLogs" else None
    )

    async def story() -> None:
        assert chain.feed.faults == {"CallError": 1}
        assert chain.feed.last_doubt == "disconnected: eth_getLogs: no logs here"
        steps = [last - first + 1 for first, last in scans(chain)]
        assert steps == [15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 9, 4, 2, 1]

    chain.run(story)


def test_no_more_pools_are_followed_than_is_allowed(chain: ScriptedChain) -> None:
    async def story() -> None:
        assert followed(chain) == MADE[:3]

    chain.run(story, max_pools=3)
    chain.asked.clear()

    async def again() -> None:
        assert followed(chain) == MADE[:2]
        assert scans(chain) == [], "there are enough"

    chain.run(again, max_pools=2)


def test_pools_are_known_from_disk_where_they_are(chain: ScriptedChain) -> None:
    cache = saved(chain)
    known = PoolMetadata(POOL, TOKENS, (18, 18), 25, 10_000, symbols=("AAA", "BBB"))
    cache.put(known)
    cache.save()
    chain.head.reserves[POOL] = 5

    async def story() -> None:
        value = chain.feed.market.value(POOL)
        assert (getattr(value, "fee_numerator", 0)) == 9975
        assert "0x313ce567" not in str(chain.asked), "decimals()"

    chain.run(story, pools=(POOL,), factories=())


def test_pools_on_disk_of_a_factory_that_was_never_searched_wait_for_the_search(
    chain: ScriptedChain,
) -> None:
    cache = saved(chain)
    stranger = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x77" * 20)
    cache.put(PoolMetadata(stranger, TOKENS, (18, 18), 3, 1000, symbols=("AAA", "BBB")))
    cache.save()

    async def story() -> None:
        assert followed(chain) == MADE

    chain.run(story)


def test_what_cannot_be_read_is_counted_and_left_out(chain: ScriptedChain) -> None:
    broken = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\x66" * 20)
    unknown = InstrumentId.pool(Venue.UNISWAP_V4, 1, b"\x66" * 32)
    chain.head.reserves[POOL] = 5

    async def story() -> None:
        assert followed(chain) == [POOL]
        assert chain.feed.faults == {"unreadable_pools": 2}
        assert chain.feed.state == "in step"

    chain.run(story, pools=(broken, POOL, unknown, POOL), factories=())
    assert saved(chain).get(broken) is None
