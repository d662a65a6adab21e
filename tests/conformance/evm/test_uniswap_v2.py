"""Random pairs of Uniswap V2's published bytecode against ConstantProductPool."""

from __future__ import annotations

import pytest
from evm import Chain, Contract, RevertedError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from uniswap import FOREVER, SUPPLY, UniswapV2, events, tokens, v2_pool

from torq_amm import ConstantProductPool
from torq_types import PoolSwap, SwapError

AMOUNTS = st.integers(0, 120).flatmap(lambda bits: st.integers(1, 1 << bits))


@pytest.fixture(scope="module")
def uniswap(chain: Chain) -> UniswapV2:
    """A factory and a router."""
    return UniswapV2(chain)


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_swaps_mints_and_burns_equal_the_contract_s(
    uniswap: UniswapV2, data: st.DataObject
) -> None:
    run_pair(uniswap, data, 40)


def run_pair(uniswap: UniswapV2, data: st.DataObject, count: int) -> int:
    """Trade in a new pair; how many swaps there were."""
    chain = uniswap.chain
    pair_tokens = tokens(chain)
    pair = uniswap.pair(*pair_tokens)
    for token in pair_tokens:
        token.send("approve(address,uint256)", uniswap.router.address, SUPPLY)
    for token in pair_tokens:
        amount = data.draw(st.integers(40, 108).flatmap(lambda b: st.integers(1 << b, 2 << b)))
        token.send("transfer(address,uint256)", pair.address, amount)
    pair.send("mint(address)", chain.sender)
    pool = v2_pool(pair, *pair_tokens)
    swaps = 0
    for _ in range(count):
        action = data.draw(st.sampled_from(["in", "in", "out", "out", "mint", "burn", "donate"]))
        if action in ("in", "out"):
            pool = _swap(uniswap, pair_tokens, pool, action, data)
            swaps += 1
        else:
            pool = _change(uniswap, pair, pair_tokens, pool, action, data)
        assert pool == v2_pool(pair, *pair_tokens)
    return swaps


def _swap(
    uniswap: UniswapV2,
    pair_tokens: tuple[Contract, Contract],
    pool: ConstantProductPool,
    action: str,
    data: st.DataObject,
) -> ConstantProductPool:
    side = data.draw(st.integers(0, 1))
    amount = data.draw(AMOUNTS)
    path = [pair_tokens[side].address, pair_tokens[1 - side].address]
    exact_in = action == "in"
    name = "swapExactTokensForTokens" if exact_in else "swapTokensForExactTokens"
    limit = 0 if exact_in else SUPPLY
    signature = f"{name}(uint256,uint256,address[],address,uint256)"
    arguments = (amount, limit, path, uniswap.chain.sender, FOREVER)
    try:
        if exact_in:
            result = pool.swap_exact_in(pool.tokens[side], amount)
        else:
            result = pool.swap_exact_out(pool.tokens[1 - side], amount)
    except SwapError:
        with pytest.raises(RevertedError):
            uniswap.router.send(signature, *arguments)
        return pool
    written = events(uniswap.router.send(signature, *arguments), pool.instrument)
    swap = next(event for event in written if isinstance(event, PoolSwap))
    moved = (swap.amount0, swap.amount1) if side == 0 else (swap.amount1, swap.amount0)
    assert moved == (result.amount_in, -result.amount_out)
    for event in written:
        pool = pool.apply(event)
    assert pool == result.pool_after
    return pool


def _change(
    uniswap: UniswapV2,
    pair: Contract,
    pair_tokens: tuple[Contract, Contract],
    pool: ConstantProductPool,
    action: str,
    data: st.DataObject,
) -> ConstantProductPool:
    sender = uniswap.chain.sender
    if action == "burn":
        shares = pair.call("balanceOf(address)", "uint256", sender)
        pair.send("transfer(address,uint256)", pair.address, data.draw(st.integers(0, shares)) // 2)
        signature = "burn(address)"
    else:
        for token in pair_tokens:
            token.send("transfer(address,uint256)", pair.address, data.draw(AMOUNTS) >> 10)
        signature = "mint(address)" if action == "mint" else "sync()"
    try:
        receipt = pair.send(signature, *([sender] if action != "donate" else []))
    except RevertedError:
        # Too little to mint or burn: what was sent stays, and sync takes it into the reserves.
        try:
            receipt = pair.send("sync()")
        except RevertedError:
            pair.send("skim(address)", sender)
            return pool
    for event in events(receipt, pool.instrument):
        pool = pool.apply(event)
    return pool
