"""Books that nobody doubts: a seeded market that remembers what they were."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import msgspec

from torq_types import Decimal64

__all__ = ["BookState", "Change", "Market", "SimulatedBook", "SimulatedInstrument"]

_LEVELS = 25
_TICKS_APART = 4

Side = list[tuple[int, int]]
BookState = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


class SimulatedInstrument(msgspec.Struct, frozen=True):
    """What is traded, in units of its own increments."""

    symbol: str
    base: str
    quote: str
    middle: int
    """The first price, in units of ``10**price_exponent``."""
    price_exponent: int = -2
    quantity_exponent: int = -8

    def price(self, units: int) -> str:
        """A price as the venue writes it."""
        return str(Decimal64(units, self.price_exponent))

    def quantity(self, units: int) -> str:
        """A quantity as the venue writes it."""
        return str(Decimal64(units, self.quantity_exponent))


class Change(msgspec.Struct, frozen=True):
    """What one step did to one book: absolute quantities, 0 where a level is gone."""

    instrument: SimulatedInstrument
    first_update: int
    last_update: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    before: SimulatedBook
    """The book as it was."""


class SimulatedBook:
    """One book. Prices and quantities are integers."""

    def __init__(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        self.bids = bids
        self.asks = asks

    def copy(self) -> SimulatedBook:
        """The same, to be kept."""
        return SimulatedBook(dict(self.bids), dict(self.asks))

    def top(self, depth: int = 0) -> tuple[Side, Side]:
        """Bids and asks, best first, so many of each; 0 for all."""
        bids = sorted(self.bids.items(), reverse=True)
        asks = sorted(self.asks.items())
        return (bids[:depth], asks[:depth]) if depth else (bids, asks)

    def state(self, depth: int = 0) -> BookState:
        """Something to compare."""
        bids, asks = self.top(depth)
        return tuple(bids), tuple(asks)


class Market:
    """Changes its books step by step, the same way for the same seed."""

    def __init__(
        self, instruments: Iterable[SimulatedInstrument], seed: int, *, levels: int = _LEVELS,
        depth: int = 0, remembers: int | None = None,
    ) -> None:  # fmt: skip
        """``depth`` is how much of each book is compared, 0 for all of it; of each book the last
        ``remembers`` states are known, None for all of them."""
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._chance = random.Random(seed)
        self._levels = levels
        self._depth = depth
        self.books = {s: self._first(i) for s, i in self.instruments.items()}
        self.updates = dict.fromkeys(self.instruments, 1000)
        """The last update id of each book."""
        # States by their hashes: those of a long run would not fit into memory.
        self._versions: dict[str, dict[int, list[int]]] = {s: {} for s in self.instruments}
        self._recent: dict[str, deque[int]] = {s: deque() for s in self.instruments}
        self._remembers = remembers
        for symbol in self.instruments:
            self._remember(symbol)

    def versions(self, symbol: str, state: BookState) -> list[int]:
        """The update ids at which a book was in this state; none where it never was."""
        return self._versions[symbol].get(hash(state), [])

    def step(self) -> Change:
        """One instrument's book changes."""
        symbol = self._chance.choice(list(self.instruments))
        book, instrument = self.books[symbol], self.instruments[symbol]
        before = book.copy()
        for _ in range(self._chance.randint(1, 4)):
            self._change(book)
        bids, asks = _difference(before.bids, book.bids), _difference(before.asks, book.asks)
        first = self.updates[symbol] + 1
        # Every change counts, also one that was undone at once.
        self.updates[symbol] = first + max(0, len(bids) + len(asks) - 1)
        self._remember(symbol)
        return Change(instrument, first, self.updates[symbol], bids, asks, before)

    def _first(self, instrument: SimulatedInstrument) -> SimulatedBook:
        middle = instrument.middle
        places = self._chance.sample(range(1, self._levels * _TICKS_APART), 2 * self._levels)
        return SimulatedBook(
            {middle - place: self._quantity() for place in places[: self._levels]},
            {middle + place: self._quantity() for place in places[self._levels :]},
        )

    def _quantity(self) -> int:
        return self._chance.randint(1, 5_000_000_000)

    def _change(self, book: SimulatedBook) -> None:
        is_bid = self._chance.random() < 1 / 2
        side, other = (book.bids, book.asks) if is_bid else (book.asks, book.bids)
        what = self._chance.random()
        order = sorted(side, reverse=is_bid)
        # The best prices change most.
        place = min(int(self._chance.expovariate(1 / 4)), len(order) - 1)
        price = order[place]
        if what < 1 / 2:
            side[price] = self._quantity()
        elif len(side) > self._levels // 2 and what < 3 / 4:
            del side[price]
        else:
            away = -1 if is_bid else 1
            best_other = min(other) if is_bid else max(other)
            new = price - away * self._chance.randint(-_TICKS_APART, _TICKS_APART)
            limit = best_other + away
            new = min(new, limit) if is_bid else max(new, limit)
            side[new] = self._quantity()
            if len(side) > 2 * self._levels:
                del side[order[-1]]

    def _remember(self, symbol: str) -> None:
        state = hash(self.books[symbol].state(self._depth))
        versions, recent = self._versions[symbol], self._recent[symbol]
        versions.setdefault(state, []).append(self.updates[symbol])
        recent.append(state)
        if self._remembers is not None and len(recent) > self._remembers:
            oldest = recent.popleft()
            del versions[oldest][0]
            if not versions[oldest]:
                del versions[oldest]


def _difference(before: dict[int, int], after: dict[int, int]) -> tuple[tuple[int, int], ...]:
    changed = [(price, quantity) for price, quantity in after.items()
               if before.get(price) != quantity]  # fmt: skip
    return (*changed, *((price, 0) for price in before if price not in after))
