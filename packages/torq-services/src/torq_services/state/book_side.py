"""One side of a book: levels by price, and their prices in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from torq_types import Level

__all__ = ["BookSide"]


class BookSide:
    """Levels under integer prices. The best price stands at the end of the order, where a book
    changes most: to insert or remove there moves little."""

    __slots__ = ("_digits", "_levels", "_order", "_sign")

    def __init__(
        self, sign: int, levels: Iterable[tuple[int, Level]] = (), *, keeps_digits: bool = False
    ) -> None:
        """``sign`` is 1 where the highest price is best (bids), -1 where the lowest is (asks).
        ``keeps_digits`` is for :meth:`top_digits` after every change."""
        self._sign = sign
        self._levels = dict(levels)
        self._order = sorted(sign * price for price in self._levels)
        self._digits = (
            {price: _digits(level) for price, level in self._levels.items()}
            if keeps_digits
            else None
        )

    def __len__(self) -> int:
        return len(self._order)

    def get(self, price: int) -> Level | None:
        """The level at ``price``."""
        return self._levels.get(price)

    def put(self, price: int, level: Level) -> None:
        """Set the level at ``price``."""
        if price not in self._levels:
            insort(self._order, self._sign * price)
        self._levels[price] = level
        if self._digits is not None:
            self._digits[price] = _digits(level)

    def remove(self, price: int) -> None:
        """Remove the level at ``price``, if there is one."""
        if self._levels.pop(price, None) is not None:
            order = self._order
            del order[bisect_left(order, self._sign * price)]

    @property
    def best_price(self) -> int:
        """The best price. Raises IndexError where there is no level."""
        return self._sign * self._order[-1]

    @property
    def best(self) -> Level | None:
        """The best level, None where there is none."""
        return self._levels[self._sign * self._order[-1]] if self._order else None

    def top(self, count: int) -> list[Level]:
        """The ``count`` best levels, best first."""
        levels, sign = self._levels, self._sign
        return [levels[sign * key] for key in self._order[: -count - 1 : -1]]

    def top_digits(self, count: int) -> list[str]:
        """The digits of the ``count`` best levels, best first: price and quantity in one text,
        without points and without zeros in front."""
        digits, sign = self._digits, self._sign
        if digits is None:
            return [_digits(level) for level in self.top(count)]
        return [digits[sign * key] for key in self._order[: -count - 1 : -1]]

    def items(self) -> Iterator[tuple[int, Level]]:
        """Prices and levels, best first."""
        levels, sign = self._levels, self._sign
        return ((sign * key, levels[sign * key]) for key in reversed(self._order))

    def evict(self, depth: int) -> list[Level]:
        """Drop what lies deeper than ``depth`` levels; returns what was dropped."""
        surplus = len(self._order) - depth
        if surplus <= 0:
            return []
        dropped, self._order = self._order[:surplus], self._order[surplus:]
        return [self._levels.pop(self._sign * key) for key in dropped]

    def rescaled(self, factor: int) -> BookSide:
        """The same levels under prices ``factor`` times as large."""
        levels = ((price * factor, level) for price, level in self._levels.items())
        return BookSide(self._sign, levels, keeps_digits=self._digits is not None)


def _digits(level: Level) -> str:
    return f"{level.price.mantissa}{level.quantity.mantissa}"
