"""Levels of books: from exchanges' texts, and kept in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from torq_types import Decimal64, Level

__all__ = ["BookSide", "Entry", "decimal", "levels", "sides"]

Entry = Sequence[str] | Sequence[msgspec.Raw] | msgspec.Struct
"""A tuple, a list, or a struct, taken by the order of its fields."""

_FIRST_EXPONENT = -8


def decimal(number: str | msgspec.Raw) -> Decimal64:
    """A number's digits, from an exchange's text or from a JSON number as it was sent.

    Raises :class:`torq_types.PrecisionError` as :meth:`torq_types.Decimal64.parse` does.
    """
    return Decimal64.parse(number if isinstance(number, str) else str(number, "ascii", "replace"))


def levels(entries: Iterable[Entry]) -> tuple[Level, ...]:
    """The levels whose price and quantity stand first in each entry; what follows is ignored.

    Raises :class:`torq_types.PrecisionError`, and TypeError for an entry that is too short or
    something else.
    """
    found = []
    for entry in entries:
        price, quantity = _first(entry, 2)
        found.append(Level(decimal(price), decimal(quantity)))
    return tuple(found)


def sides(entries: Iterable[Entry], bid: str) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Bids and asks, of entries in which the side stands first, then price and quantity.

    ``bid`` is the exchange's word for a bid; every other word is an ask's. Raises as
    :func:`levels` does.
    """
    bids: list[Level] = []
    asks: list[Level] = []
    for entry in entries:
        side, price, quantity = _first(entry, 3)
        found = bids if side == bid else asks
        found.append(Level(decimal(price), decimal(quantity)))
    return tuple(bids), tuple(asks)


def _first(entry: Entry, count: int) -> list[Any]:
    if isinstance(entry, msgspec.Struct):
        found = [getattr(entry, name) for name in entry.__struct_fields__[:count]]
    elif isinstance(entry, tuple | list):
        found = list(entry[:count])
    else:
        raise TypeError(f"expected a tuple, list or struct, found {type(entry).__name__}")
    if len(found) < count:
        raise TypeError(f"expected at least {count} fields, found {len(found)}")
    return found


class BookSide:
    """One side of a book, under integer prices in units of ``10**exponent``.

    The best price stands at the end of the order, where a book changes most: to insert or remove
    there moves little.
    """

    __slots__ = ("_levels", "_order", "exponent", "quantity_exponent", "sign")

    def __init__(
        self, sign: int, levels: Iterable[Level] = (), exponent: int = _FIRST_EXPONENT
    ) -> None:
        """``sign`` is 1 where the highest price is best (bids), -1 where the lowest is (asks).

        Levels without a quantity are left out: some feeds list them.
        """
        self.sign = sign
        self.exponent = exponent
        """Becomes finer by itself, when a price needs it."""
        self.quantity_exponent = _FIRST_EXPONENT
        """Every quantity that was ever here is a whole number of ``10**quantity_exponent``."""
        self._levels: dict[int, Level] = {}
        self._order: list[int] = []
        for level in levels:
            self._make_room(level)
            if level.quantity.mantissa:
                self._levels[self._key(level)] = level
        self._order = sorted(self._levels)

    def __len__(self) -> int:
        return len(self._order)

    def put_all(self, levels: Iterable[Level]) -> None:
        """Set each level; one without a quantity is removed."""
        for level in levels:
            self._make_room(level)
            key = self._key(level)
            if level.quantity.mantissa:
                if key not in self._levels:
                    insort(self._order, key)
                self._levels[key] = level
            elif self._levels.pop(key, None) is not None:
                del self._order[bisect_left(self._order, key)]

    def get(self, level: Level) -> Level | None:
        """What stands at the same price."""
        self._make_room(level)
        return self._levels.get(self._key(level))

    @property
    def best_price(self) -> int:
        """The best price. Raises IndexError where there is no level."""
        return self.sign * self._order[-1]

    @property
    def best(self) -> Level | None:
        """The best level, None where there is none."""
        return self._levels[self._order[-1]] if self._order else None

    def crosses(self, other: BookSide) -> bool:
        """Whether the best price here is not below the best one there, where both have one."""
        return bool(self._order and other._order) and self.best_price >= other.best_price

    def top(self, count: int) -> list[Level]:
        """The ``count`` best levels, best first."""
        return [self._levels[key] for key in self._order[: -count - 1 : -1]]

    def top_digits(self, count: int) -> bytes:
        """The digits of the ``count`` best levels, best first, each as its price and quantity
        without points and without zeros in front: what exchanges' checksums are made of."""
        return "".join(
            [f"{level.price.mantissa}{level.quantity.mantissa}" for level in self.top(count)]
        ).encode()

    def items(self) -> Iterator[tuple[int, Level]]:
        """Prices and levels, best first."""
        return iter([(self.sign * key, self._levels[key]) for key in reversed(self._order)])

    def evict(self, depth: int) -> list[Level]:
        """Drop what lies deeper than ``depth`` levels; returns what was dropped."""
        surplus = len(self._order) - depth
        if surplus <= 0:
            return []
        dropped, self._order = self._order[:surplus], self._order[surplus:]
        return [self._levels.pop(key) for key in dropped]

    def rescale(self, exponent: int) -> None:
        """Count prices in units of ``10**exponent``, which must not be coarser than now."""
        factor = 10 ** (self.exponent - exponent)
        if factor == 1:
            return
        self._levels = {key * factor: level for key, level in self._levels.items()}
        self._order = [key * factor for key in self._order]
        self.exponent = exponent

    def _key(self, level: Level) -> int:
        finer = level.price.exponent - self.exponent
        return int(self.sign * level.price.mantissa * 10**finer)

    def _make_room(self, level: Level) -> None:
        if level.price.exponent < self.exponent:
            self.rescale(level.price.exponent)
        if level.quantity.exponent < self.quantity_exponent:
            self.quantity_exponent = level.quantity.exponent
