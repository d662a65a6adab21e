"""Uniswap V3 and its forks, PancakeSwap V3's longer Swap included.

Source: ``IUniswapV3PoolEvents.sol`` of Uniswap V3 Core and ``IPancakeV3PoolEvents.sol``.
"""

from __future__ import annotations

from typing import Any

from torq_codec.dex.abi import Event, Value
from torq_codec.dex.codec import EventCodec, Where
from torq_types import (
    PoolBurn,
    PoolFee,
    PoolInitialize,
    PoolMint,
    PoolPayment,
    PoolPaymentKind,
    PoolSwap,
)

__all__ = ["CODECS", "PANCAKESWAP_CODECS", "POSITION_CODECS", "SWAP_CODEC"]


def _read_initialize(place: Where, values: list[Any]) -> PoolInitialize:
    return PoolInitialize(**place, sqrt_price_x96=values[0], tick=values[1])


def _write_initialize(event: Any) -> list[Value] | None:
    return [event.sqrt_price_x96, event.tick] if isinstance(event, PoolInitialize) else None


def _read_swap(place: Where, values: list[Any]) -> PoolSwap:
    sender, recipient, amount0, amount1, price, liquidity, tick = values
    return PoolSwap(
        **place, amount0=amount0, amount1=amount1, sqrt_price_x96=price, liquidity=liquidity,
        tick=tick, sender=sender, recipient=recipient,
    )  # fmt: skip


def _write_swap(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolSwap):
        return None
    return [
        event.sender, event.recipient, event.amount0, event.amount1, event.sqrt_price_x96,
        event.liquidity, event.tick,
    ]  # fmt: skip


def _read_pancake_swap(place: Where, values: list[Any]) -> PoolSwap:
    sender, recipient, amount0, amount1, price, liquidity, tick, fee0, fee1 = values
    return PoolSwap(
        **place, amount0=amount0, amount1=amount1, sqrt_price_x96=price, liquidity=liquidity,
        tick=tick, sender=sender, recipient=recipient, protocol_fee0=fee0, protocol_fee1=fee1,
    )  # fmt: skip


def _write_pancake_swap(event: Any) -> list[Value] | None:
    values = _write_swap(event)
    return None if values is None else [*values, event.protocol_fee0, event.protocol_fee1]


def _read_mint(place: Where, values: list[Any]) -> PoolMint:
    sender, owner, lower, upper, liquidity, amount0, amount1 = values
    return PoolMint(
        **place, amount0=amount0, amount1=amount1, liquidity=liquidity, tick_lower=lower,
        tick_upper=upper, owner=owner, sender=sender,
    )  # fmt: skip


def _write_mint(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolMint):
        return None
    return [
        event.sender, event.owner, event.tick_lower, event.tick_upper, event.liquidity,
        event.amount0, event.amount1,
    ]  # fmt: skip


def _read_burn(place: Where, values: list[Any]) -> PoolBurn:
    owner, lower, upper, liquidity, amount0, amount1 = values
    return PoolBurn(
        **place, amount0=amount0, amount1=amount1, liquidity=liquidity, tick_lower=lower,
        tick_upper=upper, owner=owner,
    )  # fmt: skip


def _write_burn(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolBurn):
        return None
    return [
        event.owner, event.tick_lower, event.tick_upper, event.liquidity,
        event.amount0, event.amount1,
    ]  # fmt: skip


def _read_collect(place: Where, values: list[Any]) -> PoolPayment:
    owner, recipient, lower, upper, amount0, amount1 = values
    return PoolPayment(
        **place, amount0=amount0, amount1=amount1, paid0=0, paid1=0, tick_lower=lower,
        tick_upper=upper, kind=PoolPaymentKind.COLLECT, sender=owner, recipient=recipient,
    )  # fmt: skip


def _write_collect(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolPayment) or event.kind is not PoolPaymentKind.COLLECT:
        return None
    return [
        event.sender, event.recipient, event.tick_lower, event.tick_upper,
        event.amount0, event.amount1,
    ]  # fmt: skip


def _read_collect_protocol(place: Where, values: list[Any]) -> PoolPayment:
    sender, recipient, amount0, amount1 = values
    return PoolPayment(
        **place, amount0=amount0, amount1=amount1, paid0=0, paid1=0, tick_lower=0, tick_upper=0,
        kind=PoolPaymentKind.COLLECT_PROTOCOL, sender=sender, recipient=recipient,
    )  # fmt: skip


def _write_collect_protocol(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolPayment) or event.kind is not PoolPaymentKind.COLLECT_PROTOCOL:
        return None
    return [event.sender, event.recipient, event.amount0, event.amount1]


