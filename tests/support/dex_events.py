"""Every event of every venue that is decoded, and logs of them by the reference encoder."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from torq_codec.dex import EventLog
from torq_types import InstrumentId, Venue

V2 = (
    "Sync(uint112,uint112)",
    "Swap(address*,uint256,uint256,uint256,uint256,address*)",
    "Mint(address*,uint256,uint256)",
    "Burn(address*,uint256,uint256,address*)",
)
POSITIONS = (
    "Initialize(uint160,int24)",
    "Mint(address,address*,int24*,int24*,uint128,uint256,uint256)",
    "Burn(address*,int24*,int24*,uint128,uint256,uint256)",
    "Collect(address*,address,int24*,int24*,uint128,uint128)",
    "Flash(address*,address*,uint256,uint256,uint256,uint256)",
)
V3_SWAP = "Swap(address*,address*,int256,int256,uint160,uint128,int24)"
COLLECT_PROTOCOL = "CollectProtocol(address*,address*,uint128,uint128)"
CURVE = (
    "TokenExchange(address*,int128,uint256,int128,uint256)",
    "RemoveLiquidityOne(address*,uint256,uint256)",
    "RemoveLiquidityOne(address*,uint256,uint256,uint256)",
    "RemoveLiquidityOne(address*,int128,uint256,uint256,uint256)",
    *(
        f"{name}(address*,uint256[{coins}],uint256[{coins}]{tail})"
        for coins in (*range(2, 9), "")
        for name, tail in (
            ("AddLiquidity", ",uint256,uint256"),
            ("RemoveLiquidity", ",uint256"),
            ("RemoveLiquidityImbalance", ",uint256,uint256"),
        )
    ),
)
EVENTS = {
    Venue.UNISWAP_V2: V2,
    Venue.UNISWAP_V3: (
        V3_SWAP, *POSITIONS, COLLECT_PROTOCOL, "SetFeeProtocol(uint8,uint8,uint8,uint8)",
    ),
    Venue.PANCAKESWAP_V3: (
        "Swap(address*,address*,int256,int256,uint160,uint128,int24,uint128,uint128)",
        *POSITIONS, COLLECT_PROTOCOL, "SetFeeProtocol(uint32,uint32,uint32,uint32)",
    ),
    Venue.QUICKSWAP_V3: (V3_SWAP, *POSITIONS, "Fee(uint16)", "CommunityFee(uint8,uint8)"),
    Venue.CURVE: CURVE,
    Venue.BALANCER_V2: (
        "Swap(bytes32*,address*,address*,uint256,uint256)",
        "PoolBalanceChanged(bytes32*,address*,address[],int256[],uint256[])",
        "SwapFeePercentageChanged(uint256)",
    ),
    Venue.UNISWAP_V4: (
        "Initialize(bytes32*,address*,address*,uint24,int24,address,uint160,int24)",
        "Swap(bytes32*,address*,int128,int128,uint160,uint128,int24,uint24)",
        "ModifyLiquidity(bytes32*,address*,int24,int24,int256,bytes32)",
        "ProtocolFeeUpdated(bytes32*,uint24)",
        "Donate(bytes32*,address*,uint256,uint256)",
    ),
}  # fmt: skip
CASES = [(venue, event) for venue, events in EVENTS.items() for event in events]
BLOCK: dict[str, Any] = {
    "block_number": 50_000_000, "block_hash": b"\x11" * 32, "transaction_hash": b"\x22" * 32,
    "log_index": 7,
}  # fmt: skip


def pool_of(venue: Venue) -> InstrumentId:
    """A pool of the venue."""
    return InstrumentId.pool(venue, 137, bytes(range(1, 1 + (venue.body_size or 20))))


def types_of(event: str) -> list[tuple[str, bool]]:
    """Each field's type, and whether it is indexed."""
    inner = event[event.index("(") + 1 : -1]
    return [(kind.rstrip("*"), kind.endswith("*")) for kind in inner.split(",")]


def as_log(event: str, values: list[Any], pool: InstrumentId) -> EventLog:
    """What eth-abi, the reference, makes of an event's values."""
    kinds = types_of(event)
    signature = event.replace("*", "")
    topics = [bytes(keccak(text=signature))]
    body_kinds, body = [], []
    for (kind, indexed), value in zip(kinds, values, strict=True):
        if indexed:
            topics.append(encode([kind], [value]))
        else:
            body_kinds.append(kind)
            body.append(value)
    return EventLog(pool.body[:20], tuple(topics), encode(body_kinds, body), **BLOCK)
