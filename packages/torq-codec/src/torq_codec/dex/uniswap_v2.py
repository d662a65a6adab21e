"""Uniswap V2 and its forks (QuickSwap V2, SushiSwap V2, PancakeSwap V2).

Source: ``IUniswapV2Pair.sol`` of Uniswap V2 Core.
"""

from __future__ import annotations

from typing import Any

from torq_codec.dex.abi import Event, Value
from torq_codec.dex.codec import EventCodec, Where
from torq_types import PoolBurn, PoolMint, PoolSwap, PoolSync

__all__ = ["CODECS"]

_NO_ADDRESS = bytes(20)


def _read_sync(place: Where, values: list[Any]) -> PoolSync:
    return PoolSync(**place, reserve0=values[0], reserve1=values[1])


def _write_sync(event: Any) -> list[Value] | None:
    return [event.reserve0, event.reserve1] if isinstance(event, PoolSync) else None


def _read_swap(place: Where, values: list[Any]) -> PoolSwap:
    sender, in0, in1, out0, out1, recipient = values
    return PoolSwap(
        **place, amount0=in0 - out0, amount1=in1 - out1, sqrt_price_x96=0, liquidity=0, tick=0,
        sender=sender, recipient=recipient, amount0_out=out0, amount1_out=out1,
    )  # fmt: skip


def _write_swap(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolSwap):
        return None
    return [
        event.sender, event.amount0 + event.amount0_out, event.amount1 + event.amount1_out,
        event.amount0_out, event.amount1_out, event.recipient,
    ]  # fmt: skip


def _read_mint(place: Where, values: list[Any]) -> PoolMint:
    return PoolMint(
        **place, amount0=values[1], amount1=values[2], liquidity=0, tick_lower=0, tick_upper=0,
        owner=_NO_ADDRESS, sender=values[0],
    )  # fmt: skip


def _write_mint(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolMint):
        return None
    return [event.sender, event.amount0, event.amount1]


def _read_burn(place: Where, values: list[Any]) -> PoolBurn:
    return PoolBurn(
        **place, amount0=values[1], amount1=values[2], liquidity=0, tick_lower=0, tick_upper=0,
        owner=_NO_ADDRESS, sender=values[0], recipient=values[3],
    )  # fmt: skip


def _write_burn(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolBurn):
        return None
    return [event.sender, event.amount0, event.amount1, event.recipient]


CODECS = (
    EventCodec(
        Event(
            "1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1",
            "uint112 reserve0, uint112 reserve1",
        ),
        _read_sync,
        _write_sync,
    ),
    EventCodec(
        Event(
            "d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822",
            "address* sender, uint256 amount0In, uint256 amount1In,"
            " uint256 amount0Out, uint256 amount1Out, address* to",
        ),
        _read_swap,
        _write_swap,
    ),
    EventCodec(
        Event(
            "4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f",
            "address* sender, uint256 amount0, uint256 amount1",
        ),
        _read_mint,
        _write_mint,
    ),
    EventCodec(
        Event(
            "dccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496",
            "address* sender, uint256 amount0, uint256 amount1, address* to",
        ),
        _read_burn,
        _write_burn,
    ),
)
"""In the order of a swap's own two logs: Sync, then Swap."""
