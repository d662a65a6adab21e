"""What contracts answered: every expected number of contract_amounts.json is theirs.

``scripts/lib/python/record_contract_amounts.py`` asked them; the file names each by its package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    SwapResult,
    WeightedPool,
)
from torq_amm.concentrated import liquidity_for_amounts
from torq_types import InstrumentId, SwapError, Venue

RECORDED: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("contract_amounts.json").read_text()
)
TOKENS = tuple(InstrumentId.token(1, bytes([number]) * 20) for number in (1, 2, 3))


def recorded(contract: str) -> list[dict[str, Any]]:
    """The pools of the contract whose name begins so."""
    return next(pools for name, pools in RECORDED.items() if name.startswith(contract))


def swapped(
    pool: Pool, kind: str, first: int, second: int, amount: int, **limit: int
) -> SwapResult[Any]:
    """Sell ``amount`` of the first token for the second, or buy it with the first."""
    token_in, token_out = pool.tokens[first], pool.tokens[second]
    if kind == "in":
        return pool.swap_exact_in(token_in, amount, token_out, **limit)
    return pool.swap_exact_out(token_out, amount, token_in, **limit)


@pytest.mark.parametrize("index", range(3))
def test_uniswap_v2(index: int) -> None:
    known = recorded("UniswapV2")[index]
    instrument = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\x09" * 20)
    pool = ConstantProductPool(instrument, TOKENS[0], TOKENS[1], *known["reserves"])
    for kind, side, amount, *answer in known["steps"]:
        if not answer:
            with pytest.raises(SwapError):
                swapped(pool, kind, side, 1 - side, amount)
            continue
        result = swapped(pool, kind, side, 1 - side, amount)
        assert [result.amount_in, result.amount_out] == answer[:2]
        if kind == "in":
            assert pool.amount_out(TOKENS[side], amount) == answer[1]
        pool = result.pool_after
        assert [pool.reserve0, pool.reserve1] == answer[2:]


@pytest.mark.parametrize("index", range(4))
def test_uniswap_v3(index: int) -> None:
    known = recorded("UniswapV3")[index]
    pool = ConcentratedLiquidityPool(
        InstrumentId.pool(Venue.UNISWAP_V3, 1, b"\x03" * 20), TOKENS[0], TOKENS[1],
        known["fee"], known["spacing"], known["price"], known["tick"], 0, {}, {},
        *known["protocol"],
    )  # fmt: skip
    protocol_fees = [0, 0]
    for kind, *step in known["steps"]:
        if kind == "mint":
            lower, upper, offered0, offered1, liquidity, *amounts = step
            price = pool.sqrt_price_x96
            assert liquidity_for_amounts(price, lower, upper, offered0, offered1) == liquidity
            minted = pool.mint(lower, upper, liquidity)
            assert [minted.amount0, minted.amount1] == amounts
            pool = minted.pool_after
        elif kind == "burn":
            lower, upper, liquidity, amount0, amount1, left = step
            burnt = pool.burn(lower, upper, liquidity)
            assert [burnt.amount0, burnt.amount1] == [amount0, amount1]
            pool = burnt.pool_after
            assert pool.liquidity == left
        else:
            pool = _traded(pool, kind, step, protocol_fees)


def _traded(
    pool: ConcentratedLiquidityPool, kind: str, step: Sequence[int], protocol_fees: list[int]
) -> ConcentratedLiquidityPool:
    side, amount, limit, *answer = step
    if not answer:
        with pytest.raises(SwapError):
            swapped(pool, kind, side, 1 - side, amount, sqrt_price_limit_x96=limit)
        return pool
    result = swapped(pool, kind, side, 1 - side, amount, sqrt_price_limit_x96=limit)
    after: ConcentratedLiquidityPool = result.pool_after
    protocol_fees[side] += result.protocol_fee
    assert answer == [
        result.amount_in, result.amount_out,
        after.sqrt_price_x96, after.tick, after.liquidity, *protocol_fees,
    ]  # fmt: skip
    return after


@pytest.mark.parametrize("index", range(5))
def test_balancer_v2(index: int) -> None:
    known = recorded("Vault")[index]
    pool = WeightedPool(
        InstrumentId.pool(Venue.BALANCER_V2, 1, b"\x09" * 32), TOKENS[: len(known["weights"])],
        tuple(known["balances"]), tuple(known["weights"]), known["fee"], tuple(known["decimals"]),
    )  # fmt: skip
    for kind, first, second, amount, *answer in known["steps"]:
        if not answer:
            with pytest.raises(SwapError):
                swapped(pool, kind, first, second, amount)
            continue
        result = swapped(pool, kind, first, second, amount)
        assert [result.amount_in, result.amount_out] == answer
        pool = result.pool_after
    assert list(pool.balances) == known["left"]


@pytest.mark.parametrize("index", range(5))
def test_stable_swap(index: int) -> None:
    known = recorded("StableSwap")[index]
    pool = StableSwapPool(
        InstrumentId.pool(Venue.CURVE, 1, b"\x09" * 20), TOKENS[:2], tuple(known["balances"]),
        tuple(10 ** (36 - places) for places in known["decimals"]),
        known["amplification"], known["fee"], known["admin_fee"],
    )  # fmt: skip
    assert pool.invariant == known["D"]
    for side, amount, *answer in known["steps"]:
        if not answer:
            with pytest.raises(SwapError):
                pool.swap_exact_in(TOKENS[side], amount)
            continue
        result = pool.swap_exact_in(TOKENS[side], amount)
        pool = result.pool_after
        bought, *balances, invariant = answer
        assert [result.amount_out, *pool.balances] == [bought, *balances]
        if invariant is None:
            with pytest.raises(SwapError, match="settle"):
                _ = pool.invariant
        else:
            assert pool.invariant == invariant


def test_swaps_of_the_record_are_each_way_and_some_are_refused() -> None:
    """Or a recorder that asked nothing would prove everything."""
    for contract, pools in RECORDED.items():
        steps = [step for pool in pools for step in pool["steps"]]
        assert len(steps) > 40, contract
        assert any(len(step) <= 4 for step in steps), contract


def test_a_vault_s_balance_is_a_uint112() -> None:
    """Balancer's Vault keeps balances as uint112 (``BalanceAllocation``)."""
    known = recorded("Vault")[4]
    pool = WeightedPool(
        InstrumentId.pool(Venue.BALANCER_V2, 1, b"\x09" * 32), TOKENS[:2],
        ((1 << 112) - 1001, 10**33), tuple(known["weights"]), 0,
    )  # fmt: skip
    assert pool.swap_exact_in(TOKENS[0], 1000).pool_after.balances[0] == (1 << 112) - 1
    with pytest.raises(SwapError, match="uint112"):
        pool.swap_exact_in(TOKENS[0], 1001)
    assert msgspec.structs.replace(pool, balances=((1 << 112) - 1, 1)).balances[1] == 1
