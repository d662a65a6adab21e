"""Uniswap V4: every pool lives in the PoolManager, under a 32-byte id.

Its Swap counts from the trader's side, so the signs turn. Its logs of liquidity have no amounts of
tokens: those fields are 0. Source: ``IPoolManager.sol`` of Uniswap V4 Core.
"""

from __future__ import annotations

from typing import Any

from torq_codec.dex.abi import Event, Value
from torq_codec.dex.codec import EventCodec, Where
from torq_types import (
    MalformedEventError,
    PoolBurn,
    PoolFee,
    PoolInitialize,
    PoolMint,
    PoolPayment,
    PoolPaymentKind,
    PoolSwap,
)

__all__ = ["CODECS"]

_NO_ADDRESS = bytes(20)


def _read_initialize(place: Where, values: list[Any]) -> PoolInitialize:
    _, token0, token1, fee, spacing, hooks, price, tick = values
    return PoolInitialize(
        **place, sqrt_price_x96=price, tick=tick, token0=token0, token1=token1, hooks=hooks,
        fee_pips=fee, tick_spacing=spacing,
    )  # fmt: skip


def _write_initialize(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolInitialize):
        return None
    return [
        event.pool.body, event.token0, event.token1, event.fee_pips, event.tick_spacing,
        event.hooks, event.sqrt_price_x96, event.tick,
    ]  # fmt: skip


def _read_swap(place: Where, values: list[Any]) -> PoolSwap:
    _, sender, amount0, amount1, price, liquidity, tick, fee = values
    return PoolSwap(
        **place, amount0=-amount0, amount1=-amount1, sqrt_price_x96=price, liquidity=liquidity,
        tick=tick, sender=sender, recipient=_NO_ADDRESS, fee_pips=fee,
    )  # fmt: skip


def _write_swap(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolSwap):
        return None
    return [
        event.pool.body, event.sender, -event.amount0, -event.amount1, event.sqrt_price_x96,
        event.liquidity, event.tick, event.fee_pips,
    ]  # fmt: skip


def _read_modify(place: Where, values: list[Any]) -> PoolMint | PoolBurn:
    _, sender, lower, upper, change, salt = values
    if abs(change) >> 128:
        raise MalformedEventError(f"liquidityDelta: {change} is more than a pool can hold")
    kind = PoolMint if change > 0 else PoolBurn
    return kind(
        **place, amount0=0, amount1=0, liquidity=abs(change), tick_lower=lower, tick_upper=upper,
        owner=sender, sender=sender, salt=salt,
    )  # fmt: skip


def _write_modify(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolMint | PoolBurn):
        return None
    change = event.liquidity if isinstance(event, PoolMint) else -event.liquidity
    return [
        event.pool.body, event.sender, event.tick_lower, event.tick_upper, change, event.salt,
    ]  # fmt: skip


def _read_protocol_fee(place: Where, values: list[Any]) -> PoolFee:
    fee = values[1]
    return PoolFee(
        **place, fee=0, protocol_fee0=fee & 0xFFF, protocol_fee1=fee >> 12, old_protocol_fee0=0,
        old_protocol_fee1=0, is_protocol=1,
    )  # fmt: skip


def _write_protocol_fee(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolFee):
        return None
    return [event.pool.body, event.protocol_fee1 << 12 | event.protocol_fee0]


def _read_donate(place: Where, values: list[Any]) -> PoolPayment:
    _, sender, amount0, amount1 = values
    return PoolPayment(
        **place, amount0=0, amount1=0, paid0=amount0, paid1=amount1, tick_lower=0, tick_upper=0,
        kind=PoolPaymentKind.DONATE, sender=sender, recipient=_NO_ADDRESS,
    )  # fmt: skip


def _write_donate(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolPayment):
        return None
    return [event.pool.body, event.sender, event.paid0, event.paid1]


CODECS = (
    EventCodec(
        Event(
            "40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f",
            "bytes32* id, address* sender, int128 amount0, int128 amount1,"
            " uint160 sqrtPriceX96, uint128 liquidity, int24 tick, uint24 fee",
        ),
        _read_swap,
        _write_swap,
    ),
    EventCodec(
        Event(
            "f208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec",
            "bytes32* id, address* sender, int24 tickLower, int24 tickUpper,"
            " int256 liquidityDelta, bytes32 salt",
        ),
        _read_modify,
        _write_modify,
    ),
    EventCodec(
        Event(
            "dd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438",
            "bytes32* id, address* currency0, address* currency1, uint24 fee,"
            " int24 tickSpacing, address hooks, uint160 sqrtPriceX96, int24 tick",
        ),
        _read_initialize,
        _write_initialize,
    ),
    EventCodec(
        Event(
            "e9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9",
            "bytes32* id, uint24 protocolFee",
        ),
        _read_protocol_fee,
        _write_protocol_fee,
    ),
    EventCodec(
        Event(
            "29ef05caaff9404b7cb6d1c0e9bbae9eaa7ab2541feba1a9c4248594c08156cb",
            "bytes32* id, address* sender, uint256 amount0, uint256 amount1",
        ),
        _read_donate,
        _write_donate,
    ),
)
