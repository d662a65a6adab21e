"""Balancer V2: the Vault logs for every pool, under a 32-byte id that begins with its address.

Source: ``IVault.sol`` and ``BasePool.sol`` of Balancer V2.
"""

from __future__ import annotations

from typing import Any

from torq_codec.dex.abi import Event, Value, decode_arrays, encode_arrays
from torq_codec.dex.codec import Codec, EventCodec, Where, where
from torq_codec.dex.log import EventLog
from torq_types import (
    BalanceChange,
    InstrumentId,
    MalformedEventError,
    PoolBalanceChange,
    PoolFee,
    TokenChange,
)

__all__ = ["CODECS"]

_NO_ADDRESS = bytes(20)
_SIGN = 1 << 255


def _read_swap(place: Where, values: list[Any]) -> PoolBalanceChange:
    _, token_in, token_out, amount_in, amount_out = values
    if amount_in >= _SIGN or amount_out >= _SIGN:
        raise MalformedEventError(f"amounts {amount_in} and {amount_out} fit no balance")
    changes = (
        TokenChange(amount_in, 0, token_in, -1),
        TokenChange(-amount_out, 0, token_out, -1),
    )
    return PoolBalanceChange(
        **place, kind=BalanceChange.EXCHANGE, account=_NO_ADDRESS, changes=changes
    )


def _write_swap(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolBalanceChange) or event.kind is not BalanceChange.EXCHANGE:
        return None
    gained, lost = event.changes
    return [event.pool.body, gained.token, lost.token, gained.amount, -lost.amount]


class _PoolBalanceChanged(Codec):
    """``PoolBalanceChanged``: three arrays, one entry a token."""

    topic = bytes.fromhex("e5ce249087ce04f05a957192435400fd97868dba0e6a4b4c049abf8af80dae78")

    def decode(self, log: EventLog, pool: InstrumentId) -> PoolBalanceChange:
        """See :class:`Codec`."""
        if len(log.topics) != 3 or len(log.payload) < 96 or len(log.payload) % 32:
            raise MalformedEventError(
                f"expected 3 topics and three arrays, found {len(log.topics)} topics and"
                f" {len(log.payload)} bytes"
            )
        tokens, deltas, fees = decode_arrays(log.payload, 3)
        # Every word is one of the three arrays': what is left over would be lost on the way back.
        expected = 96 + 32 * (3 + len(tokens) + len(deltas) + len(fees))
        if not len(tokens) == len(deltas) == len(fees) or expected != len(log.payload):
            raise MalformedEventError(
                f"{len(tokens)} tokens, {len(deltas)} deltas and {len(fees)} fees do not pair"
            )
        if any(token >> 160 for token in tokens) or log.topics[2][:12] != bytes(12):
            raise MalformedEventError("an address of more than 20 bytes")
        changes = tuple(
            TokenChange(delta - (delta >> 255 << 256), fee, token.to_bytes(20, "big"), index)
            for index, (token, delta, fee) in enumerate(zip(tokens, deltas, fees, strict=True))
        )
        is_exit = any(change.amount < 0 for change in changes)
        return PoolBalanceChange(
            **where(log, pool),
            kind=BalanceChange.REMOVE if is_exit else BalanceChange.ADD,
            account=log.topics[2][12:],
            changes=changes,
        )

    def encode(self, event: Any) -> tuple[tuple[bytes, ...], bytes] | None:
        """See :class:`Codec`."""
        if not isinstance(event, PoolBalanceChange) or event.kind is BalanceChange.EXCHANGE:
            return None
        arrays = [
            [int.from_bytes(change.token, "big") for change in event.changes],
            [change.amount for change in event.changes],
            [change.fee for change in event.changes],
        ]
        topics = self.topic, event.pool.body, event.account.rjust(32, b"\0")
        return topics, encode_arrays(arrays, [])


def _read_fee(place: Where, values: list[Any]) -> PoolFee:
    if values[0] >> 64:
        raise MalformedEventError(f"a swap fee of {values[0]} is more than 10**18")
    return PoolFee(
        **place, fee=values[0], protocol_fee0=0, protocol_fee1=0, old_protocol_fee0=0,
        old_protocol_fee1=0, is_protocol=0,
    )  # fmt: skip


def _write_fee(event: Any) -> list[Value] | None:
    return [event.fee] if isinstance(event, PoolFee) else None


CODECS = (
    EventCodec(
        Event(
            "2170c741c41531aec20e7c107c24eecfdd15e69c9bb0a8dd37b1840b9e0b207b",
            "bytes32* poolId, address* tokenIn, address* tokenOut,"
            " uint256 amountIn, uint256 amountOut",
        ),
        _read_swap,
        _write_swap,
    ),
    _PoolBalanceChanged(),
    EventCodec(
        Event(
            "a9ba3ffe0b6c366b81232caab38605a0699ad5398d6cce76f91ee809e322dafc",
            "uint256 swapFeePercentage",
        ),
        _read_fee,
        _write_fee,
    ),
)
