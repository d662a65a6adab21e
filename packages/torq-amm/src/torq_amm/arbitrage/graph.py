"""All pools by the tokens that they join, and the cycles that a change of one of them touches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product
from math import inf, log2

import msgspec
import numpy as np

from torq_amm.arbitrage.cycles import Cycle, Hop
from torq_amm.arbitrage.routes import Routes
from torq_amm.stable_swap import StableSwapPool
from torq_amm.swapping import Pool
from torq_types import InstrumentId, SwapError

__all__ = ["PoolGraph"]

_MARGIN = 1e-9
"""What rounding may take from a sum of logarithms is a thousandth of this."""
_STABLE_MARGIN = 1e-6
"""A StableSwap pool's own D is an integer: its price is a little better than its slope at times."""


class _Edge(msgspec.Struct, frozen=True):
    number: int
    pair: int
    hop: Hop


class PoolGraph:
    """Pools, by identifier, and the cycles of two to ``max_hops`` of them.

    A cycle can only earn when the product of its prices at the margin is above 1, for no pool's
    price gets better with size. :meth:`candidates` says for which cycles that holds, from
    logarithms in floating point with a margin: it may name one too many, and leaves none out.
    """

    def __init__(self, max_hops: int = 3) -> None:
        self.pools: dict[InstrumentId, Pool] = {}
        self._routes = Routes(max_hops)
        self._tokens: dict[InstrumentId, int] = {}
        self._edges: dict[InstrumentId, tuple[_Edge, ...]] = {}
        self._of_pair: list[dict[int, Hop]] = []
        """By pair: its edges' numbers, and the swaps that they stand for."""
        self._weights: list[float] = []
        """By edge: the logarithm of the price at the margin, after the fee."""
        self._best = np.empty(0)
        """By pair: the greatest weight of its edges."""

    @property
    def max_hops(self) -> int:
        """The longest cycles that are looked at."""
        return self._routes.max_hops

    def put(self, pool: Pool) -> None:
        """A new pool, or the new value of one that is known."""
        known = self.pools.get(pool.instrument)
        if known is not None and known.tokens != pool.tokens:
            self.remove(pool.instrument)
            known = None
        self.pools[pool.instrument] = pool
        if known is None:
            self._connect(pool)
        for edge in self._edges[pool.instrument]:
            self._weigh(edge, _logarithm(pool, edge.hop))

    def remove(self, instrument: InstrumentId) -> None:
        """Forget a pool, if it is known: it went stale, or is not followed any more."""
        if self.pools.pop(instrument, None) is None:
            return
        for edge in self._edges.pop(instrument):
            edges = self._of_pair[edge.pair]
            del edges[edge.number]
            self._weights[edge.number] = -inf
            self._best[edge.pair] = max((self._weights[n] for n in edges), default=-inf)
            if not edges and not self._of_pair[edge.pair ^ 1]:
                self._routes.disconnect(edge.pair)

    def candidates(self, changed: Iterable[InstrumentId]) -> list[Cycle]:
        """The cycles through changed pools that may earn; each once, whatever its rotation."""
        found: dict[Cycle, None] = {}
        for instrument in changed:
            for edge in self._edges.get(instrument, ()):
                for hops in self._screened(edge):
                    found[Cycle(hops).key] = None
        return list(found)

    def cycles_through(self, instrument: InstrumentId) -> list[Cycle]:
        """All cycles through a pool, whatever they earn; for hubs these are many."""
        found: dict[Cycle, None] = {}
        for edge in self._edges.get(instrument, ()):
            for hops in self._expanded(edge, -inf):
                found[Cycle(hops).key] = None
        return list(found)

    def between(self, token_in: InstrumentId, token_out: InstrumentId) -> list[Hop]:
        """The swaps that turn one token into another in a single pool."""
        numbers = self._tokens.get(token_in), self._tokens.get(token_out)
        if numbers[0] is None or numbers[1] is None:
            return []
        pair = self._routes.pair(numbers[0], numbers[1])
        return [] if pair is None else list(self._of_pair[pair].values())

    def neighbours(self, token: InstrumentId) -> Iterator[InstrumentId]:
        """The tokens that a single pool turns into ``token``."""
        number = self._tokens.get(token)
        if number is not None:
            names = list(self._tokens)
            yield from (names[other] for other in self._routes.neighbours(number))

    def _connect(self, pool: Pool) -> None:
        numbers = [self._tokens.setdefault(token, len(self._tokens)) for token in pool.tokens]
        edges = []
        for first, second in product(range(len(numbers)), repeat=2):
            if first == second:
                continue
            pair = self._routes.add(numbers[first], numbers[second])
            while len(self._of_pair) <= pair | 1:
                self._of_pair.append({})
            if len(self._of_pair) > len(self._best):
                more = np.full(max(64, len(self._of_pair)), -inf)
                self._best = np.concatenate([self._best, more])
            hop = Hop(pool.instrument, pool.tokens[first], pool.tokens[second])
            edge = _Edge(len(self._weights), pair, hop)
            self._weights.append(-inf)
            self._of_pair[pair][edge.number] = hop
            edges.append(edge)
        self._edges[pool.instrument] = tuple(edges)

    def _weigh(self, edge: _Edge, weight: float) -> None:
        before = self._weights[edge.number]
        self._weights[edge.number] = weight
        if weight >= self._best[edge.pair]:
            self._best[edge.pair] = weight
        elif before == self._best[edge.pair]:
            self._best[edge.pair] = max(self._weights[n] for n in self._of_pair[edge.pair])

    def _screened(self, edge: _Edge) -> Iterator[tuple[Hop, ...]]:
        if self._weights[edge.number] > -inf:
            yield from self._expanded(edge, -_MARGIN)

    def _expanded(self, edge: _Edge, least: float) -> Iterator[tuple[Hop, ...]]:
        """The cycles through an edge whose weights add up to ``least`` or more."""
        missing = least - self._weights[edge.number] if least > -inf else -inf
        yield from self._pools_of(edge, (edge.pair ^ 1,), missing)
        for hops in range(3, self.max_hops + 1):
            routes = self._routes.through(edge.pair, hops)
            # By the best pool of each pair: where those do not earn, no others do.
            sums = self._best[routes[:, 0]]
            for column in range(1, hops - 1):
                sums = sums + self._best[routes[:, column]]
            for row in routes[sums >= missing]:
                yield from self._pools_of(edge, tuple(row.tolist()), missing)

    def _pools_of(
        self, edge: _Edge, pairs: tuple[int, ...], missing: float
    ) -> Iterator[tuple[Hop, ...]]:
        for choice in product(*(self._of_pair[pair].items() for pair in pairs)):
            if sum(self._weights[number] for number, _ in choice) < missing:
                continue
            hops = (edge.hop, *(hop for _, hop in choice))
            if len({hop.pool for hop in hops}) == len(hops):
                yield hops


def _logarithm(pool: Pool, hop: Hop) -> float:
    """Of the price at the margin after the fee; minus infinity where nothing can be traded."""
    try:
        price: Fraction = pool.spot_price(hop.token_in, hop.token_out)
    except SwapError:
        return -inf
    if price <= 0:
        return -inf
    margin = _STABLE_MARGIN if isinstance(pool, StableSwapPool) else 0.0
    return log2(price.numerator) - log2(price.denominator) + margin
