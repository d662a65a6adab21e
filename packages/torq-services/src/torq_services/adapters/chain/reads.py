"""What a pool's contract says of itself at a block, by batched calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from eth_utils.crypto import keccak

from torq_amm import (
    ConcentratedLiquidityPool,
    ConstantProductPool,
    Pool,
    StableSwapPool,
    WeightedPool,
)
from torq_amm.concentrated import MAX_TICK
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_services.adapters.chain.rpc import CallError, Endpoint
from torq_services.state.exact import PIPS
from torq_types import ConfigError, InstrumentId, Venue

__all__ = ["read_metadata", "read_pool", "read_sample"]

_V2 = {Venue.UNISWAP_V2, Venue.SUSHISWAP_V2, Venue.QUICKSWAP_V2, Venue.PANCAKESWAP_V2}
_V3 = {Venue.UNISWAP_V3, Venue.SUSHISWAP_V3, Venue.PANCAKESWAP_V3}
_LONGEST_SYMBOL = 32
_V2_FEES = {Venue.PANCAKESWAP_V2: (9975, 10000)}
_PANCAKE_PARTS = 10_000
_ALGEBRA_PARTS = 1000


class _Call(msgspec.Struct, frozen=True):
    to: bytes
    payload: bytes


async def read_metadata(node: Endpoint, instrument: InstrumentId, vault: bytes) -> PoolMetadata:
    """Tokens, decimals, fees and tick spacing. Raises :class:`RpcError`, :class:`ConfigError`."""
    venue, pool = instrument.venue, instrument.body[:20]
    fee, denominator, spacing = 0, PIPS, 0
    rates: tuple[int, ...] = ()
    if venue in _V2:
        addresses = await _addresses(node, [_call(pool, "token0()"), _call(pool, "token1()")])
        numerator, denominator = _V2_FEES.get(venue, (997, 1000))
        fee = denominator - numerator
    elif venue in _V3 or venue is Venue.QUICKSWAP_V3:
        addresses = await _addresses(node, [_call(pool, "token0()"), _call(pool, "token1()")])
        (spacing,) = await _numbers(node, [_call(pool, "tickSpacing()")])
        if venue in _V3:
            (fee,) = await _numbers(node, [_call(pool, "fee()")])
    elif venue is Venue.CURVE:
        addresses = await _curve_coins(node, pool)
    elif venue is Venue.BALANCER_V2:
        words = await _one(node, _call(vault, "getPoolTokens(bytes32)", instrument.body))
        addresses = [word[12:] for word in _array(words, 0)]
        weights = await _one(node, _call(pool, "getNormalizedWeights()"))
        rates = tuple(int.from_bytes(word, "big") for word in _array(weights, 0))
    else:
        raise ConfigError(f"{venue.slug}: pools of this venue cannot be followed yet")
    decimals = await _numbers(node, [_call(address, "decimals()") for address in addresses])
    if venue is Venue.CURVE:
        rates = tuple(10 ** (36 - places) for places in decimals)
    tokens = tuple(InstrumentId.token(instrument.chain_id, address) for address in addresses)
    symbols = tuple([await _symbol(node, address) for address in addresses])
    return PoolMetadata(
        instrument, tokens, tuple(decimals), fee, denominator, spacing, rates, symbols
    )


async def _symbol(node: Endpoint, token: bytes) -> str:
    """A string, or as the oldest tokens have it 32 bytes; empty where there is none."""
    try:
        answer = await _one(node, _call(token, "symbol()"))
    except CallError:
        return ""
    if len(answer) >= 64:
        length = min(_word(answer, 1), _LONGEST_SYMBOL)
        answer = answer[64 : 64 + length]
    text = answer.rstrip(b"\0")[:_LONGEST_SYMBOL].decode(errors="replace")
    return "".join(character for character in text if character.isprintable())


async def read_pool(
    node: Endpoint, metadata: PoolMetadata, block_hash: bytes, vault: bytes = b""
) -> Pool:
    """The whole state at the end of a block. Raises :class:`RpcError`."""
    instrument, (token0, token1, *_) = metadata.instrument, metadata.tokens
    pool = instrument.body[:20]
    if instrument.venue in _V2:
        words = await _one(node, _call(pool, "getReserves()"), block_hash)
        return ConstantProductPool(
            instrument, token0, token1, _word(words, 0), _word(words, 1),
            metadata.fee_denominator - metadata.fee, metadata.fee_denominator,
        )  # fmt: skip
    if instrument.venue is Venue.CURVE:
        return await _read_stable(node, metadata, block_hash)
    if instrument.venue is Venue.BALANCER_V2:
        words, fee = await _results(
            node,
            [
                _call(vault, "getPoolTokens(bytes32)", instrument.body),
                _call(pool, "getSwapFeePercentage()"),
            ],
            block_hash,
        )
        balances = tuple(int.from_bytes(word, "big") for word in _array(words, 1))
        return WeightedPool(
            instrument, metadata.tokens, balances, metadata.rates, _word(fee, 0),
            metadata.decimals,
        )  # fmt: skip
    return await _read_concentrated(node, metadata, block_hash)


async def read_sample(
    node: Endpoint, metadata: PoolMetadata, value: Pool, block_hash: bytes, vault: bytes = b""
) -> Pool:
    """The chain's ``value``; of concentrated liquidity the price, liquidity and fees only.

    A wrong tick shows as a wrong liquidity as soon as the price crosses it.
    """
    if not isinstance(value, ConcentratedLiquidityPool):
        return await read_pool(node, metadata, block_hash, vault)
    return await _read_concentrated(node, metadata, block_hash, value)


async def _read_stable(node: Endpoint, metadata: PoolMetadata, block_hash: bytes) -> Pool:
    pool = metadata.instrument.body[:20]
    calls = [_call(pool, "A_precise()"), _call(pool, "fee()"), _call(pool, "admin_fee()")]
    calls += [_call(pool, "balances(uint256)", index) for index in range(len(metadata.tokens))]
    amplification, fee, admin_fee, *balances = await _numbers(node, calls, block_hash)
    return StableSwapPool(
        metadata.instrument, metadata.tokens, tuple(balances), metadata.rates, amplification, fee,
        admin_fee,
    )  # fmt: skip


async def _read_concentrated(
    node: Endpoint,
    metadata: PoolMetadata,
    block_hash: bytes,
    known: ConcentratedLiquidityPool | None = None,
) -> Pool:
    """``known``'s ticks are taken as they are; without it they are read."""
    instrument = metadata.instrument
    pool = instrument.body[:20]
    is_algebra = instrument.venue is Venue.QUICKSWAP_V3
    slot = "globalState()" if is_algebra else "slot0()"
    state, liquidity = await _results(
        node, [_call(pool, slot), _call(pool, "liquidity()")], block_hash
    )
    if known is None:
        ticks, gross = await _read_ticks(node, metadata, block_hash)
    else:
        ticks, gross = dict(known.ticks), dict(known.liquidity_gross or {})
    price, tick = _word(state, 0), _signed(state, 1)
    protocol0 = protocol1 = parts = 0
    fee = metadata.fee
    if is_algebra:
        fee, protocol0, protocol1 = _word(state, 2), _word(state, 4), _word(state, 5)
        parts = _ALGEBRA_PARTS
    elif instrument.venue is Venue.PANCAKESWAP_V3:
        protocol0, protocol1 = _word(state, 5) & 0xFFFF, _word(state, 5) >> 16
        parts = _PANCAKE_PARTS
    else:
        protocol0, protocol1 = _word(state, 5) & 0xF, _word(state, 5) >> 4
    return ConcentratedLiquidityPool(
        instrument, metadata.tokens[0], metadata.tokens[1], fee, metadata.tick_spacing, price,
        tick,
        _word(liquidity, 0),
        ticks, gross, protocol0, protocol1, parts,
    )  # fmt: skip


