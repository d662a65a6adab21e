"""Weighted pools of Balancer V2's published bytecode against WeightedPool."""

from __future__ import annotations

from typing import Any

import pytest
from balancer import BalancerV2
from compiled import named_token
from evm import CHAIN_ID, Chain, Contract, RevertedError, token_id
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from torq_amm import WeightedPool
from torq_codec.dex import decode_event, parse_log
from torq_types import InstrumentId, PoolBalanceChange, SwapError, Venue

E18 = 10**18
PERCENT = 10**16
AMOUNTS = st.integers(1, 100).flatmap(lambda bits: st.integers(1, 1 << bits))


@pytest.fixture(scope="module")
def balancer(chain: Chain) -> BalancerV2:
    """A Vault that takes a tenth of the swap fees."""
    found = BalancerV2(chain)
    found.charge(10 * PERCENT)
    return found


def on_chain(
    balancer: BalancerV2, pool: Contract, identifier: bytes, places: tuple[int, ...]
) -> WeightedPool:
    """The pool's state, read from the chain."""
    addresses, balances, _ = balancer.vault.call(
        "getPoolTokens(bytes32)", "address[],uint256[],uint256", identifier
    )
    return WeightedPool(
        InstrumentId.pool(Venue.BALANCER_V2, CHAIN_ID, identifier),
        tuple(InstrumentId.token(CHAIN_ID, bytes.fromhex(text[2:])) for text in addresses),
        tuple(balances),
        tuple(pool.call("getNormalizedWeights()", "uint256[]")),
        pool.call("getSwapFeePercentage()", "uint256"),
        places,
    )


@settings(
    max_examples=50,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_swaps_joins_and_exits_equal_the_contract_s(
    balancer: BalancerV2, data: st.DataObject
) -> None:
    chain = balancer.chain
    drawn = data.draw(st.lists(st.sampled_from([18, 6, 8]), min_size=2, max_size=3))
    tokens = sorted((named_token(chain, "T", p) for p in drawn), key=lambda token: token.raw)
    places = tuple(token.call("decimals()", "uint8") for token in tokens)
    weights = [data.draw(st.integers(2, 40)) * PERCENT for _ in tokens[1:]]
    weights.append(E18 - sum(weights))
    fee = data.draw(st.integers(10**12, 10 * PERCENT))
    contract, identifier = balancer.create(tokens, weights, fee)
    depth = data.draw(st.integers(10, 10**8))
    amounts = [depth * 10**p * data.draw(st.integers(1, 9)) for p in places]
    balancer.join(identifier, tokens, amounts, first=True)
    pool = on_chain(balancer, contract, identifier, places)
    for _ in range(20):
        action = data.draw(st.sampled_from(["in", "in", "out", "out", "join", "exit", "one"]))
        if action in ("in", "out"):
            pool = swapped(balancer, identifier, tokens, pool, action == "out", data)
        else:
            pool = changed(balancer, contract, identifier, tokens, pool, action, data)
        assert pool == on_chain(balancer, contract, identifier, places)


def swapped(
    balancer: BalancerV2, identifier: bytes, tokens: list[Contract], pool: WeightedPool,
    exact_out: bool, data: st.DataObject,
) -> WeightedPool:  # fmt: skip
    """One swap; what the Vault refuses, the pool refuses."""
    first, second = data.draw(st.permutations(range(len(tokens))))[:2]
    side = second if exact_out else first
    largest = pool.balances[side] * 2 // 5
    amount = min(data.draw(AMOUNTS), max(1, largest))
    try:
        if exact_out:
            result = pool.swap_exact_out(pool.tokens[second], amount, pool.tokens[first])
        else:
            result = pool.swap_exact_in(pool.tokens[first], amount, pool.tokens[second])
    except SwapError:
        with pytest.raises(RevertedError):
            balancer.swap(identifier, tokens[first], tokens[second], amount, exact_out=exact_out)
        return pool
    receipt = balancer.swap(identifier, tokens[first], tokens[second], amount, exact_out=exact_out)
    (event,) = written(balancer, receipt, pool.instrument)
    assert {change.amount for change in event.changes} == {result.amount_in, -result.amount_out}
    after = pool.apply(event)
    assert after == result.pool_after
    return after


def changed(
    balancer: BalancerV2, contract: Contract, identifier: bytes, tokens: list[Contract],
    pool: WeightedPool, action: str, data: st.DataObject,
) -> WeightedPool:  # fmt: skip
    """Liquidity comes or goes, and the protocol takes what it is due."""
    sender = balancer.chain.sender
    part = data.draw(st.integers(1, 20))
    try:
        if action == "join":
            amounts = [balance * part // 100 for balance in pool.balances]
            receipt = balancer.join(identifier, tokens, amounts)
        else:
            shares = contract.call("balanceOf(address)", "uint256", sender) * part // 100
            if action == "exit":
                receipt = balancer.exit(identifier, tokens, shares)
            else:
                index = data.draw(st.integers(0, len(tokens) - 1))
                receipt = balancer.exit_one(identifier, tokens, shares, index)
    except RevertedError:
        return pool
    for event in written(balancer, receipt, pool.instrument):
        pool = pool.apply(event)
    return pool


def written(
    balancer: BalancerV2, receipt: dict[str, Any], pool: InstrumentId
) -> list[PoolBalanceChange]:
    """What the Vault logged of a pool."""
    found = []
    for log in map(parse_log, receipt["logs"]):
        if log.address == balancer.vault.raw and log.topics[1:2] == (pool.body,):
            event = decode_event(log, pool)
            assert isinstance(event, PoolBalanceChange)
            found.append(event)
    return found


def test_tokens_are_the_chain_s(balancer: BalancerV2) -> None:
    token = named_token(balancer.chain, "T", 6)
    assert token_id(token).chain_id == CHAIN_ID
