"""Fills on paper, against the current verified books, exact to the last digit."""

from __future__ import annotations

import msgspec

from torq_services.state import MarketState
from torq_services.state.exact import PIPS
from torq_types import (
    Decimal64,
    Fill,
    Level,
    OrderRequest,
    OrderState,
    OrderStatus,
    RejectReason,
    Side,
    Venue,
)

__all__ = ["PaperResult", "PaperVenue"]


class PaperResult(msgspec.Struct, frozen=True):
    """What became of an order."""

    fills: tuple[Fill, ...]
    status: OrderStatus


class PaperVenue:
    """Carries out orders as immediate-or-cancel takers, without trading anything.

    Each level that is touched is one fill, as exchanges report them; the fee is price x quantity
    x rate, exact, so that what a signal predicted can be realised to the last digit.
    """

    def __init__(self, market: MarketState, fees_pips: dict[Venue, int]) -> None:
        self._market = market
        self._fees_pips = fees_pips
        self._next_fill_id = 1

    def carry_out(self, order: OrderRequest, now_ns: int) -> PaperResult:
        """Fill ``order`` as far as the book allows at its limit or better."""
        if now_ns >= order.expires_ns:
            return self._rejected(order, OrderState.EXPIRED, RejectReason.EXPIRED)
        if order.instrument.venue not in self._fees_pips:
            return self._rejected(order, OrderState.REJECTED, RejectReason.UNKNOWN_INSTRUMENT)
        book = self._market.verified(order.instrument)
        if book is None:
            return self._rejected(order, OrderState.REJECTED, RejectReason.STALE_BOOK)
        is_buy = order.side is Side.BUY
        common = min(order.limit_price.exponent, book.price_exponent)
        limit = order.limit_price.scaled(common)
        scale = 10 ** (book.price_exponent - common)
        left_exponent = min(order.quantity.exponent, book.quantity_exponent)
        left = order.quantity.scaled(left_exponent)
        fills: list[Fill] = []
        for price, level in book.asks() if is_buy else book.bids():
            is_beyond = price * scale > limit if is_buy else price * scale < limit
            if is_beyond or not left:
                break
            taken = min(left, level.quantity.scaled(left_exponent))
            fills.append(self._fill(order, level, taken, left_exponent))
            left -= taken
        filled = order.quantity.scaled(left_exponent) - left
        return PaperResult(tuple(fills), _status(order, filled, left, left_exponent))

    def _fill(self, order: OrderRequest, level: Level, taken: int, exponent: int) -> Fill:
        fill_id = self._next_fill_id
        self._next_fill_id += 1
        return Fill(
            instrument=order.instrument,
            order_id=order.order_id,
            fill_id=fill_id,
            price=level.price,
            quantity=Decimal64.from_scaled(taken, exponent),
            fee=level.price.mantissa * taken * self._fees_pips[order.instrument.venue],
            fee_exponent=level.price.exponent + exponent - _PIPS_DIGITS,
            side=order.side,
            paper=1,
        )

    @staticmethod
    def _rejected(order: OrderRequest, state: OrderState, reason: RejectReason) -> PaperResult:
        return PaperResult((), OrderStatus(order.order_id, Decimal64(0, 0), state, reason))


_PIPS_DIGITS = len(str(PIPS)) - 1


def _status(order: OrderRequest, filled: int, left: int, exponent: int) -> OrderStatus:
    quantity = Decimal64.from_scaled(filled, exponent)
    if not left:
        return OrderStatus(order.order_id, quantity, OrderState.FILLED, RejectReason.NONE)
    state = OrderState.PARTIALLY_FILLED if filled else OrderState.CANCELLED
    return OrderStatus(order.order_id, quantity, state, RejectReason.NO_LIQUIDITY)
