"""The strategy among pools, message by message."""

from __future__ import annotations

import pytest
from markets import Source

from torq_amm import ConstantProductPool
from torq_relays import CollectingSink
from torq_services.state import MarketState
from torq_services.state.pool_values import state_of
from torq_services.strategies import ChainLimits, FlashArbitrage, FlashArbitrageLimits
from torq_types import (
    TLV,
    ArbitrageSignal,
    CloseReason,
    GapCause,
    GasPrice,
    InstrumentId,
    InvalidationReason,
    SequenceGap,
    StateInvalidation,
    Venue,
)

CHAIN = 137
WETH, DAI = (InstrumentId.token(CHAIN, bytes([n]) * 20) for n in (1, 2))
POOLS = [InstrumentId.pool(Venue.UNISWAP_V2, CHAIN, bytes([n]) * 20) for n in (3, 4)]
E18 = 10**18
MS = 10**6


class Bench:
    """Two pools that disagree by a tenth, the strategy, and what it says."""

    def __init__(self) -> None:
        self.market = MarketState(max_silence_ns=1000 * MS)
        self.sink = CollectingSink()
        limits = FlashArbitrageLimits(
            chains={CHAIN: ChainLimits(native=WETH, profit_tokens=(WETH,))},
            max_hops=2, time_to_live_ns=60_000 * MS, update_interval_ns=0,
        )  # fmt: skip
        self.strategy = FlashArbitrage(self.market, self.sink, limits)
        self.source = Source(500)
        self.block = 100

    def apply(self, *tlvs: TLV, source: Source | None = None) -> None:
        message = (source or self.source).message(*tlvs)
        changed = self.market.apply(message)
        self.strategy.market_changed(changed, message.header, self.source.now_ns)

    def start(self) -> None:
        for instrument, dai in zip(POOLS, (1000, 1100), strict=True):
            pool = ConstantProductPool(instrument, WETH, DAI, 1000 * E18, dai * E18)
            self.apply(state_of(pool, self.block, self.hash(self.block), (18, 18)))
        self.complete()

    def complete(self) -> None:
        """A block ends."""
        number = self.block
        self.apply(GasPrice(number, CHAIN, 10**9, 0, self.hash(number), self.hash(number - 1), 0))
        self.block += 1

    @staticmethod
    def hash(number: int) -> bytes:
        """A block's hash."""
        return number.to_bytes(32, "big")

    @property
    def closings(self) -> list[CloseReason]:
        """How what was announced ended; NONE for what is open."""
        return [
            tlv.close_reason for tlv in self.sink.tlvs if isinstance(tlv, ArbitrageSignal)
        ]  # fmt: skip


def test_pools_that_disagree_are_a_signal_and_silence_closes_it() -> None:
    bench = Bench()
    bench.start()
    assert bench.closings == [CloseReason.NONE]
    # Both go stale at once, between two messages: the clock alone tells.
    later = bench.source.now_ns + 1001 * MS
    assert bench.market.expire(later) == set(POOLS)
    bench.strategy.time_passed(later)
    assert bench.closings == [CloseReason.NONE, CloseReason.STALE]
    # The chain's feed is back: so is the signal.
    bench.source = Source(500)
    bench.start()
    assert bench.closings == [CloseReason.NONE, CloseReason.STALE, CloseReason.NONE]


@pytest.mark.parametrize(
    "doubt",
    [
        SequenceGap(0, 0, 5, 6, 500, GapCause.SOURCE_HOLE),
        SequenceGap(0, 8, 0, 0, 0, GapCause.LAPPED),
        StateInvalidation(POOLS[0], 100, 0, InvalidationReason.DISCONNECTED),
    ],
)
def test_doubt_about_a_pool_closes_what_goes_through_it(doubt: TLV) -> None:
    bench = Bench()
    bench.start()
    bench.apply(doubt, source=Source(0) if isinstance(doubt, SequenceGap) else None)
    assert bench.closings == [CloseReason.NONE, CloseReason.STALE]
    bench.complete()
    assert len(bench.closings) == 2
