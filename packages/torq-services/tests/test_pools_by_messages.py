"""Pools that are followed by messages: what counts once, what is void, what is told of it."""

from __future__ import annotations

import msgspec
import pytest
from pool_messages import POOL, TOKENS, block_hash, complete, state, sync

from torq_amm import ConstantProductPool
from torq_services.state import ChainBlock, PoolMarket
from torq_services.state.pools import PoolEntry
from torq_types import (
    GasPrice,
    InstrumentId,
    InvalidationReason,
    PoolBurn,
    PoolPayment,
    PoolPaymentKind,
    StalePoolError,
    StateInvalidation,
    Venue,
)

OTHER = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x0a" * 20)
ELSEWHERE = InstrumentId.pool(Venue.QUICKSWAP_V2, 137, b"\x0b" * 20)


def following(*others: InstrumentId) -> PoolMarket:
    """A market that has block 10 of each chain, and the pools at its end."""
    market = PoolMarket(history_blocks=4)
    market.apply(complete(10))
    market.apply(complete(10, chain_id=137))
    for pool in (POOL, *others):
        assert list(market.apply(state(100, 10, pool=pool)).changed) == [pool]
    return market


def reserve_of(market: PoolMarket, pool: InstrumentId = POOL) -> int:
    value = market.value(pool)
    assert isinstance(value, ConstantProductPool)
    return value.reserve0


def reorganised(ancestor: int, pool: InstrumentId = POOL) -> StateInvalidation:
    return StateInvalidation(pool, ancestor, 0, InvalidationReason.REORGANISED, "")


def test_of_one_block_s_events_each_counts_once() -> None:
    market = following()
    for event in (sync(101, 11, 3), sync(50, 11, 3), sync(51, 11, 2), sync(52, 10, 9)):
        market.apply(event)
    assert market.faults == {"repeated": 3}
    market.apply(complete(11))
    assert reserve_of(market) == 101
    assert market.entries[POOL].events == 1
    market.apply(sync(53, 11, 4))
    market.apply(complete(12))
    assert (reserve_of(market), market.faults["repeated"]) == (101, 4)


def test_a_block_in_which_nothing_happened_changes_no_pool() -> None:
    market = following(OTHER)
    market.apply(sync(101, 11))
    assert list(market.apply(complete(11)).changed) == [POOL]
    update = market.apply(complete(12))
    assert (list(update.changed), list(update.rolled_back)) == ([], [])
    assert (market.entries[POOL].block_number, market.entries[OTHER].block_number) == (11, 10)


def test_a_payment_is_an_event_that_leaves_the_pool_as_it_was() -> None:
    """Uniswap V2's reserves follow from its Sync events alone: a burn changes nothing here."""
    market = following()
    market.apply(
        PoolBurn(
            pool=POOL, block_number=11, block_hash=block_hash(11), transaction_hash=bytes(32),
            amount0=1, amount1=1, liquidity=1, log_index=0, tick_lower=0, tick_upper=0,
            owner=bytes(20),
        )
    )  # fmt: skip
    assert market.entries[POOL].events == 1
    assert list(market.apply(complete(11)).changed) == []
    assert market.entries[POOL].block_number == 10


def test_the_last_event_may_be_of_a_block_that_is_not_complete_yet() -> None:
    entry = PoolEntry(POOL, 4)
    assert (entry.block_number, entry.last_event_block) == (-1, -1)
    entry.load(state(100, 10))
    assert (entry.block_number, entry.last_event_block) == (10, 10)
    assert entry.take(sync(101, 11), 11, 0)
    assert (entry.block_number, entry.last_event_block) == (10, 11)
    assert entry.complete(11)
    assert entry.take(sync(102, 12), 12, 0)
    assert entry.last_event_block == 12
    assert entry.roll_back(11)
    assert (entry.block_number, entry.last_event_block) == (11, 11)
    assert entry.roll_back(11)
    assert entry.last_event_block == 11


def test_nothing_leads_back_behind_a_state() -> None:
    entry = PoolEntry(POOL, 4)
    entry.load(state(100, 10))
    entry.load(state(101, 15))
    assert not entry.roll_back(12)
    assert entry.status == "stale"


def test_a_pool_without_a_state_takes_no_event_and_no_block() -> None:
    entry = PoolEntry(POOL, 4)
    assert not entry.take(sync(101, 11), 11, 0)
    assert not entry.complete(11)
    assert not entry.roll_back(5)
    assert entry.reason is InvalidationReason.REORGANISED
    entry.load(state(100, 10))
    entry.invalidate(InvalidationReason.SILENT)
    assert not entry.complete(11)
    assert not entry.roll_back(20)
    assert (entry.status, entry.reason) == ("stale", InvalidationReason.REORGANISED)