def _read_flash(place: Where, values: list[Any]) -> PoolPayment:
    sender, recipient, amount0, amount1, paid0, paid1 = values
    return PoolPayment(
        **place, amount0=amount0, amount1=amount1, paid0=paid0, paid1=paid1, tick_lower=0,
        tick_upper=0, kind=PoolPaymentKind.FLASH, sender=sender, recipient=recipient,
    )  # fmt: skip


def _write_flash(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolPayment) or event.kind is not PoolPaymentKind.FLASH:
        return None
    return [
        event.sender, event.recipient, event.amount0, event.amount1, event.paid0, event.paid1,
    ]  # fmt: skip


def _read_set_fee_protocol(place: Where, values: list[Any]) -> PoolFee:
    old0, old1, new0, new1 = values
    return PoolFee(
        **place, fee=0, protocol_fee0=new0, protocol_fee1=new1, old_protocol_fee0=old0,
        old_protocol_fee1=old1, is_protocol=1,
    )  # fmt: skip


def _write_set_fee_protocol(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolFee) or not event.is_protocol:
        return None
    return [
        event.old_protocol_fee0, event.old_protocol_fee1, event.protocol_fee0, event.protocol_fee1,
    ]  # fmt: skip


_SWAP_FIELDS = (
    "address* sender, address* recipient, int256 amount0, int256 amount1,"
    " uint160 sqrtPriceX96, uint128 liquidity, int24 tick"
)

SWAP_CODEC = EventCodec(
    Event("c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67", _SWAP_FIELDS),
    _read_swap,
    _write_swap,
)

POSITION_CODECS = (
    EventCodec(
        Event(
            "98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95",
            "uint160 sqrtPriceX96, int24 tick",
        ),
        _read_initialize,
        _write_initialize,
    ),
    EventCodec(
        Event(
            "7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde",
            "address sender, address* owner, int24* tickLower, int24* tickUpper,"
            " uint128 amount, uint256 amount0, uint256 amount1",
        ),
        _read_mint,
        _write_mint,
    ),
    EventCodec(
        Event(
            "0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c",
            "address* owner, int24* tickLower, int24* tickUpper,"
            " uint128 amount, uint256 amount0, uint256 amount1",
        ),
        _read_burn,
        _write_burn,
    ),
    EventCodec(
        Event(
            "70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0",
            "address* owner, address recipient, int24* tickLower, int24* tickUpper,"
            " uint128 amount0, uint128 amount1",
        ),
        _read_collect,
        _write_collect,
    ),
    EventCodec(
        Event(
            "bdbdb71d7860376ba52b25a5028beea23581364a40522f6bcfb86bb1f2dca633",
            "address* sender, address* recipient, uint256 amount0, uint256 amount1,"
            " uint256 paid0, uint256 paid1",
        ),
        _read_flash,
        _write_flash,
    ),
)

_COLLECT_PROTOCOL = EventCodec(
    Event(
        "596b573906218d3411850b26a6b437d6c4522fdb43d2d2386263f86d50b8b151",
        "address* sender, address* recipient, uint128 amount0, uint128 amount1",
    ),
    _read_collect_protocol,
    _write_collect_protocol,
)

CODECS = (
    SWAP_CODEC,
    *POSITION_CODECS,
    _COLLECT_PROTOCOL,
    EventCodec(
        Event(
            "973d8d92bb299f4af6ce49b52a8adb85ae46b9f214c4c4fc06ac77401237b133",
            "uint8 feeProtocol0Old, uint8 feeProtocol1Old,"
            " uint8 feeProtocol0New, uint8 feeProtocol1New",
        ),
        _read_set_fee_protocol,
        _write_set_fee_protocol,
    ),
)

PANCAKESWAP_CODECS = (
    EventCodec(
        Event(
            "19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83",
            _SWAP_FIELDS + ", uint128 protocolFeesToken0, uint128 protocolFeesToken1",
        ),
        _read_pancake_swap,
        _write_pancake_swap,
    ),
    *POSITION_CODECS,
    _COLLECT_PROTOCOL,
    EventCodec(
        Event(
            "b3159fed3ddfba67bae294599eafe2d0ec98c08bb38e0e5fb87d33154b6e05aa",
            "uint32 feeProtocol0Old, uint32 feeProtocol1Old,"
            " uint32 feeProtocol0New, uint32 feeProtocol1New",
        ),
        _read_set_fee_protocol,
        _write_set_fee_protocol,
    ),
)
