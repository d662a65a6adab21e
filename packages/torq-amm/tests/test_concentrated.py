from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torq_amm import ConcentratedLiquidityPool
from torq_amm.concentrated import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    compute_swap_step,
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
)
from torq_amm.concentrated.ticks import (
    _FACTORS,
    _log2,
    next_initialized_tick_within_one_word,
)
from torq_types import InstrumentId, PoolStateError, PoolSwap, SwapError, Venue

ONE = 1 << 96
TOKEN0 = InstrumentId.token(1, b"\x01" * 20)
TOKEN1 = InstrumentId.token(1, b"\x02" * 20)
POOL = InstrumentId.pool(Venue.UNISWAP_V3, 1, b"\x03" * 20)
ETHER = 10**18


def pool_at_one(**changes: object) -> ConcentratedLiquidityPool:
    """A pool at a price of 1 with one wide position."""
    values: dict[str, object] = {
        "instrument": POOL, "token0": TOKEN0, "token1": TOKEN1, "fee_pips": 3000,
        "tick_spacing": 60, "sqrt_price_x96": ONE, "tick": 0, "liquidity": ETHER,
        "ticks": {-600: ETHER, 600: -ETHER}, "liquidity_gross": {-600: ETHER, 600: ETHER},
    }  # fmt: skip
    return ConcentratedLiquidityPool(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tick", "ratio"),
    [
        (MIN_TICK, 4295128739),
        (MIN_TICK + 1, 4295343490),
        (0, ONE),
        (50, 79426470787362580746886972461),
        (100, 79625275426524748796330556128),
        (250, 80224679980005306637834519095),
        (500, 81233731461783161732293370115),
        (1000, 83290069058676223003182343270),
        (2500, 89776708723587163891445672585),
        (3000, 92049301871182272007977902845),
        (4000, 96768528593268422080558758223),
        (5000, 101729702841318637793976746270),
        (50000, 965075977353221155028623082916),
        (150000, 143194173941309278083010301478497),
        (250000, 21246587762933397357449903968194344),
        (500000, 5697689776495288729098254600827762987878),
        (738203, 847134979253254120489401328389043031315994541),
        (MAX_TICK - 1, 1461373636630004318706518188784493106690254656249),
        (MAX_TICK, 1461446703485210103287273052203988822378723970342),
    ],
)
def test_published_ratios(tick: int, ratio: int) -> None:
    assert get_sqrt_ratio_at_tick(tick) == ratio
    if ratio < MAX_SQRT_RATIO:
        assert get_tick_at_sqrt_ratio(ratio) == tick


@given(st.integers(MIN_TICK, MAX_TICK))
def test_a_ratio_is_the_power_it_stands_for(tick: int) -> None:
    with localcontext() as context:
        context.prec = 80
        exact = Decimal("1.0001") ** (Decimal(tick) / 2) * (1 << 96)
        error = abs(get_sqrt_ratio_at_tick(tick) - exact)
    # Above tick 0 the contract inverts a 128-bit fraction, whose end is lost with height.
    assert error <= 1 + exact * exact / (1 << 96) / (1 << 110) + exact / (1 << 60)


@given(st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1))
def test_a_price_lies_between_its_tick_and_the_next(price: int) -> None:
    tick = get_tick_at_sqrt_ratio(price)
    assert get_sqrt_ratio_at_tick(tick) <= price < get_sqrt_ratio_at_tick(tick + 1)


@given(st.integers(MIN_TICK, MAX_TICK - 1), st.sampled_from([-1, 0, 1]))
def test_ticks_at_the_very_edge_of_a_price(tick: int, offset: int) -> None:
    price = get_sqrt_ratio_at_tick(tick) + offset
    if price >= MIN_SQRT_RATIO:
        assert get_tick_at_sqrt_ratio(price) == (tick - 1 if offset < 0 else tick)


def test_the_factors_are_powers_of_the_root() -> None:
    """Each to the nearest of its 128 places."""
    with localcontext() as context:
        context.prec = 80
        for bit, factor in enumerate(_FACTORS):
            exact = Decimal(1 << 128) / Decimal("1.0001") ** (Decimal(1 << bit) / 2)
            assert abs(exact - factor) < Decimal("0.5")
            assert get_sqrt_ratio_at_tick(-1 << bit) == -(-factor >> 32)
    assert 1 << len(_FACTORS) > MAX_TICK


@given(st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1))
def test_the_logarithm_is_rounded_down_to_14_places(price: int) -> None:
    with localcontext() as context:
        context.prec = 80
        exact = Decimal(price).ln() / Decimal(2).ln() * (1 << 14)
    # The decimal module rounds as well, in its 80th digit.
    assert Decimal("-1e-70") < exact - _log2(price) < Decimal("1.001")


def test_beyond_the_last_tick() -> None:
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(SwapError, match="outside"):
            get_sqrt_ratio_at_tick(tick)
    for price in (MIN_SQRT_RATIO - 1, MAX_SQRT_RATIO):
        with pytest.raises(SwapError, match="outside"):
            get_tick_at_sqrt_ratio(price)


