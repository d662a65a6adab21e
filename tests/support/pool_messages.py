"""A pool of one chain as the market-data relay tells of it: blocks, states, events."""

from __future__ import annotations

from torq_amm import ConstantProductPool
from torq_services.state.pool_values import state_of
from torq_types import GasPrice, InstrumentId, PoolState, PoolSync, Venue

__all__ = ["POOL", "TOKENS", "block_hash", "complete", "state", "sync"]

TOKENS = tuple(InstrumentId.token(1, bytes([n]) * 20) for n in (1, 2))
POOL = InstrumentId.pool(Venue.UNISWAP_V2, 1, b"\x09" * 20)


def block_hash(number: int, branch: int = 0) -> bytes:
    """Another one on each ``branch`` of a chain."""
    return bytes([branch]) * 16 + number.to_bytes(16, "big")


def complete(
    number: int, branch: int = 0, parent_branch: int | None = None, chain_id: int = 1
) -> GasPrice:
    """The word that a block is complete."""
    before = branch if parent_branch is None else parent_branch
    return GasPrice(
        block_number=number, chain_id=chain_id, base_fee=1, priority_fee=1,
        block_hash=block_hash(number, branch), parent_hash=block_hash(number - 1, before),
        block_timestamp=0,
    )  # fmt: skip


def state(reserve: int, number: int, branch: int = 0, pool: InstrumentId = POOL) -> PoolState:
    """The pool at the end of a block, with the same reserve of both tokens."""
    tokens = [InstrumentId.token(pool.chain_id, token.body) for token in TOKENS]
    value = ConstantProductPool(pool, tokens[0], tokens[1], reserve, reserve)
    return state_of(value, number, block_hash(number, branch), (18, 18))


def sync(
    reserve: int, number: int, index: int = 0, branch: int = 0, pool: InstrumentId = POOL
) -> PoolSync:
    """An event that sets both reserves."""
    return PoolSync(
        pool=pool, block_number=number, block_hash=block_hash(number, branch),
        transaction_hash=bytes(32), log_index=index, reserve0=reserve, reserve1=reserve,
    )  # fmt: skip
