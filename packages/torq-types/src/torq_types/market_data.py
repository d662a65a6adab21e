"""TLV types 1 to 19: what markets say."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from torq_types.decimals import Decimal64
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
    Since,
    Text,
    Wire,
    tlv_type,
)

__all__ = [
    "UNKNOWN_FEE",
    "BalanceChange",
    "GasPrice",
    "InstrumentMeta",
    "InvalidationReason",
    "L2Delta",
    "L2Reset",
    "L2Snapshot",
    "Level",
    "PoolBalanceChange",
    "PoolBurn",
    "PoolFee",
    "PoolInitialize",
    "PoolKind",
    "PoolLiquidity",
    "PoolMint",
    "PoolPayment",
    "PoolPaymentKind",
    "PoolState",
    "PoolSwap",
    "PoolSync",
    "PoolTick",
    "PoolToken",
    "Quote",
    "Side",
    "StateInvalidation",
    "TickLiquidity",
    "TokenChange",
    "Trade",
]

UNKNOWN_FEE: Final = -(2**31)
"""In place of a fee that the venue does not publish."""


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
    OVERFLOW = 11
    """More updates than could be held back while a snapshot was on its way."""
    HALTED = 12
    """The venue says that it is under maintenance, or that the instrument is not trading."""
    AUDIT = 13
    """A whole book asked for in passing differs from the one that was kept."""


SideField = Annotated[Side, Wire("u8", 1, 1)]
ReasonField = Annotated[InvalidationReason, Wire("u8", 1, 1)]


class Level(Entry, frozen=True, gc=False):
    """One price level of a book. A quantity of zero in a delta removes the level."""

    price: Dec64
    quantity: Dec64

    @property
    def removal(self) -> Level:
        """What removes this level."""
        return Level(self.price, Decimal64(0, 0))


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


@tlv_type(4, schema_version=2)
class InstrumentMeta(TLV, frozen=True, gc=False):
    """What the venue says of an instrument: currencies, increments, status."""

    instrument: Instrument
    price_increment: Dec64
    quantity_increment: Dec64
    minimum_quantity: Dec64
    status: U8
    """1 trading, 2 halted, 3 delisted, 0 unknown."""
    base: Text
    """The canonical currency code, such as BTC where the venue writes XBT."""
    quote: Text
    maker_fee_pips: Annotated[I32, Since(2)] = UNKNOWN_FEE
    """The venue's public fee in hundredths of a basis point (2600 is 0.26 %), negative for a
    rebate; ``UNKNOWN_FEE`` where its list of instruments does not say."""
    taker_fee_pips: Annotated[I32, Since(2)] = UNKNOWN_FEE


@tlv_type(5, schema_version=2)
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
    checksum: Annotated[U32, Since(2)] = 0
    """The exchange's own CRC-32 over the book as it is after this message, where it gives one:
    any reader can prove its book with it. 0 where there is none."""


@tlv_type(6, schema_version=2)
class L2Delta(TLV, frozen=True, gc=False):
    """Changed levels, with their new absolute quantities. It follows ``book_sequence - 1``."""

    instrument: Instrument
    book_sequence: U64
    exchange_sequence: U64
    exchange_timestamp_ns: U64
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    checksum: Annotated[U32, Since(2)] = 0


@tlv_type(7)
class L2Reset(TLV, frozen=True, gc=False):
    """The book is empty and unknown until the next snapshot."""

    instrument: Instrument
    book_sequence: U64
    reason: ReasonField


class PoolKind(IntEnum):
    """Which mathematics a pool follows; ``torq_amm`` has a class for each."""

    UNKNOWN = 0
    CONSTANT_PRODUCT = 1
    CONCENTRATED = 2
    STABLE_SWAP = 3
    WEIGHTED = 4


class BalanceChange(IntEnum):
    """Why the balances of a pool with any number of tokens changed."""

    EXCHANGE = 1
    ADD = 2
    REMOVE = 3
    """In proportion."""
    REMOVE_IMBALANCED = 4
    REMOVE_ONE = 5


class PoolPaymentKind(IntEnum):
    """Tokens that leave or enter a pool and change neither its price nor its liquidity."""

    COLLECT = 1
    COLLECT_PROTOCOL = 2
    FLASH = 3
    DONATE = 4
    """To the liquidity providers in range (Uniswap V4)."""


KindField = Annotated[PoolKind, Wire("u8", 1, 1)]
ChangeField = Annotated[BalanceChange, Wire("u8", 1, 1)]
PaymentField = Annotated[PoolPaymentKind, Wire("u8", 1, 1)]

_NO_ADDRESS = bytes(20)
_NO_HASH = bytes(32)


@tlv_type(3)
class PoolInitialize(TLV, frozen=True, gc=False):
    """A concentrated-liquidity pool gets its first price."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    sqrt_price_x96: U160
    """Q64.96."""
    log_index: U32
    tick: I32
    token0: Address = _NO_ADDRESS
    """Zero where the log does not name the tokens: only Uniswap V4's does."""
    token1: Address = _NO_ADDRESS
    hooks: Address = _NO_ADDRESS
    fee_pips: U32 = 0
    tick_spacing: I32 = 0


