"""TLV types 1 to 19: what markets say."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from torq_types.tlv import (
    I32,
    I256,
    TLV,
    U8,
    U16,
    U32,
    U64,
    U128,
    U160,
    U256,
    Address,
    Dec64,
    Entry,
    Hash32,
    Instrument,
    Text,
    Wire,
    tlv_type,
)

__all__ = [
    "GasPrice",
    "InstrumentMeta",
    "InvalidationReason",
    "L2Delta",
    "L2Reset",
    "L2Snapshot",
    "Level",
    "PoolBurn",
    "PoolLiquidity",
    "PoolMint",
    "PoolState",
    "PoolSwap",
    "PoolSync",
    "PoolTick",
    "Quote",
    "Side",
    "StateInvalidation",
    "TickLiquidity",
    "Trade",
]


class Side(IntEnum):
    """The taker's side of a trade, or the side of an order."""

    UNKNOWN = 0
    BUY = 1
    SELL = 2


class InvalidationReason(IntEnum):
    """Why state that was verified is not any more."""

    OTHER = 0
    DISCONNECTED = 1
    SEQUENCE_GAP = 2
    CHECKSUM = 3
    CROSSED = 4
    INCONSISTENT = 5
    """An update that does not fit the book it applies to."""
    SILENT = 6
    """Nothing was heard for longer than the venue's heartbeat allows."""
    MALFORMED = 7
    PRECISION = 8
    REORGANISED = 9
    SHUTDOWN = 10


SideField = Annotated[Side, Wire("u8", 1, 1)]
ReasonField = Annotated[InvalidationReason, Wire("u8", 1, 1)]


class Level(Entry, frozen=True, gc=False):
    """One price level of a book. A quantity of zero in a delta removes the level."""

    price: Dec64
    quantity: Dec64


@tlv_type(1)
class Trade(TLV, frozen=True, gc=False):
    """A trade as the exchange printed it."""

    instrument: Instrument
    price: Dec64
    quantity: Dec64
    """In the base currency."""
    exchange_timestamp_ns: U64
    """The exchange's own time of the trade, UTC nanoseconds; 0 when it gives none."""
    side: SideField
    """The taker's side."""
    trade_id: Text = ""
    """The exchange's own id."""


@tlv_type(2)
class Quote(TLV, frozen=True, gc=False):
    """Best bid and ask with their quantities."""

    instrument: Instrument
    bid: Dec64
    bid_quantity: Dec64
    ask: Dec64
    ask_quantity: Dec64
    exchange_timestamp_ns: U64


@tlv_type(4)
class InstrumentMeta(TLV, frozen=True, gc=False):
    """What the venue says of an instrument: currencies, increments, status."""

    instrument: Instrument
    price_increment: Dec64
    quantity_increment: Dec64
    minimum_quantity: Dec64
    status: U8
    """1 trading, 2 halted, 3 delisted, 0 unknown."""
    base: Text
    quote: Text


@tlv_type(5)
class L2Snapshot(TLV, frozen=True, gc=False):
    """A whole book: it replaces whatever was known of the instrument."""

    instrument: Instrument
    book_sequence: U64
    """Numbers this instrument's snapshots and deltas, so that any reader can see a missing one."""
    exchange_sequence: U64
    """The exchange's own sequence or update id; 0 when it gives none."""
    exchange_timestamp_ns: U64
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@tlv_type(6)
class L2Delta(TLV, frozen=True, gc=False):
    """Changed levels, with their new absolute quantities. It follows ``book_sequence - 1``."""

    instrument: Instrument
    book_sequence: U64
    exchange_sequence: U64
    exchange_timestamp_ns: U64
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@tlv_type(7)
class L2Reset(TLV, frozen=True, gc=False):
    """The book is empty and unknown until the next snapshot."""

    instrument: Instrument
    book_sequence: U64
    reason: ReasonField


@tlv_type(10)
class PoolLiquidity(TLV, frozen=True, gc=False):
    """A pool's active liquidity after a change."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    log_index: U32
    liquidity: U128


@tlv_type(11)
class PoolSwap(TLV, frozen=True, gc=False):
    """A swap: amounts are the pool's changes, in each token's smallest unit."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    amount0: I256
    amount1: I256
    sqrt_price_x96: U160
    """After the swap, Q64.96; 0 for pools without one."""
    liquidity: U128
    log_index: U32
    tick: I32
    sender: Address
    recipient: Address


@tlv_type(12)
class PoolMint(TLV, frozen=True, gc=False):
    """Liquidity added."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    amount0: U256
    amount1: U256
    liquidity: U128
    log_index: U32
    tick_lower: I32
    tick_upper: I32
    owner: Address


@tlv_type(13)
class PoolBurn(TLV, frozen=True, gc=False):
    """Liquidity removed."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    amount0: U256
    amount1: U256
    liquidity: U128
    log_index: U32
    tick_lower: I32
    tick_upper: I32
    owner: Address


@tlv_type(14)
class PoolTick(TLV, frozen=True, gc=False):
    """One initialised tick of a concentrated-liquidity pool."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    liquidity_gross: U128
    liquidity_net: I256
    tick: I32


class TickLiquidity(Entry, frozen=True, gc=False):
    """A tick, and the liquidity that enters (or leaves) as the price rises over it."""

    liquidity_net: I256
    tick: I32


@tlv_type(15)
class PoolState(TLV, frozen=True, gc=False):
    """A pool's whole state at a block."""

    pool: Instrument
    token0: Instrument
    token1: Instrument
    block_number: U64
    block_hash: Hash32
    reserve0: U256
    reserve1: U256
    sqrt_price_x96: U160
    liquidity: U128
    fee_pips: U32
    """Hundredths of a basis point."""
    tick: I32
    tick_spacing: I32
    ticks: tuple[TickLiquidity, ...]


@tlv_type(16)
class PoolSync(TLV, frozen=True, gc=False):
    """A constant-product pool's reserves, in each token's smallest unit."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    reserve0: U256
    reserve1: U256
    log_index: U32


@tlv_type(18)
class GasPrice(TLV, frozen=True, gc=False):
    """What a block's gas costs, in wei per unit of gas."""

    block_number: U64
    chain_id: U32
    base_fee: U256
    priority_fee: U256


@tlv_type(19)
class StateInvalidation(TLV, frozen=True, gc=False):
    """State that was verified is stale from here on, until a snapshot says otherwise."""

    instrument: Instrument
    sequence: U64
    """The book sequence (or block number) up to which the state had been verified."""
    venue: U16
    reason: ReasonField
    detail: Text = ""
