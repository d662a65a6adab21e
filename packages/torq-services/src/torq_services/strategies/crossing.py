"""Two crossed books, walked to the size that earns most after taker fees. Integers only."""

from __future__ import annotations

from math import lcm

import msgspec

from torq_services.state import OrderBook
from torq_services.state.exact import PIPS
from torq_types import Decimal64, InstrumentMeta

__all__ = ["Crossing", "Leg", "best_crossing"]


class Leg(msgspec.Struct, frozen=True):
    """One side of a crossing: where, and at which taker fee (in hundredths of a basis point)."""

    book: OrderBook
    meta: InstrumentMeta
    fee_pips: int


class Crossing(msgspec.Struct, frozen=True):
    """What buying on one book and selling on another is worth.

    ``gross``, ``fees``, ``net`` and ``cost`` count ``10**exponent`` of the quote currency, and
    ``net = gross - fees`` exactly.
    """

    size: Decimal64
    buy_price: Decimal64
    """The highest ask taken."""
    sell_price: Decimal64
    """The lowest bid taken."""
    gross: int
    fees: int
    net: int
    cost: int
    exponent: int


def best_crossing(buy: Leg, sell: Leg, max_notional: Decimal64) -> Crossing | None:
    """The size that maximises profit, or None where no size earns anything.

    Level by level, buying the next unit at the best ask and selling it at the best bid pays as
    long as ``bid * (1 - fee) > ask * (1 + fee)``. Asks rise and bids fall, so the first pair of
    levels that does not pay ends the walk, and the walk's size is the optimum. It is then cut to
    ``max_notional`` (of the buying leg's cost) and to whole lots of both venues; below either
    venue's minimum quantity there is nothing to do.

    Raises :class:`StaleBookError` when either book is stale.
    """
    price_exponent = min(buy.book.price_exponent, sell.book.price_exponent)
    quantity_exponent = min(
        buy.book.quantity_exponent,
        sell.book.quantity_exponent,
        buy.meta.quantity_increment.exponent,
        sell.meta.quantity_increment.exponent,
    )
    exponent = price_exponent + quantity_exponent
    budget = _floor_scaled(max_notional, exponent)
    steps = _walk(buy, sell, price_exponent, quantity_exponent, budget)
    steps = _cut_to_lots(steps, _lot(buy.meta, sell.meta, quantity_exponent))
    size = sum(step.quantity for step in steps)
    minimums = (buy.meta.minimum_quantity, sell.meta.minimum_quantity)
    if not size or any(size < _ceil_scaled(least, quantity_exponent) for least in minimums):
        return None
    cost = sum(step.ask * step.quantity for step in steps)
    proceeds = sum(step.bid * step.quantity for step in steps)
    gross = (proceeds - cost) * PIPS
    fees = cost * buy.fee_pips + proceeds * sell.fee_pips
    return Crossing(
        size=Decimal64.from_scaled(size, quantity_exponent),
        buy_price=steps[-1].ask_price,
        sell_price=steps[-1].bid_price,
        gross=gross,
        fees=fees,
        net=gross - fees,
        cost=cost * PIPS,
        exponent=exponent - 6,
    )


class _Step(msgspec.Struct):
    ask: int
    bid: int
    quantity: int
    ask_price: Decimal64
    bid_price: Decimal64


def _walk(
    buy: Leg, sell: Leg, price_exponent: int, quantity_exponent: int, budget: int
) -> list[_Step]:
    ask_scale = 10 ** (buy.book.price_exponent - price_exponent)
    bid_scale = 10 ** (sell.book.price_exponent - price_exponent)
    paid, kept = PIPS + buy.fee_pips, PIPS - sell.fee_pips
    asks, bids = buy.book.asks(), sell.book.bids()
    ask, bid = next(asks, None), next(bids, None)
    ask_left = ask[1].quantity.scaled(quantity_exponent) if ask else 0
    bid_left = bid[1].quantity.scaled(quantity_exponent) if bid else 0
    steps: list[_Step] = []
    while ask and bid:
        ask_price, bid_price = ask[0] * ask_scale, bid[0] * bid_scale
        if bid_price * kept <= ask_price * paid:
            break
        quantity = min(ask_left, bid_left, budget // ask_price)
        if quantity:
            steps.append(_Step(ask_price, bid_price, quantity, ask[1].price, bid[1].price))
        budget -= quantity * ask_price
        if quantity < min(ask_left, bid_left):
            break
        ask_left -= quantity
        bid_left -= quantity
        if not ask_left and (ask := next(asks, None)):
            ask_left = ask[1].quantity.scaled(quantity_exponent)
        if not bid_left and (bid := next(bids, None)):
            bid_left = bid[1].quantity.scaled(quantity_exponent)
    return steps


def _cut_to_lots(steps: list[_Step], lot: int) -> list[_Step]:
    """Take the last, least profitable units away until the size is a whole number of lots."""
    excess = sum(step.quantity for step in steps) % lot
    while excess and steps:
        last = steps[-1]
        taken = min(excess, last.quantity)
        last.quantity -= taken
        excess -= taken
        if not last.quantity:
            steps.pop()
    return steps


def _lot(buy: InstrumentMeta, sell: InstrumentMeta, quantity_exponent: int) -> int:
    """The smallest quantity that is a whole number of both venues' increments."""
    increments = (
        buy.quantity_increment.scaled(quantity_exponent),
        sell.quantity_increment.scaled(quantity_exponent),
    )
    return lcm(*increments) or 1


def _ceil_scaled(value: Decimal64, exponent: int) -> int:
    """``value`` in units of ``10**exponent``, rounded up: for minimums, never for prices."""
    return -_floor_scaled(Decimal64(-value.mantissa, value.exponent), exponent)


def _floor_scaled(value: Decimal64, exponent: int) -> int:
    """``value`` in units of ``10**exponent``, rounded down: for limits, never for prices."""
    shift = value.exponent - exponent
    return int(value.mantissa * 10**shift if shift >= 0 else value.mantissa // 10**-shift)
