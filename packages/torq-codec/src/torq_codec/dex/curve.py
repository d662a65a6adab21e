"""Curve's StableSwap pools, of two to eight coins; NG pools log dynamic arrays.

Source: the events of Curve's plain-pool templates and of StableSwap NG.
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
    TokenChange,
)

__all__ = ["CODECS", "DYNAMIC_CODECS", "UNMODELLED", "Liquidity"]

_NO_ADDRESS = bytes(20)
_MAX_AMOUNT = 1 << 255

_ARRAY_TOPICS = {
    2: (
        "26f55a85081d24974e85c6c00045d0f0453991e95873f52bff0d21af4079a768",
        "7c363854ccf79623411f8995b362bce5eddff18c927edc6f5dbbb5e05819a82c",
        "2b5508378d7e19e0d5fa338419034731416c4f5b219a10379956f764317fd47e",
    ),
    3: (
        "423f6495a08fc652425cf4ed0d1f9e37e571d9b9529b1c1c23cce780b2e7df0d",
        "a49d4cf02656aebf8c771f5a8585638a2a15ee6c97cf7205d4208ed7c1df252d",
        "173599dbf9c6ca6f7c3b590df07ae98a45d74ff54065505141e7de6c46a624c2",
    ),
    4: (
        "3f1915775e0c9a38a57a7bb7f1f9005f486fb904e1f84aa215364d567319a58d",
        "9878ca375e106f2a43c3b599fc624568131c4c9a4ba66a14563715763be9d59d",
        "b964b72f73f5ef5bf0fdc559b2fab9a7b12a39e47817a547f1f0aee47febd602",
    ),
    5: (
        "38b7b1a287854d9e1805f88b66038659ee32e1d1362fccaba44923d3159ed493",
        "41ad86b931b621f30a3c50b0a81ba5d68071e47f52399c0628d6c44294c3f207",
        "c604f7b11e407e81b2c8d0d402b62a5244388c3eff3de7694a32bf418a3f360f",
    ),
    6: (
        "b75cb646d689818d2094e33e76c4c61b0c191da6a9d9c33e68e2a599c552a7d8",
        "50785567786321872d9fb6489b0346f324f223751a07092732964302b47bf5ab",
        "12a087e3c3dc9ab2fde2696c1a25b4ab8e56582dd91663298fc91cd4f8341e12",
    ),
    7: (
        "301dcd67d82fe8ed345a97ca49547a2f06d21f27e7a05f3e5f28eb40b1dcbe15",
        "3395d65477b7eb8fa2a2d301f3044675a88fe611b56c5c38f5b1e601bd3081a4",
        "7b3e9a12f6ba95be0994d0081a51c20ddeb29215d8374fcd15cbba37205524c6",
    ),
    8: (
        "1c9ab14f21b1a006fe118d6a90c08c8faf6f18e45fd16a78f059c85ce1dd10d5",
        "92906545a66f632fe59e5e9fff0088f6657095a61fe16d51186595e6383eabdb",
        "06f456afe29fc4ab3ed527b1bf38e4e0caf69e65626282269e0d07554e638b2f",
    ),
}
"""By number of coins: AddLiquidity, RemoveLiquidity, RemoveLiquidityImbalance."""
_DYNAMIC_TOPICS = (
    "189c623b666b1b45b83d7178f39b8c087cb09774317ca2f53c2d3c3726f222a2",
    "347ad828e58cbe534d8f6b67985d791360756b18f0d95fd9f197a66cc46480ea",
    "3631c28b1f9dd213e0319fb167b554d76b6c283a41143eb400a0d1adb1af1755",
)
_KINDS = BalanceChange.ADD, BalanceChange.REMOVE, BalanceChange.REMOVE_IMBALANCED

UNMODELLED = {
    bytes.fromhex("a2b71ec6df949300b59aab36b55e189697b750119dd349fcfa8c0f779e83c254"): "RampA",
    bytes.fromhex("46e22fb3709ad289f62ce63d469248536dbc78d82b84a3d7e74ad606dc201938"): "StopRampA",
    bytes.fromhex("be12859b636aed607d5230b2cc2711f68d70e51060e6cca1f575ef5d2fcc95d1"): "NewFee",
}
"""Events after which a pool has to be read from the chain again."""


class Liquidity(Codec):
    """AddLiquidity and its counterparts: two arrays, an invariant (not in REMOVE) and a supply."""

    def __init__(self, topic: str, kind: BalanceChange, coins: int | None) -> None:
        self.topic = bytes.fromhex(topic)
        self.kind = kind
        self.coins = coins
        self.tail = 1 if kind is BalanceChange.REMOVE else 2

    def decode(self, log: EventLog, pool: InstrumentId) -> PoolBalanceChange:
        """See :class:`Codec`."""
        payload = log.payload
        if len(log.topics) != 2 or log.topics[1][:12] != bytes(12):
            raise MalformedEventError(f"expected a provider's address, found {log.topics[1:]!r}")
        if self.coins is None:
            amounts, fees, tail = self._dynamic(payload)
        else:
            size = 32 * (2 * self.coins + self.tail)
            if len(payload) != size:
                raise MalformedEventError(f"expected {size} bytes, found {len(payload)}")
            words = [int.from_bytes(payload[at : at + 32], "big") for at in range(0, size, 32)]
            amounts, fees = words[: self.coins], words[self.coins : 2 * self.coins]
            tail = words[2 * self.coins :]
        if max(amounts, default=0) >= _MAX_AMOUNT:
            raise MalformedEventError(f"an amount of {max(amounts)} fits no balance")
        sign = 1 if self.kind is BalanceChange.ADD else -1
        return PoolBalanceChange(
            **where(log, pool),
            kind=self.kind,
            account=log.topics[1][12:],
            changes=tuple(
                TokenChange(sign * amount, fee, _NO_ADDRESS, index)
                for index, (amount, fee) in enumerate(zip(amounts, fees, strict=True))
            ),
            invariant=tail[0] if self.tail == 2 else 0,
            share_supply=tail[-1],
        )

    def encode(self, event: Any) -> tuple[tuple[bytes, ...], bytes] | None:
        """See :class:`Codec`."""
        if not isinstance(event, PoolBalanceChange) or event.kind is not self.kind:
            return None
        if self.coins is not None and len(event.changes) != self.coins:
            return None
        arrays = [
            [abs(change.amount) for change in event.changes],
            [change.fee for change in event.changes],
        ]
        tail = [event.share_supply] if self.tail == 1 else [event.invariant, event.share_supply]
        topics = self.topic, event.account.rjust(32, b"\0")
        if self.coins is None:
            return topics, encode_arrays(arrays, tail)
        words = [*arrays[0], *arrays[1], *tail]
        return topics, b"".join(word.to_bytes(32, "big") for word in words)

    def _dynamic(self, payload: bytes) -> tuple[list[int], list[int], list[int]]:
        if len(payload) < 32 * (2 + self.tail):
            raise MalformedEventError(f"{len(payload)} bytes are too few for two arrays")
        amounts, fees = decode_arrays(payload, 2)
        size = 32 * (4 + self.tail + len(amounts) + len(fees))
        if len(amounts) != len(fees) or len(payload) != size:
            raise MalformedEventError(
                f"{len(amounts)} amounts and {len(fees)} fees do not fill {len(payload)} bytes"
            )
        tail = [
            int.from_bytes(payload[32 * place : 32 * place + 32], "big")
            for place in range(2, 2 + self.tail)
        ]
        return amounts, fees, tail


def _read_exchange(place: Where, values: list[Any]) -> PoolBalanceChange:
    buyer, sold_id, sold, bought_id, bought = values
    for index in (sold_id, bought_id):
        if not 0 <= index < 256:
            raise MalformedEventError(f"a coin's index is 0 to 7; found {index}")
    if sold >= _MAX_AMOUNT or bought >= _MAX_AMOUNT:
        raise MalformedEventError(f"amounts {sold} and {bought} fit no balance")
    changes = (
        TokenChange(sold, 0, _NO_ADDRESS, sold_id),
        TokenChange(-bought, 0, _NO_ADDRESS, bought_id),
    )
    return PoolBalanceChange(**place, kind=BalanceChange.EXCHANGE, account=buyer, changes=changes)


def _write_exchange(event: Any) -> list[Value] | None:
    if not isinstance(event, PoolBalanceChange) or event.kind is not BalanceChange.EXCHANGE:
        return None
    sold, bought = event.changes
    return [event.account, sold.index, sold.amount, bought.index, -bought.amount]


def _one(place: Where, account: bytes, index: int, values: list[int]) -> PoolBalanceChange:
    shares, amount, supply = values
    if amount >= _MAX_AMOUNT or index > 255:
        raise MalformedEventError(f"coin {index} and amount {amount} fit no balance")
    return PoolBalanceChange(
        **place, kind=BalanceChange.REMOVE_ONE, account=account,
        changes=(TokenChange(-amount, 0, _NO_ADDRESS, index),), shares=shares, share_supply=supply,
    )  # fmt: skip


def _is_one(event: Any) -> bool:
    return isinstance(event, PoolBalanceChange) and event.kind is BalanceChange.REMOVE_ONE


def _read_one_old(place: Where, values: list[Any]) -> PoolBalanceChange:
    return _one(place, values[0], -1, [*values[1:], 0])


def _write_one_old(event: Any) -> list[Value] | None:
    if not _is_one(event) or event.changes[0].index >= 0 or event.share_supply:
        return None
    return [event.account, event.shares, -event.changes[0].amount]


def _read_one(place: Where, values: list[Any]) -> PoolBalanceChange:
    if not values[3]:
        raise MalformedEventError("a single coin cannot be all that is removed: supply 0")
    return _one(place, values[0], -1, values[1:])


def _write_one(event: Any) -> list[Value] | None:
    if not _is_one(event) or event.changes[0].index >= 0 or not event.share_supply:
        return None
    return [event.account, event.shares, -event.changes[0].amount, event.share_supply]


def _read_one_indexed(place: Where, values: list[Any]) -> PoolBalanceChange:
    if values[1] < 0:
        raise MalformedEventError(f"a coin's index is 0 to 7; found {values[1]}")
    return _one(place, values[0], values[1], values[2:])


def _write_one_indexed(event: Any) -> list[Value] | None:
    if not _is_one(event) or event.changes[0].index < 0:
        return None
    change = event.changes[0]
    return [event.account, change.index, event.shares, -change.amount, event.share_supply]


_EXCHANGES = (
    EventCodec(
        Event(
            "8b3e96f2b889fa771c53c981b40daf005f63f637f1869f707052d15a3dd97140",
            "address* buyer, int128 sold_id, uint256 tokens_sold,"
            " int128 bought_id, uint256 tokens_bought",
        ),
        _read_exchange,
        _write_exchange,
    ),
    EventCodec(
        Event(
            "9e96dd3b997a2a257eec4df9bb6eaf626e206df5f543bd963682d143300be310",
            "address* provider, uint256 token_amount, uint256 coin_amount",
        ),
        _read_one_old,
        _write_one_old,
    ),
    EventCodec(
        Event(
            "5ad056f2e28a8cec232015406b843668c1e36cda598127ec3b8c59b8c72773a0",
            "address* provider, uint256 token_amount, uint256 coin_amount, uint256 token_supply",
        ),
        _read_one,
        _write_one,
    ),
    EventCodec(
        Event(
            "6f48129db1f37ccb9cc5dd7e119cb32750cabdf75b48375d730d26ce3659bbe1",
            "address* provider, int128 token_id, uint256 token_amount, uint256 coin_amount,"
            " uint256 token_supply",
        ),
        _read_one_indexed,
        _write_one_indexed,
    ),
)

CODECS: tuple[Codec, ...] = (
    *_EXCHANGES,
    *(
        Liquidity(topic, kind, coins)
        for coins, topics in _ARRAY_TOPICS.items()
        for topic, kind in zip(topics, _KINDS, strict=True)
    ),
)
DYNAMIC_CODECS: tuple[Codec, ...] = tuple(
    Liquidity(topic, kind, None) for topic, kind in zip(_DYNAMIC_TOPICS, _KINDS, strict=True)
)
"""StableSwap NG's own logs of liquidity."""