def test_a_state_in_the_middle_of_a_block_has_the_logs_up_to_the_one_it_names() -> None:
    market = PoolMarket()
    market.apply(complete(10))
    market.apply(
        msgspec.structs.replace(state(100, 11), transaction_hash=b"\x01" * 32, log_index=5)
    )
    market.apply(sync(50, 11, 5))
    market.apply(sync(101, 11, 6))
    market.apply(complete(11))
    assert (reserve_of(market), market.faults["repeated"]) == (101, 1)


def test_a_state_at_the_end_of_a_block_has_all_of_its_logs() -> None:
    entry = PoolEntry(POOL, 4)
    entry.load(state(100, 10))
    assert not entry.take(sync(50, 10, 7), 10, 7)
    assert entry.take(sync(50, 11, 0), 11, 0)


def test_who_asks_for_a_pool_learns_why_there_is_none() -> None:
    market = PoolMarket()
    with pytest.raises(StalePoolError, match=f"no state of the pool 0x{'09' * 20} was seen"):
        market.value(POOL)
    with pytest.raises(StalePoolError, match="never seen"):
        _ = PoolEntry(POOL, 4).value
    market.apply(sync(101, 11))
    assert market.entries == {}


def test_an_event_that_cannot_be_makes_its_pool_stale() -> None:
    """The contract's reserves are uint112."""
    market = following(OTHER)
    assert list(market.apply(sync(2**112, 11)).changed) == [POOL]
    assert market.faults == {"inconsistent": 1}
    with pytest.raises(StalePoolError, match="inconsistent"):
        market.value(POOL)
    assert list(market.apply(sync(101, 11, 1)).changed) == []
    market.apply(complete(11))
    assert reserve_of(market, OTHER) == 100
    assert market.faults == {"inconsistent": 1}
    assert list(market.apply(state(7, 11)).changed) == [POOL]
    assert reserve_of(market) == 7


def test_a_kind_of_event_that_a_pool_does_not_have_makes_it_stale() -> None:
    market = following()
    market.apply(
        PoolPayment(
            pool=POOL, block_number=11, block_hash=block_hash(11), transaction_hash=bytes(32),
            amount0=1, amount1=1, paid0=0, paid1=0, log_index=0, tick_lower=0, tick_upper=0,
            kind=PoolPaymentKind.COLLECT, sender=bytes(20), recipient=bytes(20),
        )
    )  # fmt: skip
    assert market.faults == {"inconsistent": 1}
    assert market.entries[POOL].status == "stale"


def test_states_are_told_again_for_late_readers_and_change_nothing() -> None:
    market = following()
    assert list(market.apply(state(100, 10)).changed) == []
    market.apply(sync(101, 11))
    assert list(market.apply(state(100, 10)).changed) == []
    market.apply(complete(11))
    assert list(market.apply(state(100, 10)).changed) == [], "of a block that is past"
    assert list(market.apply(state(101, 11)).changed) == []
    assert market.faults == {}
    alone = PoolMarket()
    alone.apply(state(100, 10))
    assert list(alone.apply(state(99, 10)).changed) == [], "no block has been heard of yet"


def test_a_stale_pool_takes_no_state_that_is_older_than_the_last_block() -> None:
    market = following()
    market.apply(complete(11))
    market.lose(None, InvalidationReason.SILENT)
    assert list(market.apply(state(100, 10)).changed) == []
    assert market.faults == {"late_states": 1}
    assert market.entries[POOL].status == "stale"
    assert list(market.apply(state(100, 11)).changed) == [POOL]
    assert market.faults == {"late_states": 1}


@pytest.mark.parametrize("was_verified", [True, False])
def test_a_state_that_cannot_be_is_counted_and_leaves_the_pool_stale(was_verified: bool) -> None:
    market = following()
    if not was_verified:
        market.lose(None, InvalidationReason.SILENT)
    found = state(100, 10)
    twice = msgspec.structs.replace(found, tokens=(found.tokens[0], found.tokens[0]))
    assert list(market.apply(twice).changed) == [POOL]
    assert market.faults["impossible"] == 1
    with pytest.raises(StalePoolError, match="inconsistent"):
        market.value(POOL)


def test_a_block_is_kept_with_all_that_was_said_of_it() -> None:
    market = PoolMarket(history_blocks=2)
    gas = GasPrice(
        block_number=7, chain_id=1, base_fee=30, priority_fee=2, block_hash=b"\x07" * 32,
        parent_hash=b"\x06" * 32, block_timestamp=1_700_000_000,
    )  # fmt: skip
    market.apply(gas)
    assert list(market.blocks[1]) == [
        ChainBlock(7, b"\x07" * 32, b"\x06" * 32, 30, 2, 1_700_000_000)
    ]
    for number in range(1, 200):
        market.apply(complete(number, chain_id=5))
    assert [block.number for block in market.blocks[5]] == [198, 199]
    assert [block.number for block in market.blocks[1]] == [7]
    assert market.faults == {}


