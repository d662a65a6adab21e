"""PoolState messages to pools, and back."""

from __future__ import annotations

from fractions import Fraction

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    WeightedPool,
)
from torq_types import (
    InstrumentId,
    PoolKind,
    PoolState,
    PoolStateError,
    PoolToken,
    TickLiquidity,
    Venue,
)

__all__ = ["decimal_text", "display_price", "pool_of", "state_of"]

_NO_HASH = bytes(32)
_PROTOCOL_PARTS = {Venue.PANCAKESWAP_V3: 10_000, Venue.QUICKSWAP_V3: 1000}


def pool_of(state: PoolState) -> Pool:
    """The pool that ``state`` describes. Raises :class:`PoolStateError` when there can be none."""
    chain_id = state.pool.chain_id
    tokens = tuple(InstrumentId.token(chain_id, token.token) for token in state.tokens)
    if len(tokens) < 2 or len(set(tokens)) != len(tokens):
        raise PoolStateError(f"a pool has two different tokens or more; found {len(tokens)}")
    if state.kind is PoolKind.CONSTANT_PRODUCT:
        return ConstantProductPool(
            state.pool, tokens[0], tokens[1], state.tokens[0].balance, state.tokens[1].balance,
            state.fee_denominator - state.fee, state.fee_denominator,
        )  # fmt: skip
    if state.kind is PoolKind.CONCENTRATED:
        return ConcentratedLiquidityPool(
            state.pool, tokens[0], tokens[1], state.fee, state.tick_spacing, state.sqrt_price_x96,
            state.tick, state.liquidity,
            {entry.tick: entry.liquidity_net for entry in state.ticks},
            {entry.tick: entry.liquidity_gross for entry in state.ticks},
            state.protocol_fee0, state.protocol_fee1, _PROTOCOL_PARTS.get(state.pool.venue, 0),
        )  # fmt: skip
    balances = tuple(token.balance for token in state.tokens)
    rates = tuple(token.rate for token in state.tokens)
    if state.kind is PoolKind.STABLE_SWAP:
        return StableSwapPool(
            state.pool, tokens, balances, rates, state.amplification, state.fee,
            state.protocol_fee0, state.amplification_precision,
        )  # fmt: skip
    if state.kind is PoolKind.WEIGHTED:
        decimals = tuple(token.decimals for token in state.tokens)
        return WeightedPool(state.pool, tokens, balances, rates, state.fee, decimals)
    raise PoolStateError(f"no mathematics is known for a pool of kind {state.kind.name}")


def state_of(
    pool: Pool, block_number: int, block_hash: bytes, decimals: tuple[int, ...]
) -> PoolState:
    """What a pool is at the end of a block; the inverse of :func:`pool_of`."""
    if isinstance(pool, ConstantProductPool):
        fee = pool.fee_denominator - pool.fee_numerator
        balances = pool.reserve0, pool.reserve1
        return _state(
            pool, PoolKind.CONSTANT_PRODUCT, block_number, block_hash,
            _tokens(pool, balances, (0, 0), decimals), fee, pool.fee_denominator,
        )  # fmt: skip
    if isinstance(pool, ConcentratedLiquidityPool):
        gross = pool.liquidity_gross or {}
        ticks = tuple(
            TickLiquidity(pool.ticks[tick], gross.get(tick, 0), tick) for tick in pool.order
        )
        return _state(
            pool, PoolKind.CONCENTRATED, block_number, block_hash,
            _tokens(pool, (0, 0), (0, 0), decimals), pool.fee_pips, 1_000_000,
            sqrt_price_x96=pool.sqrt_price_x96, liquidity=pool.liquidity, tick=pool.tick,
            tick_spacing=pool.tick_spacing, protocol_fee0=pool.fee_protocol0,
            protocol_fee1=pool.fee_protocol1, ticks=ticks,
        )  # fmt: skip
    if isinstance(pool, StableSwapPool):
        return _state(
            pool, PoolKind.STABLE_SWAP, block_number, block_hash,
            _tokens(pool, pool.balances, pool.rates, decimals), pool.fee, 10**10,
            protocol_fee0=pool.admin_fee, amplification=pool.amplification,
            amplification_precision=pool.amplification_precision,
        )  # fmt: skip
    if isinstance(pool, WeightedPool):
        return _state(
            pool, PoolKind.WEIGHTED, block_number, block_hash,
            _tokens(pool, pool.balances, pool.weights, pool.decimals), pool.swap_fee, 10**18,
        )  # fmt: skip
    raise PoolStateError(f"no PoolState can carry a {type(pool).__name__}")


def _tokens(
    pool: Pool, balances: tuple[int, ...], rates: tuple[int, ...], decimals: tuple[int, ...]
) -> tuple[PoolToken, ...]:
    return tuple(
        PoolToken(balance, rate, token.body, places)
        for token, balance, rate, places in zip(pool.tokens, balances, rates, decimals, strict=True)
    )


def _state(
    pool: Pool, kind: PoolKind, block_number: int, block_hash: bytes,
    tokens: tuple[PoolToken, ...], fee: int, fee_denominator: int, *,
    sqrt_price_x96: int = 0, liquidity: int = 0, tick: int = 0, tick_spacing: int = 0,
    protocol_fee0: int = 0, protocol_fee1: int = 0, amplification: int = 0,
    amplification_precision: int = 0, ticks: tuple[TickLiquidity, ...] = (),
) -> PoolState:  # fmt: skip
    return PoolState(
        pool=pool.instrument, block_number=block_number, block_hash=block_hash,
        transaction_hash=_NO_HASH, sqrt_price_x96=sqrt_price_x96, liquidity=liquidity, fee=fee,
        fee_denominator=fee_denominator, protocol_fee0=protocol_fee0,
        protocol_fee1=protocol_fee1, amplification=amplification,
        amplification_precision=amplification_precision, log_index=0, tick=tick,
        tick_spacing=tick_spacing, kind=kind, tokens=tokens, ticks=ticks,
    )  # fmt: skip


def display_price(pool: Pool, decimals: tuple[int, ...]) -> Fraction:
    """Token 1 per token 0 in whole tokens, before the fee: for people to read."""
    return pool.price * Fraction(10) ** (decimals[0] - decimals[1])


def decimal_text(value: Fraction, digits: int = 8) -> str:
    """``value`` with at most so many significant digits, rounded down: for people to read."""
    if value <= 0:
        return "0"
    places = max(0, digits - len(str(int(value))))
    if value < 1:
        # The zeros behind the point do not count.
        places = digits + len(str(int(1 / value))) - 1
    whole, rest = divmod(int(value * 10**places), 10**places)
    text = f"{whole}.{rest:0{places}}" if places else str(whole)
    return text.rstrip("0").rstrip(".") if "." in text else text
