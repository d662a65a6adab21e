"""Which source maintains what, and what is lost with it: books and pools alike."""

from __future__ import annotations

import pytest
from markets import Source, levels, snapshot
from pool_messages import POOL, complete, state, sync
from samples import BTC_USD, BTCUSD

from torq_amm import ConstantProductPool
from torq_services.state import MarketState
from torq_types import (
    GapCause,
    InvalidationReason,
    L2Delta,
    SequenceGap,
    StalePoolError,
    StateInvalidation,
    SystemHealth,
)

SECOND = 1_000_000_000


def health() -> SystemHealth:
    return SystemHealth(0, 1, "", "{}")


def test_by_default_three_seconds_of_silence_are_believed() -> None:
    """Adapters report their health every second: three of these may be missing."""
    market = MarketState()
    market.apply(Source(1).message(snapshot(BTC_USD)))
    assert list(market.expire(3 * SECOND)) == []
    assert list(market.expire(3 * SECOND + 1)) == [BTC_USD]


def test_a_source_s_health_is_enough_to_be_heard_of() -> None:
    market = MarketState(max_silence_ns=1000)
    source = Source(1, now_ns=10_000)
    market.apply(source.message(snapshot(BTC_USD)))
    source.now_ns = 10_900
    assert list(market.apply(source.message(health()))) == []
    assert list(market.expire(11_800)) == []
    assert market.changed_ns == {BTC_USD: 10_000}


def test_what_other_sources_maintain_stays_when_one_falls_silent() -> None:
    market = MarketState(max_silence_ns=1000)
    market.apply(Source(1, now_ns=10_000).message(snapshot(BTC_USD)))
    market.apply(Source(4, now_ns=10_500).message(snapshot(BTCUSD)))
    assert list(market.expire(11_200)) == [BTC_USD]
    assert market.verified(BTCUSD) is market.books[BTCUSD]
    assert market.verified(BTC_USD) is None


def test_the_same_number_again_is_a_restart() -> None:
    market = MarketState()
    market.apply(Source(1).message(snapshot(BTC_USD)))
    assert list(market.apply(Source(1).message(health()))) == [BTC_USD]
    assert market.books[BTC_USD].reason is InvalidationReason.DISCONNECTED


def test_what_a_restarted_source_brings_with_its_first_message_is_its_own() -> None:
    market = MarketState()
    first = Source(1)
    market.apply(first.message(snapshot(BTC_USD), snapshot(BTCUSD)))
    assert list(market.apply(first.message(health()))) == []
    again = Source(1).message(snapshot(BTC_USD, book_sequence=1))
    assert list(market.apply(again)) == [BTC_USD, BTCUSD]
    assert market.verified(BTC_USD)
    assert not market.verified(BTCUSD)


def test_the_relay_s_own_messages_are_numbered_by_nobody() -> None:
    market = MarketState(max_silence_ns=1000)
    market.apply(Source(1, now_ns=10_000).message(snapshot(BTC_USD)))
    for _ in range(2):
        assert list(market.apply(Source(0).message(health()))) == []
    assert market.verified(BTC_USD)
    assert list(market.expire(10_500)) == []


def test_a_source_that_takes_over_is_the_one_to_lose() -> None:
    market = MarketState()
    first, second = Source(1), Source(7)
    market.apply(first.message(snapshot(BTC_USD)))
    market.apply(second.message(snapshot(BTC_USD)))
    hole = SequenceGap(0, 0, 5, 6, 1, GapCause.SOURCE_HOLE)
    assert list(market.apply(second.message(hole))) == []
    assert market.verified(BTC_USD)


def test_a_book_changed_when_its_source_says() -> None:
    market = MarketState()
    source = Source(1, now_ns=5)
    market.apply(source.message(snapshot(BTC_USD, levels(("1", "1")))))
    source.now_ns = 8
    market.apply(source.message(L2Delta(BTC_USD, 2, 0, 0, levels(("2", "1")), ())))
    assert market.changed_ns == {BTC_USD: 8}
    book = market.verified(BTC_USD)
    assert book is not None
    assert [str(level.price) for _, level in book.bids()] == ["2", "1"]


def with_a_pool() -> tuple[MarketState, Source]:
    market, chain = MarketState(max_silence_ns=1000), Source(9, now_ns=10_000)
    market.apply(chain.message(complete(10)))
    assert list(market.apply(chain.message(state(100, 10)))) == [POOL]
    return market, chain


def test_a_pool_s_messages_change_it_when_its_block_is_complete() -> None:
    market, chain = with_a_pool()
    assert market.completed == set()
    chain.now_ns = 10_100
    assert list(market.apply(chain.message(sync(101, 11)))) == []
    assert market.changed_ns == {POOL: 10_000}
    assert list(market.apply(chain.message(complete(11)))) == [POOL]
    assert market.completed == {1}
    assert market.changed_ns == {POOL: 10_100}
    assert list(market.rolled_back) == []


def test_which_pools_lost_blocks_is_told_with_the_message_that_says_so() -> None:
    market, chain = with_a_pool()
    assert list(market.rolled_back) == []
    market.apply(chain.message(sync(101, 11)))
    market.apply(chain.message(complete(11)))
    void = StateInvalidation(POOL, 10, 0, InvalidationReason.REORGANISED, "")
    assert list(market.apply(chain.message(void))) == [POOL]
    assert list(market.rolled_back) == [POOL]
    assert POOL not in market.books
    market.apply(chain.message(health()))
    assert list(market.rolled_back) == []


def test_a_pool_is_lost_with_its_source() -> None:
    market, _ = with_a_pool()
    market.apply(Source(1, now_ns=11_000).message(snapshot(BTC_USD)))
    hole = Source(0).message(SequenceGap(0, 0, 5, 6, 1, GapCause.SOURCE_HOLE))
    assert list(market.apply(hole)) == [BTC_USD], "another source's"
    assert market.pools.value(POOL)
    assert list(market.expire(11_001)) == [POOL]
    with pytest.raises(StalePoolError, match="silent"):
        market.pools.value(POOL)
    assert list(market.expire(11_001)) == []


def test_a_pool_that_a_restarted_source_tells_of_at_once_stays() -> None:
    market, _ = with_a_pool()
    other = Source(9, now_ns=10_100).message(complete(11), state(7, 11))
    assert list(market.apply(other)) == [POOL]
    value = market.pools.value(POOL)
    assert isinstance(value, ConstantProductPool)
    assert value.reserve0 == 7
    assert list(market.apply(Source(9).message(health()))) == [POOL]
    with pytest.raises(StalePoolError, match="disconnected"):
        market.pools.value(POOL)
