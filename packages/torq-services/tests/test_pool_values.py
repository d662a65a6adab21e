"""PoolState messages to pools and back, field by field; prices for people to read."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    WeightedPool,
)
from torq_services.state.pool_values import decimal_text, display_price, pool_of, state_of
from torq_types import (
    InstrumentId,
    PoolKind,
    PoolState,
    PoolStateError,
    PoolToken,
    TickLiquidity,
    Venue,
)

A, B, C = (InstrumentId.token(1, bytes([n]) * 20) for n in (1, 2, 3))
HASH = b"\x22" * 32


def pool_id(venue: Venue) -> InstrumentId:
    return InstrumentId.pool(venue, 1, b"\x09" * (venue.body_size or 0))


def told(
    venue: Venue, kind: PoolKind, tokens: tuple[PoolToken, ...], **values: object
) -> PoolState:
    """A state with zeros for what its kind does not have."""
    fields: dict[str, object] = dict.fromkeys(
        (
            "sqrt_price_x96", "liquidity", "fee", "fee_denominator", "protocol_fee0",
            "protocol_fee1", "amplification", "amplification_precision", "tick", "tick_spacing",
        ),
        0,
    )  # fmt: skip
    fields |= values
    return PoolState(
        pool=pool_id(venue), block_number=17, block_hash=HASH, transaction_hash=bytes(32),
        log_index=0, kind=kind, tokens=tokens, ticks=fields.pop("ticks", ()),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def concentrated(venue: Venue, parts: int) -> ConcentratedLiquidityPool:
    return ConcentratedLiquidityPool(
        pool_id(venue), A, B, 3000, 60, 2**96, 1, 500, {-60: 500, 120: -300, 180: -200},
        {-60: 700, 120: 300, 180: 200}, 4, 5, parts,
    )  # fmt: skip


CASES: dict[str, tuple[Pool, tuple[int, ...], PoolState]] = {
    "constant product": (
        ConstantProductPool(pool_id(Venue.PANCAKESWAP_V2), A, B, 1000, 2000, 9975, 10_000),
        (18, 6),
        told(
            Venue.PANCAKESWAP_V2, PoolKind.CONSTANT_PRODUCT,
            (PoolToken(1000, 0, A.body, 18), PoolToken(2000, 0, B.body, 6)),
            fee=25, fee_denominator=10_000,
        ),
    ),
    **{
        f"concentrated on {venue.slug}": (
            concentrated(venue, parts),
            (18, 6),
            told(
                venue, PoolKind.CONCENTRATED,
                (PoolToken(0, 0, A.body, 18), PoolToken(0, 0, B.body, 6)),
                fee=3000, fee_denominator=1_000_000, sqrt_price_x96=2**96, liquidity=500, tick=1,
                tick_spacing=60, protocol_fee0=4, protocol_fee1=5,
                ticks=(
                    TickLiquidity(500, 700, -60), TickLiquidity(-300, 300, 120),
                    TickLiquidity(-200, 200, 180),
                ),
            ),
        )
        for venue, parts in (
            (Venue.UNISWAP_V3, 0), (Venue.PANCAKESWAP_V3, 10_000), (Venue.QUICKSWAP_V3, 1000),
        )
    },
    "StableSwap": (
        StableSwapPool(
            pool_id(Venue.CURVE), (A, B, C), (10, 20, 30), (10**18, 10**30, 10**31), 20_000,
            4_000_000, 3_000_000_000, 50,
        ),
        (18, 6, 5),
        told(
            Venue.CURVE, PoolKind.STABLE_SWAP,
            (
                PoolToken(10, 10**18, A.body, 18), PoolToken(20, 10**30, B.body, 6),
                PoolToken(30, 10**31, C.body, 5),
            ),
            fee=4_000_000, fee_denominator=10**10, protocol_fee0=3_000_000_000,
            amplification=20_000, amplification_precision=50,
        ),
    ),
    "weighted": (
        WeightedPool(
            pool_id(Venue.BALANCER_V2), (A, B), (10, 20), (8 * 10**17, 2 * 10**17), 10**15, (18, 6)
        ),
        (18, 6),
        told(
            Venue.BALANCER_V2, PoolKind.WEIGHTED,
            (
                PoolToken(10, 8 * 10**17, A.body, 18), PoolToken(20, 2 * 10**17, B.body, 6),
            ),
            fee=10**15, fee_denominator=10**18,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pool", "decimals", "expected"), CASES.values(), ids=CASES)
def test_a_pool_s_state_says_all_of_it(
    pool: Pool, decimals: tuple[int, ...], expected: PoolState
) -> None:
    assert state_of(pool, 17, HASH, decimals) == expected
    assert pool_of(expected) == pool


def test_every_token_has_its_decimals() -> None:
    pool = ConstantProductPool(pool_id(Venue.UNISWAP_V2), A, B, 1, 1)
    with pytest.raises(ValueError, match="shorter"):
        state_of(pool, 17, HASH, (18,))


def test_ticks_of_unknown_gross_liquidity_say_none() -> None:
    pool = msgspec.structs.replace(concentrated(Venue.UNISWAP_V3, 0), liquidity_gross=None)
    state = state_of(pool, 17, HASH, (18, 6))
    assert [tick.liquidity_gross for tick in state.ticks] == [0, 0, 0]


def test_tokens_are_of_the_pool_s_chain() -> None:
    state = msgspec.structs.replace(
        CASES["constant product"][2],
        pool=InstrumentId.pool(Venue.PANCAKESWAP_V2, 56, b"\x09" * 20),
    )
    assert pool_of(state).tokens == tuple(InstrumentId.token(56, t.body) for t in (A, B))


def test_a_pool_has_two_different_tokens_or_more() -> None:
    state = CASES["StableSwap"][2]
    first, second, _ = state.tokens
    for tokens in ((), (first,), (first, second, first)):
        with pytest.raises(
            PoolStateError, match=f"two different tokens or more; found {len(tokens)}"
        ):
            pool_of(msgspec.structs.replace(state, tokens=tokens))
    with pytest.raises(PoolStateError, match="kind UNKNOWN"):
        pool_of(msgspec.structs.replace(state, kind=PoolKind.UNKNOWN))


def test_the_price_is_in_whole_tokens() -> None:
    """2 tokens of 18 places against 5000 of 6 places: 2500 each, whatever the smallest units."""
    pool = ConstantProductPool(pool_id(Venue.UNISWAP_V2), A, B, 2 * 10**18, 5000 * 10**6)
    assert display_price(pool, (18, 6)) == 2500
    turned = ConstantProductPool(pool_id(Venue.UNISWAP_V2), B, A, 5000 * 10**6, 2 * 10**18)
    assert display_price(turned, (6, 18)) == Fraction(1, 2500)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(0), "0"),
        (Fraction(-1, 3), "0"),
        (Fraction(1), "1"),
        (Fraction(100), "100"),
        (Fraction(10**9), "1000000000"),
        (Fraction(2, 3), "0.66666666"),
        (Fraction(1, 2), "0.5"),
        (Fraction(2, 30), "0.066666666"),
        (Fraction(200, 3), "66.666666"),
        (Fraction(123456789, 100), "1234567.8"),
        (Fraction(123456789, 10), "12345678"),
        (Fraction(1234567890, 1), "1234567890"),
        (Fraction(105, 100), "1.05"),
    ],
)
def test_eight_digits_are_shown_and_the_rest_is_cut_off(value: Fraction, expected: str) -> None:
    assert decimal_text(value) == expected


def test_fewer_digits_on_request() -> None:
    assert [decimal_text(Fraction(n, 3), 3) for n in (2, 20, 2000, 20_000)] == [
        "0.666", "6.66", "666", "6666",
    ]  # fmt: skip
