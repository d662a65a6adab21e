"""TLV types 40 to 79: orders, and what became of them."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from torq_types.market_data import SideField
from torq_types.tlv import (
    I8,
    I256,
    TLV,
    U8,
    U16,
    U64,
    U256,
    Dec64,
    Hash32,
    Instrument,
    Text,
    Wire,
    tlv_type,
)

__all__ = [
    "Balance",
    "CircuitBreaker",
    "ExecutionReport",
    "Fill",
    "FlashLoanResult",
    "OrderCancel",
    "OrderModify",
    "OrderRequest",
    "OrderState",
    "OrderStatus",
    "Position",
    "RejectReason",
    "RiskAlert",
    "RiskDecision",
]


class OrderState(IntEnum):
    """Where an order stands."""

    ACCEPTED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    EXPIRED = 6


class RejectReason(IntEnum):
    """Why a signal or an order was not carried out."""

    NONE = 0
    EXPIRED = 1
    STALE_BOOK = 2
    NOTIONAL_LIMIT = 3
    RATE_LIMIT = 4
    BELOW_MINIMUM_PROFIT = 5
    SYNTHETIC = 6
    COOLDOWN = 7
    NO_LIQUIDITY = 8
    UNKNOWN_INSTRUMENT = 9


OrderStateField = Annotated[OrderState, Wire("u8", 1, 1)]
RejectField = Annotated[RejectReason, Wire("u8", 1, 1)]


@tlv_type(40)
class OrderRequest(TLV, frozen=True, gc=False):
    """An order to carry out: immediate or cancel, at the limit price or better."""

    instrument: Instrument
    order_id: U64
    """Unique per source and session."""
    opportunity_id: U64
    quantity: Dec64
    limit_price: Dec64
    expires_ns: U64
    side: SideField


@tlv_type(41)
class OrderStatus(TLV, frozen=True, gc=False):
    """A change in an order's state."""

    order_id: U64
    filled_quantity: Dec64
    state: OrderStateField
    reason: RejectField
    detail: Text = ""


@tlv_type(42)
class Fill(TLV, frozen=True, gc=False):
    """A completed (part of an) order at one price."""

    instrument: Instrument
    order_id: U64
    fill_id: U64
    price: Dec64
    quantity: Dec64
    fee: I256
    """Exact, in the quote currency, counting ``10**fee_exponent``."""
    fee_exponent: I8
    side: SideField
    paper: U8 = 0
    """1 when nothing was traded: filled against the current book on paper."""


@tlv_type(43)
class OrderCancel(TLV, frozen=True, gc=False):
    """A request to cancel an order."""

    order_id: U64
    reason: RejectField


@tlv_type(44)
class OrderModify(TLV, frozen=True, gc=False):
    """A request to change an order's quantity or price."""

    order_id: U64
    quantity: Dec64
    limit_price: Dec64


@tlv_type(45)
class ExecutionReport(TLV, frozen=True, gc=False):
    """Predicted against realised for one execution; amounts count ``10**exponent``."""

    opportunity_id: U64
    predicted_net: I256
    realised_gross: I256
    realised_fees: I256
    realised_net: I256
    exponent: I8
    paper: U8
    currency: Text


@tlv_type(47)
class Position(TLV, frozen=True, gc=False):
    """What is held of an instrument."""

    instrument: Instrument
    quantity: Dec64
    average_price: Dec64


@tlv_type(48)
class Balance(TLV, frozen=True, gc=False):
    """What an account holds of a currency."""

    free: Dec64
    locked: Dec64
    venue: U16
    currency: Text


@tlv_type(60)
class RiskDecision(TLV, frozen=True, gc=False):
    """Whether a signal may be executed, and if not, why."""

    opportunity_id: U64
    approved: U8
    reason: RejectField
    detail: Text = ""


@tlv_type(62)
class RiskAlert(TLV, frozen=True, gc=False):
    """A limit is near or passed."""

    limit: Dec64
    observed: Dec64
    severity: U8
    """1 notice, 2 warning, 3 critical."""
    name: Text


@tlv_type(67)
class FlashLoanResult(TLV, frozen=True, gc=False):
    """What a flash-loan transaction came to, in the borrowed token's smallest unit."""

    token: Instrument
    transaction_hash: Hash32
    block_number: U64
    amount: U256
    premium: U256
    realised_net: I256
    gas_used: U64
    success: U8


@tlv_type(71)
class CircuitBreaker(TLV, frozen=True, gc=False):
    """Execution stops, or goes on again."""

    until_ns: U64
    open: U8
    """1 when execution is stopped."""
    reason: Text