class TokenChange(Entry, frozen=True, gc=False):
    """One token's part in a :class:`PoolBalanceChange`."""

    amount: I256
    """What the pool gained (above 0) or lost, in the token's smallest unit."""
    fee: U256
    """What of it was a fee, where the log says so."""
    token: Address
    """Zero where the log has only an index."""
    index: I32
    """The token's place in the pool; -1 where the log has only an address or says nothing."""


@tlv_type(8)
class PoolBalanceChange(TLV, frozen=True, gc=False):
    """A swap or a change of liquidity in a pool with any number of tokens (Curve, Balancer)."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    log_index: U32
    kind: ChangeField
    account: Address
    """Who traded or provided; zero where the log does not say."""
    changes: tuple[TokenChange, ...]
    invariant: U256 = 0
    """StableSwap's D, where the log says it."""
    shares: U256 = 0
    """Liquidity tokens burnt, where the log says it."""
    share_supply: U256 = 0
    """Liquidity tokens in existence afterwards, where the log says it."""


@tlv_type(9)
class PoolPayment(TLV, frozen=True, gc=False):
    """Fees collected, or a flash loan repaid: neither price nor liquidity change."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    amount0: U256
    amount1: U256
    paid0: U256
    """What a flash loan left behind."""
    paid1: U256
    log_index: U32
    tick_lower: I32
    tick_upper: I32
    kind: PaymentField
    sender: Address
    """Who collects (the position's owner) or borrows."""
    recipient: Address


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
    amount0_out: U256 = 0
    """What left the pool, for contracts that report both directions (Uniswap V2): the part that
    came in is ``amount0 + amount0_out``."""
    amount1_out: U256 = 0
    protocol_fee0: U128 = 0
    """The protocol's fee, where the log says it (PancakeSwap V3)."""
    protocol_fee1: U128 = 0
    fee_pips: U32 = 0
    """The fee of this swap in hundredths of a basis point, where the log says it (Uniswap V4)."""


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
    """Whose position it is; zero where the log does not say (Uniswap V2)."""
    sender: Address = _NO_ADDRESS
    salt: Hash32 = _NO_HASH
    """Tells an owner's positions in one range apart (Uniswap V4)."""


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
    """Whose position it was; zero where the log does not say (Uniswap V2)."""
    sender: Address = _NO_ADDRESS
    recipient: Address = _NO_ADDRESS
    salt: Hash32 = _NO_HASH


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
    """An initialised tick, and the liquidity that enters (or leaves) as the price rises over it."""

    liquidity_net: I256
    liquidity_gross: U128
    """What all positions that begin or end here add up to; above 0."""
    tick: I32


class PoolToken(Entry, frozen=True, gc=False):
    """One token of a pool."""

    balance: U256
    """The reserve, in the token's smallest unit; 0 for concentrated liquidity, which needs none."""
    rate: U256
    """StableSwap: what a unit is worth, times 1e18 (``10**(36 - decimals)`` for a plain token).
    Weighted: the weight, times 1e18. Otherwise 0."""
    token: Address
    decimals: U8


@tlv_type(15)
class PoolState(TLV, frozen=True, gc=False):
    """A pool's whole state after everything up to and including the log that it names."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    """Of the last log in it; zero for the state at the end of the block."""
    sqrt_price_x96: U160
    liquidity: U128
    fee: U64
    """The fee is ``fee / fee_denominator`` of the input (StableSwap: of the output)."""
    fee_denominator: U64
    protocol_fee0: U64
    """The protocol's part, in the contract's own unit, for swaps that sell token 0."""
    protocol_fee1: U64
    amplification: U256
    """StableSwap's A, times its precision."""
    amplification_precision: U32
    log_index: U32
    tick: I32
    tick_spacing: I32
    kind: KindField
    tokens: tuple[PoolToken, ...]
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


@tlv_type(17)
class PoolFee(TLV, frozen=True, gc=False):
    """A pool's fee, or the protocol's part of it, changed."""

    pool: Instrument
    block_number: U64
    block_hash: Hash32
    transaction_hash: Hash32
    fee: U64
    """The new fee in the contract's own unit; of no meaning when ``is_protocol``."""
    protocol_fee0: U64
    protocol_fee1: U64
    old_protocol_fee0: U64
    old_protocol_fee1: U64
    log_index: U32
    is_protocol: U8
    """1: the protocol's part changed; 0: the fee itself."""


@tlv_type(18)
class GasPrice(TLV, frozen=True, gc=False):
    """A block is complete, and what its gas cost, in wei per unit of gas.

    It follows every event of its block: pools of the chain are in step with this block.
    """

    block_number: U64
    chain_id: U32
    base_fee: U256
    priority_fee: U256
    block_hash: Hash32
    parent_hash: Hash32
    block_timestamp: U64
    """Seconds since 1970, as in the block's header."""


@tlv_type(19)
class StateInvalidation(TLV, frozen=True, gc=False):
    """State that was verified is stale from here on, until a snapshot says otherwise."""

    instrument: Instrument
    sequence: U64
    """The book sequence (or block number) up to which the state had been verified."""
    venue: U16
    reason: ReasonField
    detail: Text = ""