def test_published_swap_steps() -> None:
    """The vectors of Uniswap V3 Core's SwapMath and SqrtPriceMath tests."""
    target = 79623317895830914510639640423  # sqrt(101/100)
    assert compute_swap_step(ONE, target, 2 * ETHER, ETHER, 600) == (
        target, 9975124224178055, 9925619580021728, 5988667735148,
    )  # fmt: skip
    assert compute_swap_step(ONE, target, 2 * ETHER, -ETHER, 600) == (
        target, 9975124224178055, 9925619580021728, 5988667735148,
    )  # fmt: skip
    upper = 87150978765690771352898345369  # sqrt(121/100)
    assert get_amount0_delta(ONE, upper, ETHER, True) == 90909090909090910
    assert get_amount0_delta(ONE, upper, ETHER, False) == 90909090909090909
    assert get_amount1_delta(ONE, upper, ETHER, True) == 100000000000000000
    assert get_amount1_delta(ONE, upper, ETHER, False) == 99999999999999999
    tenth = ETHER // 10
    assert get_next_sqrt_price_from_input(ONE, ETHER, tenth, False) == upper
    assert get_next_sqrt_price_from_input(ONE, ETHER, tenth, True) == 72025602285694852357767227579
    assert get_next_sqrt_price_from_output(ONE, ETHER, tenth, True) == 71305346262837903834189555302
    assert get_next_sqrt_price_from_output(ONE, ETHER, tenth, False) == (
        88031291682515930659493278152
    )


@given(
    st.sets(st.integers(-400, 400), max_size=12), st.integers(-500 * 60, 500 * 60), st.booleans()
)
def test_the_bitmap_walk_is_the_contract_s(places: set[int], tick: int, lte: bool) -> None:
    spacing = 60
    ticks = sorted(place * spacing for place in places)
    found = next_initialized_tick_within_one_word(ticks, tick, spacing, lte)
    compressed = tick // spacing
    if lte:
        word = range(compressed, (compressed >> 8 << 8) - 1, -1)
    else:
        word = range(compressed + 1, ((compressed + 1) >> 8 << 8) + 256)
    used = [place for place in word if place in places]
    assert found == ((used[0] if used else word[-1]) * spacing, bool(used))


@given(st.integers(1, 10**22), st.booleans())
def test_exact_out_is_the_other_way_of_exact_in(amount: int, first: bool) -> None:
    pool = pool_at_one()
    token_in, token_out = (TOKEN0, TOKEN1) if first else (TOKEN1, TOKEN0)
    sold = pool.swap_exact_in(token_in, amount)
    assert sold.amount_in <= amount
    if sold.amount_out:
        bought = pool.swap_exact_out(token_out, sold.amount_out)
        assert bought.amount_out == sold.amount_out
        assert bought.amount_in <= sold.amount_in


def test_a_pool_that_runs_dry_takes_less_than_offered() -> None:
    result = pool_at_one().swap_exact_in(TOKEN0, 10**24)
    assert result.amount_in < 10**17
    assert result.pool_after.liquidity == 0


@given(st.integers(-590, 590), st.integers(1, 10**30))
def test_a_mint_and_its_burn_leave_the_pool_as_it_was(tick: int, liquidity: int) -> None:
    pool = pool_at_one(sqrt_price_x96=get_sqrt_ratio_at_tick(tick), tick=tick)
    minted = pool.mint(-120, 60, liquidity)
    burnt = minted.pool_after.burn(-120, 60, liquidity)
    assert burnt.pool_after == pool
    assert 0 <= minted.amount0 - burnt.amount0 <= 1
    assert 0 <= minted.amount1 - burnt.amount1 <= 1


def test_a_swap_that_does_not_add_up_is_refused() -> None:
    pool = pool_at_one()
    after = pool.swap_exact_in(TOKEN1, 10**16).pool_after
    event = PoolSwap(
        pool=POOL, block_number=1, block_hash=bytes(32), transaction_hash=bytes(32), amount0=0,
        amount1=0, sqrt_price_x96=after.sqrt_price_x96, liquidity=after.liquidity + 1,
        log_index=0, tick=after.tick, sender=bytes(20), recipient=bytes(20),
    )  # fmt: skip
    with pytest.raises(PoolStateError, match="liquidity"):
        pool.apply(event)


def test_price_and_values_that_no_pool_has() -> None:
    assert pool_at_one().price == 1
    assert pool_at_one().spot_price(TOKEN0, TOKEN1) == Fraction(997, 1000)
    for changes in ({"tick_spacing": 0}, {"fee_pips": 10**6}, {"sqrt_price_x96": 5},
                    {"liquidity": 1 << 128}):  # fmt: skip
        with pytest.raises(PoolStateError):
            pool_at_one(**changes)
    with pytest.raises(SwapError, match="not initialised"):
        pool_at_one(sqrt_price_x96=0).swap_exact_in(TOKEN0, 1)
    with pytest.raises(SwapError, match="does not hold"):
        pool_at_one().swap_exact_in(InstrumentId.token(1, b"\x09" * 20), 1)
    with pytest.raises(SwapError, match="spacing"):
        pool_at_one().mint(-61, 60, 1)
    with pytest.raises(SwapError, match="price limit"):
        pool_at_one().swap_exact_in(TOKEN0, 1, sqrt_price_limit_x96=ONE + 1)


def test_a_pool_does_not_change_with_the_dict_it_was_made_of() -> None:
    ticks = {-600: ETHER, 600: -ETHER}
    pool = pool_at_one(ticks=ticks)
    ticks[0] = 5
    assert dict(pool.ticks) == {-600: ETHER, 600: -ETHER}
