"""What contracts say of themselves, call by call, and what is made of it.

Selectors are those of the contracts' ABIs; the words are laid out by hand as the ABI has them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import pytest
from scripted_chain import call_key, word

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    StableSwapPool,
    WeightedPool,
)
from torq_services.adapters.chain.metadata import PoolMetadata, metas_of
from torq_services.adapters.chain.reads import read_metadata, read_pool, read_sample
from torq_services.adapters.chain.rpc import CallError, Endpoint, RateLimit
from torq_types import ConfigError, Decimal64, InstrumentId, InstrumentMeta, Venue

Result = TypeVar("Result")
ADDRESS, VAULT = b"\x09" * 20, b"\x0c" * 20
A, B, C = (InstrumentId.token(1, bytes([n]) * 20) for n in (1, 2, 3))
BLOCK = b"\x22" * 32
NO_HASH = bytes(20)


def pool_id(venue: Venue) -> InstrumentId:
    return InstrumentId.pool(venue, 1, (ADDRESS + bytes(12))[: venue.body_size])


def address(token: InstrumentId) -> bytes:
    return bytes(12) + token.body


def text(value: bytes) -> bytes:
    """A string as the ABI has it: where it begins, how long it is, its bytes."""
    return word(32, len(value)) + value + bytes(-len(value) % 32)


class Contracts(Endpoint):
    """Answers calls by contract and data; anything else reverts."""

    def __init__(self) -> None:
        super().__init__(None, "", RateLimit(10**6), Counter())  # type: ignore[arg-type]
        self.calls: dict[tuple[str, str], bytes] = {}
        self.places: list[Any] = []
        for token, places, symbol in (
            (A, 18, text(b"WETH")), (B, 6, b"USDC".ljust(32, b"\0")), (C, 8, b""),
        ):  # fmt: skip
            self.tell(token.body, "decimals()", word(places))
            self.tell(token.body, "symbol()", symbol)

    def tell(self, to: bytes, signature: str, answer: bytes, argument: bytes = b"") -> None:
        self.calls[call_key(to, signature, argument)] = answer

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        answers = []
        for method, (call, place) in calls:
            assert method == "eth_call"
            self.places.append(place)
            found = self.calls.get((call["to"], call["data"]))
            if found is None:
                raise CallError("execution reverted")
            answers.append("0x" + found.hex())
        return answers


def run(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(main)


@pytest.fixture
def node() -> Contracts:
    return Contracts()


def pair(node: Contracts) -> None:
    node.tell(ADDRESS, "token0()", address(A))
    node.tell(ADDRESS, "token1()", address(B))


@pytest.mark.parametrize(
    ("venue", "fee", "denominator"),
    [
        (Venue.UNISWAP_V2, 3, 1000), (Venue.SUSHISWAP_V2, 3, 1000), (Venue.QUICKSWAP_V2, 3, 1000),
        (Venue.PANCAKESWAP_V2, 25, 10_000),
    ],
)  # fmt: skip
def test_a_pair(node: Contracts, venue: Venue, fee: int, denominator: int) -> None:
    """0.3 %, and PancakeSwap's 0.25 %."""
    pair(node)
    metadata = run(read_metadata(node, pool_id(venue), VAULT))
    assert metadata == PoolMetadata(
        pool_id(venue), (A, B), (18, 6), fee, denominator, 0, (), ("WETH", "USDC")
    )
    assert set(map(str, node.places)) == {"latest"}
    node.places.clear()
    node.tell(ADDRESS, "getReserves()", word(1000, 2000, 1_700_000_000))
    for read in (read_pool(node, metadata, BLOCK), read_sample_of(node, metadata)):
        assert run(read) == ConstantProductPool(
            pool_id(venue), A, B, 1000, 2000, denominator - fee, denominator
        )
    assert node.places == [{"blockHash": "0x" + BLOCK.hex()}] * 2


async def read_sample_of(node: Contracts, metadata: PoolMetadata) -> Any:
    value = ConstantProductPool(metadata.instrument, A, B, 5, 5)
    return await read_sample(node, metadata, value, BLOCK)


def ticks(node: Contracts, bitmap: str, words: dict[int, int], known: int) -> None:
    """Every word of a bitmap, zero where nothing is said."""
    for place in range(-known - 1, known + 1):
        node.tell(ADDRESS, bitmap, word(words.get(place, 0)), word(place))


