"""A StableSwap contract compiled for the test against StableSwapPool.

No registry carries Curve's bytecode; the source in tests/evm/contracts follows its plain pools.
"""

from __future__ import annotations

from typing import Any

import pytest
from compiled import named_token, stable_swap
from evm import CHAIN_ID, Chain, Contract, RevertedError, pool_id, token_id
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from uniswap import events

from torq_amm import StableSwapPool
from torq_types import InstrumentId, SwapError, Venue

E18 = 10**18
AMOUNTS = st.integers(1, 100).flatmap(lambda bits: st.integers(1, 1 << bits))


def on_chain(
    pool: Contract, coins: tuple[Contract, Contract], places: tuple[int, ...]
) -> StableSwapPool:
    """The pool's state, read from the chain."""
    return StableSwapPool(
        pool_id(Venue.CURVE, pool),
        tuple(token_id(coin) for coin in coins),
        tuple(pool.call("balances(uint256)", "uint256", index) for index in range(2)),
        tuple(10 ** (36 - p) for p in places),
        pool.call("A_precise()", "uint256"),
        pool.call("fee()", "uint256"),
        pool.call("admin_fee()", "uint256"),
    )


@settings(
    max_examples=50,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_exchanges_and_liquidity_equal_the_contract_s(chain: Chain, data: st.DataObject) -> None:
    places = data.draw(st.sampled_from([(18, 18), (18, 6), (6, 8)]))
    coins = named_token(chain, "A", places[0]), named_token(chain, "B", places[1])
    contract = stable_swap(
        chain, coins,
        data.draw(st.integers(1, 5000)),
        data.draw(st.integers(0, 10**8)),
        data.draw(st.sampled_from([0, 5 * 10**9, 10**10])),
    )  # fmt: skip
    depth = data.draw(st.integers(1, 10**9))
    contract.send(
        "add_liquidity(uint256[2])",
        [depth * 10**p * data.draw(st.integers(1, 4)) for p in places],
    )
    pool = on_chain(contract, coins, places)
    assert pool.invariant == contract.call("get_D()", "uint256")
    for _ in range(25):
        action = data.draw(st.sampled_from(["in", "in", "in", "add", "remove", "imbalance"]))
        if action == "in":
            pool = exchanged(contract, pool, data)
        else:
            pool = changed(contract, pool, places, action, data)
        assert pool == on_chain(contract, coins, places)


def exchanged(contract: Contract, pool: StableSwapPool, data: st.DataObject) -> StableSwapPool:
    """One exchange; what the contract refuses, the pool refuses."""
    side = data.draw(st.integers(0, 1))
    largest = pool.balances[side] * 3
    amount = min(data.draw(AMOUNTS), largest)
    signature = "exchange(int128,int128,uint256,uint256)"
    try:
        result = pool.swap_exact_in(pool.tokens[side], amount)
    except SwapError:
        with pytest.raises(RevertedError):
            contract.send(signature, side, 1 - side, amount, 0)
        return pool
    receipt = contract.send(signature, side, 1 - side, amount, 0)
    assert applied(pool, receipt) == result.pool_after
    if result.amount_out:
        back = pool.swap_exact_out(pool.tokens[1 - side], result.amount_out)
        assert back.amount_in <= amount
    return result.pool_after


def changed(
    contract: Contract, pool: StableSwapPool, places: tuple[int, ...], action: str,
    data: st.DataObject,
) -> StableSwapPool:  # fmt: skip
    """Liquidity comes or goes."""
    try:
        if action == "remove":
            supply = contract.call("supply()", "uint256")
            receipt = contract.send(
                "remove_liquidity(uint256)", supply * data.draw(st.integers(1, 50)) // 100
            )
        else:
            parts = [data.draw(st.integers(0, 20)) for _ in places]
            amounts = [b * part // 100 for b, part in zip(pool.balances, parts, strict=True)]
            name = "add_liquidity" if action == "add" else "remove_liquidity_imbalance"
            receipt = contract.send(f"{name}(uint256[2])", amounts)
    except RevertedError:
        return pool
    return applied(pool, receipt)


def applied(pool: StableSwapPool, receipt: dict[str, Any]) -> StableSwapPool:
    """The pool after what a transaction logged."""
    written = events(receipt, pool.instrument)
    assert len(written) == 1
    return pool.apply(written[0])


def test_the_identifier_is_of_the_test_chain(chain: Chain) -> None:
    coin = named_token(chain, "A", 18)
    assert token_id(coin) == InstrumentId.token(CHAIN_ID, coin.raw)
    assert coin.call("symbol()", "string") == "A"