async def _read_ticks(
    node: Endpoint, metadata: PoolMetadata, block_hash: bytes
) -> tuple[dict[int, int], dict[int, int]]:
    """Net and gross liquidity of every initialised tick: the bitmap says which those are."""
    pool = metadata.instrument.body[:20]
    is_algebra = metadata.instrument.venue is Venue.QUICKSWAP_V3
    bitmap = "tickTable(int16)" if is_algebra else "tickBitmap(int16)"
    # Algebra's table has a bit for every tick, whatever the spacing.
    step = 1 if is_algebra else metadata.tick_spacing
    first, last = -MAX_TICK // step >> 8, MAX_TICK // step >> 8
    words = await _numbers(
        node, [_call(pool, bitmap, word) for word in range(first, last + 1)], block_hash
    )
    used = [
        ((first + place << 8) + bit) * step
        for place, word in enumerate(words)
        for bit in range(256)
        if word >> bit & 1
    ]
    entries = await _results(node, [_call(pool, "ticks(int24)", tick) for tick in used], block_hash)
    return (
        {tick: _signed(entry, 1) for tick, entry in zip(used, entries, strict=True)},
        {tick: _word(entry, 0) for tick, entry in zip(used, entries, strict=True)},
    )


async def _curve_coins(node: Endpoint, pool: bytes) -> list[bytes]:
    """Coins one by one: the contract reverts beyond the last."""
    coins: list[bytes] = []
    for index in range(8):
        try:
            coins += await _addresses(node, [_call(pool, "coins(uint256)", index)])
        except CallError:
            if len(coins) < 2:
                raise
            break
    return coins


