"""Algebra 1, whose pools change their fee as they trade (QuickSwap V3).

Its swaps and positions are logged as Uniswap V3's. Source: ``IAlgebraPoolEvents.sol``.
"""

from __future__ import annotations

from typing import Any

from torq_codec.dex.abi import Event, Value
from torq_codec.dex.codec import EventCodec, Where
from torq_codec.dex.uniswap_v3 import POSITION_CODECS, SWAP_CODEC
from torq_types import PoolFee

__all__ = ["CODECS"]


def _fee(place: Where, fee: int, protocol0: int, protocol1: int, is_protocol: int) -> PoolFee:
    return PoolFee(
        **place, fee=fee, protocol_fee0=protocol0, protocol_fee1=protocol1, old_protocol_fee0=0,
        old_protocol_fee1=0, is_protocol=is_protocol,
    )  # fmt: skip


def _read_fee(place: Where, values: list[Any]) -> PoolFee:
    return _fee(place, values[0], 0, 0, 0)


def _write_fee(event: Any) -> list[Value] | None:
    return [event.fee] if isinstance(event, PoolFee) and not event.is_protocol else None


def _read_community_fee(place: Where, values: list[Any]) -> PoolFee:
    return _fee(place, 0, values[0], values[1], 1)


def _write_community_fee(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolFee) or not event.is_protocol:
        return None
    return [event.protocol_fee0, event.protocol_fee1]


CODECS = (
    SWAP_CODEC,
    *POSITION_CODECS,
    EventCodec(
        Event("598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a", "uint16 fee"),
        _read_fee,
        _write_fee,
    ),
    EventCodec(
        Event(
            "9e22b964b08e25c3aaa72102bb0071c089258fb82d51271a8ddf5c24921356ee",
            "uint8 communityFee0New, uint8 communityFee1New",
        ),
        _read_community_fee,
        _write_community_fee,
    ),
)