def test_the_last_128_blocks_are_kept() -> None:
    market = PoolMarket()
    for number in range(1, 201):
        market.apply(complete(number))
    assert [block.number for block in market.blocks[1]] == list(range(73, 201))


def test_a_block_that_is_announced_again_voids_nothing() -> None:
    market = following()
    market.apply(sync(101, 11))
    market.apply(complete(11))
    update = market.apply(complete(11))
    assert (list(update.changed), list(update.rolled_back)) == ([], [])
    assert reserve_of(market) == 101
    assert [block.number for block in market.blocks[1]] == [10, 11]
    assert market.faults == {}


def test_a_block_in_another_s_place_voids_what_that_one_changed_and_nothing_else() -> None:
    market = following(OTHER, ELSEWHERE)
    market.apply(sync(101, 11))
    market.apply(sync(101, 11, pool=ELSEWHERE))
    market.apply(complete(11))
    market.apply(complete(11, chain_id=137))
    update = market.apply(complete(11, 1, 0))
    assert (list(update.changed), list(update.rolled_back)) == ([POOL], [POOL])
    assert market.entries[POOL].reason is InvalidationReason.REORGANISED
    assert (reserve_of(market, OTHER), reserve_of(market, ELSEWHERE)) == (100, 101)
    again = market.apply(complete(11, 2, 0))
    assert (list(again.changed), list(again.rolled_back)) == ([], [POOL]), "stale already"
    assert [block.block_hash for block in market.blocks[1]] == [block_hash(10), block_hash(11, 2)]


def test_a_missing_block_costs_the_pools_of_its_chain_alone() -> None:
    market = following(OTHER, ELSEWHERE)
    market.apply(sync(101, 12))
    update = market.apply(complete(12))
    assert list(update.changed) == [POOL, OTHER]
    assert list(update.rolled_back) == []
    assert reserve_of(market, ELSEWHERE) == 100
    assert [block.number for block in market.blocks[1]] == [12]
    assert market.faults == {"unlinked": 1}


def test_a_reorganisation_says_for_each_pool_what_is_void() -> None:
    market = following(OTHER)
    for number in (11, 12):
        market.apply(sync(90 + number, number))
        market.apply(complete(number))
    market.apply(sync(200, 13))
    update = market.apply(reorganised(11))
    assert (list(update.changed), list(update.rolled_back)) == ([POOL], [POOL])
    assert [block.number for block in market.blocks[1]] == [10, 11]
    assert reserve_of(market) == 101
    market.apply(sync(77, 11, 9))
    assert market.faults["repeated"] == 1, "block 11 is complete on both branches"
    market.lose(None, InvalidationReason.SILENT)
    again = market.apply(reorganised(10))
    assert (list(again.changed), list(again.rolled_back)) == ([], [POOL])
    assert market.entries[POOL].reason is InvalidationReason.SILENT
    assert [block.number for block in market.blocks[1]] == [10]


def test_events_of_an_abandoned_block_that_was_not_complete_are_gone() -> None:
    market = following()
    market.apply(complete(11))
    market.apply(sync(200, 12))
    market.apply(reorganised(11))
    assert list(market.apply(complete(12, 1, 0)).changed) == []
    assert reserve_of(market) == 100


def test_any_other_doubt_is_told_once() -> None:
    market = following()
    doubt = StateInvalidation(POOL, 10, 0, InvalidationReason.SHUTDOWN, "")
    update = market.apply(doubt)
    assert (list(update.changed), list(update.rolled_back)) == ([POOL], [])
    with pytest.raises(StalePoolError, match="shutdown"):
        market.value(POOL)
    assert list(market.apply(doubt).changed) == []
    unknown = StateInvalidation(OTHER, 10, 0, InvalidationReason.SHUTDOWN, "")
    assert list(market.apply(unknown).changed) == []


def test_what_is_lost_was_verified_and_is_of_the_chains_that_are_meant() -> None:
    market = following(OTHER, ELSEWHERE)
    assert list(market.lose({137, 5}, InvalidationReason.SILENT)) == [ELSEWHERE]
    assert market.entries[POOL].status == "verified"
    assert list(market.lose(None, InvalidationReason.SILENT)) == [POOL, OTHER]
    assert list(market.lose({1}, InvalidationReason.SILENT)) == []


def test_tokens_are_those_of_the_pool_s_chain() -> None:
    market = following()
    assert market.value(POOL).tokens == TOKENS