CONCENTRATED = {
    # Uniswap: the protocol's parts are nibbles of one byte.
    "uniswap": (Venue.UNISWAP_V3, word(2**96, -7, 1, 2, 3, 0x64, 1), (4, 6, 0)),
    "sushiswap": (Venue.SUSHISWAP_V3, word(2**96, -7, 1, 2, 3, 0x06, 1), (6, 0, 0)),
    # PancakeSwap: 16 bits each, of 10,000.
    "pancakeswap": (
        Venue.PANCAKESWAP_V3, word(2**96, -7, 1, 2, 3, 3200 << 16 | 3300, 1), (3300, 3200, 10_000),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("venue", "slot", "parts"), CONCENTRATED.values(), ids=CONCENTRATED)
def test_concentrated_liquidity(
    node: Contracts, venue: Venue, slot: bytes, parts: tuple[int, int, int]
) -> None:
    """Ticks -60, 0 and 15,360 at a spacing of 60: the bits 255 of word -1, 0 of 0, 0 of 1."""
    pair(node)
    node.tell(ADDRESS, "tickSpacing()", word(60))
    node.tell(ADDRESS, "fee()", word(3000))
    metadata = run(read_metadata(node, pool_id(venue), VAULT))
    assert metadata == PoolMetadata(
        pool_id(venue), (A, B), (18, 6), 3000, 1_000_000, 60, (), ("WETH", "USDC")
    )
    node.tell(ADDRESS, "slot0()", slot)
    node.tell(ADDRESS, "liquidity()", word(900))
    # MAX_TICK is 887,272: of 14,787 multiples of 60 a side, 256 in a word.
    ticks(node, "tickBitmap(int16)", {-1: 1 << 255, 0: 1, 1: 1}, 57)
    for tick, gross, net in ((-60, 900, 900), (0, 50, -10), (15_360, 890, -890)):
        node.tell(ADDRESS, "ticks(int24)", word(gross, net, 5, 5), word(tick))
    expected = ConcentratedLiquidityPool(
        pool_id(venue), A, B, 3000, 60, 2**96, -7, 900, {-60: 900, 0: -10, 15_360: -890},
        {-60: 900, 0: 50, 15_360: 890}, *parts,
    )  # fmt: skip
    node.places.clear()
    assert run(read_pool(node, metadata, BLOCK)) == expected
    assert len(node.places) == 2 + 116 + 3
    node.places.clear()
    known = msgspec.structs.replace(expected, sqrt_price_x96=2**95, liquidity=1)
    assert run(read_sample(node, metadata, known, BLOCK)) == expected
    assert len(node.places) == 2, "the ticks are taken as they are"


def test_algebra_has_a_bit_for_every_tick_and_a_fee_that_changes(node: Contracts) -> None:
    """globalState: price, tick, fee, timepoint, and the community's fee of each token, of 1000."""
    venue = Venue.QUICKSWAP_V3
    pair(node)
    node.tell(ADDRESS, "tickSpacing()", word(60))
    metadata = run(read_metadata(node, pool_id(venue), VAULT))
    assert (metadata.fee, metadata.tick_spacing) == (0, 60)
    node.tell(ADDRESS, "globalState()", word(2**96, -7, 150, 9, 30, 40, 1))
    node.tell(ADDRESS, "liquidity()", word(900))
    ticks(node, "tickTable(int16)", {-1: 1 << 196, 0: 1 << 60}, 3466)
    for tick, gross, net in ((-60, 900, 900), (60, 910, -900)):
        node.tell(ADDRESS, "ticks(int24)", word(gross, net), word(tick))
    assert run(read_pool(node, metadata, BLOCK)) == ConcentratedLiquidityPool(
        pool_id(venue), A, B, 150, 60, 2**96, -7, 900, {-60: 900, 60: -900},
        {-60: 900, 60: 910}, 30, 40, 1000,
    )  # fmt: skip


def test_a_pool_without_ticks(node: Contracts) -> None:
    metadata = PoolMetadata(pool_id(Venue.UNISWAP_V3), (A, B), (18, 6), 3000, 10**6, 60)
    node.tell(ADDRESS, "slot0()", word(0, 0, 0, 0, 0, 0, 1))
    node.tell(ADDRESS, "liquidity()", word(0))
    ticks(node, "tickBitmap(int16)", {}, 57)
    value = run(read_pool(node, metadata, BLOCK))
    assert isinstance(value, ConcentratedLiquidityPool)
    assert (dict(value.ticks), value.fee_protocol_denominator) == ({}, 0)


def test_stable_swap(node: Contracts) -> None:
    """Three coins; a rate is 10**(36 - decimals)."""
    venue = Venue.CURVE
    for index, token in enumerate((A, B, C)):
        node.tell(ADDRESS, "coins(uint256)", address(token), word(index))
        node.tell(ADDRESS, "balances(uint256)", word(10 + index), word(index))
    metadata = run(read_metadata(node, pool_id(venue), VAULT))
    assert metadata == PoolMetadata(
        pool_id(venue), (A, B, C), (18, 6, 8), 0, 1_000_000, 0, (10**18, 10**30, 10**28),
        ("WETH", "USDC", ""),
    )  # fmt: skip
    for name, value in (("A_precise()", 20_000), ("fee()", 4_000_000), ("admin_fee()", 5 * 10**9)):
        node.tell(ADDRESS, name, word(value))
    node.places.clear()
    assert run(read_pool(node, metadata, BLOCK)) == StableSwapPool(
        pool_id(venue), (A, B, C), (10, 11, 12), (10**18, 10**30, 10**28), 20_000, 4_000_000,
        5 * 10**9,
    )  # fmt: skip
    assert node.places == [{"blockHash": "0x" + BLOCK.hex()}] * 6


def test_a_stable_swap_pool_has_two_to_eight_coins(node: Contracts) -> None:
    metadata = None
    for count in range(10):
        if count:
            node.tell(ADDRESS, "coins(uint256)", address(A), word(count - 1))
        if count < 2:
            with pytest.raises(CallError):
                run(read_metadata(node, pool_id(Venue.CURVE), VAULT))
        else:
            metadata = run(read_metadata(node, pool_id(Venue.CURVE), VAULT))
            assert len(metadata.tokens) == min(count, 8)
    assert metadata is not None


def test_weighted(node: Contracts) -> None:
    """The Vault's answer: where the tokens and the balances begin, and the last block."""
    venue = Venue.BALANCER_V2
    pool = pool_id(venue)
    vault = word(96, 192, 17) + word(2) + address(A) + address(B) + word(2, 1000, 2000)
    node.tell(VAULT, "getPoolTokens(bytes32)", vault, pool.body)
    node.tell(ADDRESS, "getNormalizedWeights()", word(32, 2, 8 * 10**17, 2 * 10**17))
    node.tell(ADDRESS, "getSwapFeePercentage()", word(10**15))
    metadata = run(read_metadata(node, pool, VAULT))
    assert metadata == PoolMetadata(
        pool, (A, B), (18, 6), 0, 1_000_000, 0, (8 * 10**17, 2 * 10**17), ("WETH", "USDC")
    )
    assert run(read_pool(node, metadata, BLOCK, VAULT)) == WeightedPool(
        pool, (A, B), (1000, 2000), (8 * 10**17, 2 * 10**17), 10**15, (18, 6)
    )


def test_other_venues_cannot_be_followed_yet(node: Contracts) -> None:
    with pytest.raises(ConfigError, match="uniswap_v4: pools of this venue"):
        run(read_metadata(node, InstrumentId.pool(Venue.UNISWAP_V4, 1, bytes(32)), VAULT))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (text(b"WETH"), "WETH"), (b"MKR".ljust(32, b"\0"), "MKR"), (text(b""), ""), (b"", ""),
        (text(b"x" * 40), "x" * 32), (b"y" * 32, "y" * 32), (text(b"A\x07B\nC"), "ABC"),
        (text(b"\xff!"), "�!"), (text("T\u200bK".encode()), "TK"),
    ],
)  # fmt: skip
def test_a_token_may_call_itself_anything(node: Contracts, answer: bytes, expected: str) -> None:
    pair(node)
    node.tell(B.body, "symbol()", answer)
    metadata = run(read_metadata(node, pool_id(Venue.UNISWAP_V2), VAULT))
    assert metadata.symbols == ("WETH", expected)