def _call(to: bytes, signature: str, argument: int | bytes | None = None) -> _Call:
    payload = bytes(keccak(text=signature))[:4]
    if isinstance(argument, int):
        payload += argument.to_bytes(32, "big", signed=argument < 0)
    elif argument is not None:
        payload += argument
    return _Call(to, payload)


async def _results(
    node: Endpoint, calls: Sequence[_Call], block_hash: bytes | None = None
) -> list[bytes]:
    """What each call returns. At a block's hash: a block that was abandoned is an error."""
    if not calls:
        return []
    at: Any = "latest" if block_hash is None else {"blockHash": "0x" + block_hash.hex()}
    answers = await node.batch(
        [
            ("eth_call", ({"to": "0x" + call.to.hex(), "data": "0x" + call.payload.hex()}, at))
            for call in calls
        ]
    )
    results = [bytes.fromhex(str(answer).removeprefix("0x")) for answer in answers]
    for call, result in zip(calls, results, strict=True):
        if len(result) < 32:
            raise CallError(
                f"0x{call.to.hex()} answers {len(result)} bytes: not a pool of the venue named"
            )
    return results


async def _one(node: Endpoint, call: _Call, block_hash: bytes | None = None) -> bytes:
    return (await _results(node, [call], block_hash))[0]


async def _numbers(
    node: Endpoint, calls: Sequence[_Call], block_hash: bytes | None = None
) -> list[int]:
    return [_word(result, 0) for result in await _results(node, calls, block_hash)]


async def _addresses(node: Endpoint, calls: Sequence[_Call]) -> list[bytes]:
    return [result[12:32] for result in await _results(node, calls)]


def _word(result: bytes, place: int) -> int:
    return int.from_bytes(result[32 * place : 32 * place + 32], "big")


def _signed(result: bytes, place: int) -> int:
    return int.from_bytes(result[32 * place : 32 * place + 32], "big", signed=True)


def _array(result: bytes, place: int) -> list[bytes]:
    offset = _word(result, place)
    length = int.from_bytes(result[offset : offset + 32], "big")
    start = offset + 32
    return [result[at : at + 32] for at in range(start, start + 32 * length, 32)]
