"""TLV types 20 to 39: what strategies conclude."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from torq_types.tlv import (
    I8,
    I256,
    TLV,
    U8,
    U16,
    U32,
    U64,
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
    "ArbitrageSignal",
    "CloseReason",
    "Economics",
    "ExecutionControl",
    "MEVBundle",
    "RiskParameters",
    "SignalIdentity",
    "SignalStatus",
    "StateReference",
    "SwapHop",
    "SwapPath",
]


class SignalStatus(IntEnum):
    """Where an opportunity stands in its life."""

    OPENED = 1
    UPDATED = 2
    CLOSED = 3


class CloseReason(IntEnum):
    """Why an opportunity ended."""

    NONE = 0
    """It has not ended."""
    VANISHED = 1
    """Prices moved: there is no profit after fees any more."""
    STALE = 2
    """A book it was drawn from is not verified any more."""
    EXPIRED = 3
    """Its books stood without news for too long to be trusted."""
    SHUTDOWN = 4
    REORGANISED = 5
    """The blocks that it was drawn from were abandoned: it never was."""


StatusField = Annotated[SignalStatus, Wire("u8", 1, 1)]
CloseField = Annotated[CloseReason, Wire("u8", 1, 1)]


@tlv_type(20)
class SignalIdentity(TLV, frozen=True, gc=False):
    """Which strategy speaks, in which version."""

    strategy_id: U16
    strategy: Text
    version: Text


@tlv_type(22)
class Economics(TLV, frozen=True, gc=False):
    """What an opportunity is worth, in the profit currency; amounts count ``10**exponent``.

    Exact integers throughout: ``net = gross - fees - gas`` holds to the last unit. For exchanges
    the exponent is that of price x quantity x fee; on a chain it is minus the token's decimals.
    """

    gross: I256
    """Sale proceeds minus purchase cost, before fees."""
    fees: I256
    gas: I256
    net: I256
    cost: I256
    """What the buying leg costs before fees."""
    exponent: I8
    currency: Text


@tlv_type(25)
class StateReference(TLV, frozen=True, gc=False):
    """The message that caused this one. Legal in every domain."""

    sequence: U64
    timestamp_ns: U64
    source: U16
    domain: U8


@tlv_type(26)
class ExecutionControl(TLV, frozen=True, gc=False):
    """How a signal may be executed."""

    deadline_ns: U64
    max_slippage_pips: U32
    """Hundredths of a basis point."""
    mode: U8
    """0 paper only, 1 any, 2 private transaction only."""


@tlv_type(28)
class MEVBundle(TLV, frozen=True, gc=False):
    """A bundle for a block builder."""

    target_block: U64
    max_block: U64
    bundle_hash: Hash32
    builder_payment: U256
    """Wei."""
    transaction_count: U16


@tlv_type(30)
class RiskParameters(TLV, frozen=True, gc=False):
    """The limits that a signal asks its executor to hold."""

    max_notional: Dec64
    max_loss: Dec64
    max_position: Dec64
    currency: Text


@tlv_type(32)
class ArbitrageSignal(TLV, frozen=True, gc=False):
    """An opportunity between two instruments, and where it stands in its life.

    One among pools has more than two: they are in the SwapPath beside it, with exact amounts, and
    ``size`` and the prices are 0 here.
    """

    buy_instrument: Instrument
    sell_instrument: Instrument
    opportunity_id: U64
    """The same from opening to closing; unique per source and session."""
    opened_ns: U64
    expires_ns: U64
    """Nobody may act on this signal after this time, UTC nanoseconds."""
    duration_ns: U64
    """From opening to this message."""
    size: Dec64
    """In the base currency."""
    buy_price: Dec64
    """The highest price that the buying leg pays, fees not included."""
    sell_price: Dec64
    """The lowest price that the selling leg takes, fees not included."""
    status: StatusField
    close_reason: CloseField
    synthetic: U8 = 0
    """1 when the opportunity was made up for a demonstration: never to be traded."""


class SwapHop(Entry, frozen=True, gc=False):
    """One swap of a path; amounts in the tokens' smallest units."""

    amount_in: U256
    amount_out: U256
    pool: Instrument
    token_in: Address
    token_out: Address


@tlv_type(33)
class SwapPath(TLV, frozen=True, gc=False):
    """The swaps that an ArbitrageSignal among pools consists of, in order, exact to the wei.

    They hold for the state at the end of the block that is named, and for no other.
    """

    block_number: U64
    block_hash: Hash32
    gas_price: U256
    """Wei per unit of gas."""
    gas_units: U64
    chain_id: U32
    hops: tuple[SwapHop, ...]
