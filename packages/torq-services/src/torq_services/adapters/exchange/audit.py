"""Comparing a book with a whole one asked for in passing, while both go on changing.

Nobody can say at which moment of the stream a REST answer was taken. But every level in it must
have had that quantity at some moment between asking and, a little later, judging: whatever it
shows that never was here is a difference. This finds lost updates in feeds that number nothing.
"""

from __future__ import annotations

from decimal import Decimal

from torq_services.state import OrderBook
from torq_types import L2Delta, Level

__all__ = ["Audit"]

_NOTHING = frozenset({Decimal(0)})


class Audit:
    """One comparison, from the question to the verdict."""

    def __init__(self, book: OrderBook, most_levels: int = 0) -> None:
        """``most_levels`` a side are in the answer, 0 for all there are."""
        self._most_levels = most_levels
        bids, asks = book.last_known()
        self._seen: tuple[dict[Decimal, set[Decimal]], dict[Decimal, set[Decimal]]] = (
            {level.price.to_decimal(): {level.quantity.to_decimal()} for level in bids},
            {level.price.to_decimal(): {level.quantity.to_decimal()} for level in asks},
        )
        self._answer: tuple[tuple[Level, ...], tuple[Level, ...]] | None = None

    def changed(self, delta: L2Delta) -> None:
        """An update came between: its quantities are possible as well."""
        for seen, levels in zip(self._seen, (delta.bids, delta.asks), strict=True):
            for level in levels:
                quantities = seen.setdefault(level.price.to_decimal(), {Decimal(0)})
                quantities.add(level.quantity.to_decimal())

    @property
    def is_answered(self) -> bool:
        """Whether there is something to compare with."""
        return self._answer is not None

    def answered(self, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
        """The whole book that the exchange gave. Judge it once what was under way has come too."""
        self._answer = bids, asks

    def difference(self) -> str | None:
        """What cannot be explained, None when the books agree; ValueError before the answer.

        An answer that is cut off at some depth is compared as far as it goes.
        """
        if self._answer is None:
            raise ValueError("no answer yet")
        for name, seen, levels in zip(("bid", "ask"), self._seen, self._answer, strict=True):
            found = {level.price.to_decimal(): level.quantity.to_decimal() for level in levels}
            for price, quantity in found.items():
                if quantity not in seen.get(price, _NOTHING):
                    return f"{name} {price} has {quantity} there and never had here"
            is_cut = 0 < self._most_levels <= len(found)
            last = (min(found) if name == "bid" else max(found)) if is_cut else Decimal(0)
            for price, quantities in seen.items():
                is_beyond = is_cut and (price < last if name == "bid" else price > last)
                if not is_beyond and price not in found and Decimal(0) not in quantities:
                    return f"{name} {price} is not there and was here all the time"
        return None
