"""Random pools of Uniswap V3's published bytecode against ConcentratedLiquidityPool."""

from __future__ import annotations

from typing import Any

import pytest
from evm import Chain, Contract, RevertedError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from uniswap import UniswapV3, events, v3_pool

from torq_amm import ConcentratedLiquidityPool
from torq_amm.concentrated import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    get_sqrt_ratio_at_tick,
    liquidity_for_amounts,
)
from torq_types import PoolBurn, PoolMint, PoolPayment, PoolSwap, SwapError

AMOUNTS = st.integers(0, 110).flatmap(lambda bits: st.integers(1, 1 << bits))
TIERS = {100: 1, 500: 10, 3000: 60, 10000: 200}


@pytest.fixture(scope="module")
def uniswap(chain: Chain) -> UniswapV3:
    """A factory, a router and a position manager."""
    return UniswapV3(chain)


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_every_amount_and_the_state_equal_the_contract_s(
    uniswap: UniswapV3, data: st.DataObject
) -> None:
    Run(uniswap, data).trade(40)


@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("long_run")
def test_a_hundred_thousand_swaps(uniswap: UniswapV3) -> None:
    swaps = 0

    @settings(max_examples=1000, database=None)
    @given(data=st.data())
    def trade(data: st.DataObject) -> None:
        nonlocal swaps
        run = Run(uniswap, data)
        run.trade(60)
        swaps += run.swaps

    while swaps < 100_000:
        trade()


