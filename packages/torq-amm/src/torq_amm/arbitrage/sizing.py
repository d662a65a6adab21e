"""The input that earns most in a cycle, in exact integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt

import msgspec

from torq_amm.arbitrage.bracketing import bracketed
from torq_amm.arbitrage.cycles import Cycle, Sizing, quote_exact_in, quote_exact_out
from torq_amm.arbitrage.segments import Segment, segments_of
from torq_amm.swapping import Pool
from torq_amm.weighted import WeightedPool
from torq_types import InstrumentId, SwapError

__all__ = ["Estimate", "Sizing", "best_input", "estimate", "refine"]

_WINDOW = 8
_NOISY_CLIMBS = 32
"""How often the search may move on with a weighted pool, whose noise has no end."""
_CLIMBS = 1000
"""With all others it ends far earlier by itself; whatever a formula does, nobody waits for ever."""


def best_input(
    cycle: Cycle,
    pools: Mapping[InstrumentId, Pool],
    *,
    at_least: int = 1,
    window: int = _WINDOW,
) -> Sizing | None:
    """The input that earns most, or None where that stays below ``at_least``.

    The optimum of the formulas without rounding (in closed form for constant-product pools, piece
    by piece for concentrated ones, by bracketing for all others) is where the search in integers
    begins. It counts in steps of the coarsest token of the cycle, for every amount of which it
    takes the least input that buys it: an input between two steps pays more for the same. It ends
    when none of ``window`` steps to either side earns more, or when nothing possibly could. Farther
    away an input may earn more by what rounding takes, about a unit of each token on the way. With
    weighted pools the search ends within the noise of their power function, which knows 14 digits.
    """
    found = estimate(cycle, pools)
    if found is None or found.bound < at_least:
        return None
    best = refine(found, pools, window=window)
    return best if best is not None and best.profit >= at_least else None


class Estimate(msgspec.Struct, frozen=True):
    """About the best input of a cycle, and what it can earn at most; in smallest units."""

    cycle: Cycle
    amount_in: int
    profit: int
    bound: int
    is_exact: bool
    """The bound is the formula's own: an input that reaches it is the best there is."""


def estimate(cycle: Cycle, pools: Mapping[InstrumentId, Pool]) -> Estimate | None:
    """What a cycle earns before rounding; None where it earns nothing.

    A few microseconds where all pools have a closed form: enough to rank many cycles by.
    """
    ways = [way for hop in cycle.hops if (way := segments_of(pools[hop.pool], hop)) is not None]
    if len(ways) == len(cycle.hops):
        start, profit, bound = _by_pieces(ways)
        if start == 0:
            return None
        # Rounding only takes away. Without a bound the profit is a little off: twice is enough.
        limit = 2 * profit if bound is None else bound
        return Estimate(cycle, start, profit, limit, bound is not None)
    found = bracketed(cycle, pools)
    if found is None:
        return None
    return Estimate(cycle, found.amount_in, found.profit, found.profit + _rounding(found), False)


def refine(
    found: Estimate, pools: Mapping[InstrumentId, Pool], *, window: int = _WINDOW
) -> Sizing | None:
    """The best integer input around an estimate; see :func:`best_input`."""
    bound = found.bound if found.is_exact else None
    return _climb(found.cycle, pools, found.amount_in, window, bound)