def test_a_token_without_a_name_is_nameless(node: Contracts) -> None:
    pair(node)
    del node.calls[call_key(B.body, "symbol()")]
    assert run(read_metadata(node, pool_id(Venue.UNISWAP_V2), VAULT)).symbols == ("WETH", "")


def test_an_answer_that_is_too_short_is_no_pool_s(node: Contracts) -> None:
    pair(node)
    for answer in (b"", bytes(31)):
        node.tell(ADDRESS, "token1()", answer)
        with pytest.raises(CallError, match=f"0x{'09' * 20} answers {len(answer)} bytes: not a"):
            run(read_metadata(node, pool_id(Venue.UNISWAP_V2), VAULT))
    node.tell(ADDRESS, "token1()", bytes(32))
    node.tell(NO_HASH, "decimals()", word(0))
    assert run(read_metadata(node, pool_id(Venue.UNISWAP_V2), VAULT)).decimals == (18, 0)


def test_what_metadata_leaves_out_is_nothing() -> None:
    bare = PoolMetadata(pool_id(Venue.UNISWAP_V2), (A, B), (18, 6))
    assert bare == PoolMetadata(bare.instrument, (A, B), (18, 6), 0, 1_000_000, 0, (), ())


def test_tokens_are_told_with_their_smallest_units() -> None:
    metadata = PoolMetadata(pool_id(Venue.UNISWAP_V2), (A, B), (18, 6), symbols=("WETH", ""))
    none = Decimal64(0, 0)
    assert metas_of(metadata) == {
        A: InstrumentMeta(A, none, Decimal64(1, -18), none, 1, "WETH", ""),
        B: InstrumentMeta(B, none, Decimal64(1, -6), none, 1, "", ""),
    }
    with pytest.raises(ValueError, match="zip"):
        metas_of(PoolMetadata(pool_id(Venue.UNISWAP_V2), (A, B), (18, 6), symbols=("WETH",)))