class Run:
    """One pool, on the chain and beside it."""

    def __init__(self, uniswap: UniswapV3, data: st.DataObject) -> None:
        self.uniswap = uniswap
        self.data = data
        self.fee = data.draw(st.sampled_from(sorted(TIERS)))
        self.spacing = TIERS[self.fee]
        tick = data.draw(st.integers(-60_000, 60_000) | st.integers(1 - MAX_TICK, MAX_TICK - 2))
        price = get_sqrt_ratio_at_tick(tick)
        price += data.draw(st.integers(0, get_sqrt_ratio_at_tick(tick + 1) - price - 1))
        self.contract, token0, token1 = uniswap.create(self.fee, price)
        self.tokens = token0, token1
        self.pool = v3_pool(self.contract, token0, token1, self.fee, self.spacing)
        self.positions: dict[int, int] = {}
        self.ranges: dict[int, tuple[int, int]] = {}
        self.protocol_fees = [0, 0]
        self.swaps = 0

    def trade(self, count: int) -> None:
        """Positions first, then anything."""
        for _ in range(self.data.draw(st.integers(1, 5))):
            self.mint()
        actions = ["swap"] * 8 + ["mint", "mint", "burn", "collect", "protocol"]
        for _ in range(count):
            getattr(self, self.data.draw(st.sampled_from(actions)))()
            self.compare()
        self.compare_ticks()

    def mint(self) -> None:
        """A position near the price, or anywhere."""
        draw, pool = self.data.draw, self.pool
        widest = MAX_TICK // self.spacing
        centre = max(-widest, min(widest, pool.tick // self.spacing))
        near = st.integers(max(-widest, centre - 40), min(widest, centre + 40))
        ends = near | st.integers(-widest, widest)
        lower, upper = sorted((draw(ends), draw(ends)))
        if lower == upper:
            return
        lower, upper = lower * self.spacing, upper * self.spacing
        amounts = draw(AMOUNTS), draw(AMOUNTS)
        price = pool.sqrt_price_x96
        try:
            liquidity = liquidity_for_amounts(price, lower, upper, *amounts)
            expected = pool.mint(lower, upper, liquidity)
        except SwapError:
            with pytest.raises(RevertedError):
                self.uniswap.mint(self.tokens, self.fee, lower, upper, *amounts)
            return
        receipt = self.uniswap.mint(self.tokens, self.fee, lower, upper, *amounts)
        event = self.apply(receipt, PoolMint)
        assert event.liquidity == liquidity
        assert (event.amount0, event.amount1) == (expected.amount0, expected.amount1)
        assert self.pool == expected.pool_after
        position = _last_position(receipt, self.uniswap.positions)
        self.positions[position] = liquidity
        self.ranges[position] = lower, upper

    def burn(self) -> None:
        """A part of a position, or all of it."""
        if not self.positions:
            return
        position = self.data.draw(st.sampled_from(sorted(self.positions)))
        liquidity = self.positions[position]
        amount = self.data.draw(st.integers(1, liquidity) | st.just(liquidity))
        expected = self.pool.burn(*self.ranges[position], amount)
        event = self.apply(self.uniswap.burn(position, amount), PoolBurn)
        assert (event.amount0, event.amount1) == (expected.amount0, expected.amount1)
        assert self.pool == expected.pool_after
        self.positions[position] -= amount
        if not self.positions[position]:
            del self.positions[position]

    def collect(self) -> None:
        """What a position is owed: its burn of nothing updates the fees."""
        if not self.positions:
            return
        position = self.data.draw(st.sampled_from(sorted(self.positions)))
        before = self.pool
        try:
            receipt = self.uniswap.collect(position)
        except RevertedError:
            return
        self.apply(receipt, PoolPayment)
        assert self.pool == before

    def protocol(self) -> None:
        """The protocol's part of the fee changes."""
        parts = st.sampled_from([0, 4, 5, 10])
        fees = self.data.draw(parts), self.data.draw(parts)
        receipt = self.contract.send("setFeeProtocol(uint8,uint8)", *fees)
        for event in events(receipt, self.pool.instrument):
            self.pool = self.pool.apply(event)
        assert (self.pool.fee_protocol0, self.pool.fee_protocol1) == fees

    def swap(self) -> None:
        """Exact in or out, with and without a limit near the price."""
        draw, pool = self.data.draw, self.pool
        side = draw(st.integers(0, 1))
        exact_out = draw(st.booleans())
        amount = draw(AMOUNTS)
        # A walk over the whole range of a narrow spacing costs more gas than a block has.
        reach = draw(st.integers(1, 60)) * self.spacing * 20
        if self.spacing >= 60 and draw(st.booleans()):
            limit = MIN_SQRT_RATIO + 1 if side == 0 else MAX_SQRT_RATIO - 1
        else:
            end = max(-MAX_TICK, min(MAX_TICK, pool.tick + (-reach if side == 0 else reach)))
            limit = get_sqrt_ratio_at_tick(end)
        token_in, token_out = pool.tokens[side], pool.tokens[1 - side]
        contracts = self.tokens[side], self.tokens[1 - side]
        try:
            if exact_out:
                result = pool.swap_exact_out(token_out, amount, sqrt_price_limit_x96=limit)
            else:
                result = pool.swap_exact_in(token_in, amount, sqrt_price_limit_x96=limit)
            if result.amount_in == 0 and result.amount_out == 0:
                raise SwapError("the router refuses a swap of nothing")
        except SwapError:
            with pytest.raises(RevertedError):
                self.uniswap.swap(*contracts, self.fee, amount, limit, exact_out)
            return
        receipt = self.uniswap.swap(*contracts, self.fee, amount, limit, exact_out)
        event = self.apply(receipt, PoolSwap)
        moved = (event.amount0, event.amount1) if side == 0 else (event.amount1, event.amount0)
        assert moved == (result.amount_in, -result.amount_out)
        assert self.pool == result.pool_after
        self.protocol_fees[side] += result.protocol_fee
        self.swaps += 1

    def apply(self, receipt: dict[str, Any], kind: type[Any]) -> Any:
        """Follow the logs; the one of interest."""
        found = None
        for event in events(receipt, self.pool.instrument):
            self.pool = self.pool.apply(event)
            found = event if isinstance(event, kind) else found
        assert found is not None
        return found

    def compare(self) -> None:
        """Price, tick, liquidity and protocol fees are the contract's."""
        price, tick, *_ = self.contract.call(
            "slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool"
        )
        liquidity = self.contract.call("liquidity()", "uint128")
        assert (price, tick, liquidity) == (
            self.pool.sqrt_price_x96, self.pool.tick, self.pool.liquidity,
        )  # fmt: skip
        fees = self.contract.call("protocolFees()", "uint128,uint128")
        assert list(fees) == self.protocol_fees

    def compare_ticks(self) -> None:
        """Every initialised tick is the contract's, and the bitmap knows no others."""
        pool: ConcentratedLiquidityPool = self.pool
        assert pool.liquidity_gross is not None
        words: dict[int, int] = {}
        for tick, net in pool.ticks.items():
            gross, found_net, *_ = self.contract.call(
                "ticks(int24)",
                "uint128,int128,uint256,uint256,int56,uint160,uint32,bool",
                tick,
            )
            assert (gross, found_net) == (pool.liquidity_gross[tick], net)
            compressed = tick // self.spacing
            words[compressed >> 8] = words.get(compressed >> 8, 0) | 1 << (compressed & 0xFF)
        for word, bits in words.items():
            assert self.contract.call("tickBitmap(int16)", "uint256", word) == bits


def _last_position(receipt: dict[str, Any], manager: Contract) -> int:
    """The number of the position that a mint made: the manager's Transfer names it."""
    for log in receipt["logs"]:
        if log["address"].lower() == manager.address.lower() and len(log["topics"]) == 4:
            return int(log["topics"][3], 16)
    raise AssertionError("no position was made")