def _by_pieces(ways: list[Iterator[Segment]]) -> tuple[int, int, int | None]:
    """The input with the greatest profit before rounding, that profit, and what bounds it.

    As long as every pool stays within its piece, the whole cycle is one piece. The walk goes from
    one piece's end to the next, until the optimum lies within. The bound is exact where one piece
    was enough, and None otherwise.
    """
    current = [next(way, None) for way in ways]
    taken = [0] * len(ways)
    """What each pool has taken of its current piece."""
    total = earned = 0
    bound = None
    while True:
        pieces = [s.piece.after(t) for s, t in zip(current, taken, strict=True) if s is not None]
        if len(pieces) < len(ways):
            return total, earned, None
        whole = pieces[0]
        wholes = [whole]
        for piece in pieces[1:]:
            whole = whole.then(piece)
            wholes.append(whole)
        if whole.a <= whole.b:
            return total, earned, bound
        if total == 0:
            # The maximum of a*x/(b+c*x) - x is (sqrt(a) - sqrt(b))**2 / c.
            bound = (whole.a + whole.b - isqrt(4 * whole.a * whole.b)) // whole.c
        step = max(whole.optimum(), 1 if total == 0 else 0)
        ended = None
        for hop, segment in enumerate(current):
            if segment is None or segment.capacity is None:
                continue
            left = max(0, segment.capacity - taken[hop])
            reach = left if hop == 0 else wholes[hop - 1].cost(left)
            if reach is not None and reach < step:
                step, ended = reach, hop
        earned += whole(step) - step
        if ended is None:
            return total + step, earned, bound
        for hop, flow in enumerate((step, *(prefix(step) for prefix in wholes[:-1]))):
            taken[hop] += flow
        total += step
        bound = None
        current[ended], taken[ended] = next(ways[ended], None), 0


def _climb(
    cycle: Cycle,
    pools: Mapping[InstrumentId, Pool],
    start: int,
    window: int,
    bound: int | None,
) -> Sizing | None:
    """From ``start`` to where no step of the coarsest token to either side earns more.

    An equal profit is no reason to move on: on the plateaus that rounding leaves, the moves would
    all be used up. A move that was one is tried again, twice as far each time: where a pool runs
    dry, profit rises to the very end, and the start may lie far from it.
    """
    coarsest, centre = _coarsest(cycle, pools, start)
    tried: dict[int, Sizing | None] = {}
    best: Sizing | None = None
    best_step = centre

    def is_better(step: int) -> bool:
        nonlocal best, best_step
        if step <= 0 or step in tried:
            return False
        tried[step] = sizing = _at(cycle, pools, coarsest, step)
        if sizing is None or (best is not None and sizing.profit <= best.profit):
            return False
        best, best_step = sizing, step
        return True

    is_noisy = any(isinstance(pools[hop.pool], WeightedPool) for hop in cycle.hops)
    for _ in range(_NOISY_CLIMBS if is_noisy else _CLIMBS):
        centre = best_step
        for distance in range(window + 1):
            for step in (centre - distance, centre + distance):
                if is_better(step) and best is not None and best.profit == bound:
                    return best
        if best_step == centre:
            break
        stride = 2 * (best_step - centre)
        while is_better(best_step + stride):
            stride *= 2
    return best


def _rounding(sizing: Sizing) -> int:
    """What rounding may take from a profit: a unit of each token on the way."""
    return len(sizing.amounts) * (1 + sizing.amount_in // max(1, min(sizing.amounts)))


def _coarsest(cycle: Cycle, pools: Mapping[InstrumentId, Pool], start: int) -> tuple[int, int]:
    """At which hop the cycle holds the fewest units, and how many."""
    amounts = [start]
    for hop in cycle.hops[:-1]:
        try:
            amounts.append(quote_exact_in(pools[hop.pool], hop, amounts[-1]))
        except SwapError:
            # Less than one unit of what it buys: the steps are whole units of that.
            return len(amounts), 0
    least = min(range(len(amounts)), key=amounts.__getitem__)
    return least, amounts[least]


def _at(
    cycle: Cycle, pools: Mapping[InstrumentId, Pool], coarsest: int, step: int
) -> Sizing | None:
    """The cycle with ``step`` units at the coarsest hop, for the least input."""
    amount_in = step
    try:
        for hop in reversed(cycle.hops[:coarsest]):
            amount_in = quote_exact_out(pools[hop.pool], hop, amount_in)
        return Sizing(cycle, cycle.amounts(pools, amount_in))
    except SwapError:
        return None
