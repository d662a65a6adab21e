"""The best input of a cycle whose pools have no closed form: by exact profits alone.

Every pool's price gets worse with size, so profit rises to one maximum and falls behind it. First
three inputs are found with the best in the middle; then parabolas through them (Brent, "Algorithms
for Minimization without Derivatives", 1973) lead to the top in a few steps.
"""

from __future__ import annotations

from collections.abc import Mapping

from torq_amm.arbitrage.cycles import Cycle, Sizing
from torq_amm.concentrated import ConcentratedLiquidityPool
from torq_amm.constant_product import ConstantProductPool
from torq_amm.stable_swap import StableSwapPool
from torq_amm.swapping import Pool
from torq_amm.weighted import WeightedPool
from torq_types import InstrumentId, SwapError

__all__ = ["bracketed"]

_ROUNDS = 60
_STEP = 4
_UNKNOWN_DEPTH = 1 << 64
_DIGITS = 46
"""Balancer's power function is good to 14 digits: closer differences are its noise."""


def bracketed(cycle: Cycle, pools: Mapping[InstrumentId, Pool]) -> Sizing | None:
    """Near the optimum: as near as rounding lets profits tell. None where nothing can be traded."""
    search = _Search(cycle, pools)
    middle = search.first()
    if middle is None:
        return None
    low, high = search.around(middle)
    search.narrow(low, high)
    return search.best


class _Search:
    def __init__(self, cycle: Cycle, pools: Mapping[InstrumentId, Pool]) -> None:
        self.cycle = cycle
        self.pools = pools
        self.best: Sizing | None = None
        self._known: dict[int, int | None] = {}
        self._is_noisy = any(isinstance(pools[hop.pool], WeightedPool) for hop in cycle.hops)

    def profit(self, amount_in: int) -> int | None:
        """Exactly what an input earns; None where a swap of it reverts."""
        if amount_in not in self._known:
            try:
                found = Sizing(self.cycle, self.cycle.amounts(self.pools, amount_in))
            except SwapError:
                self._known[amount_in] = None
            else:
                self._known[amount_in] = found.profit
                if self.best is None or found.profit > self.best.profit:
                    self.best = found
        return self._known[amount_in]

    def first(self) -> int | None:
        """An input that can be traded: a small part of the first pool, less, or else more."""
        hop = self.cycle.hops[0]
        depth = _depth(self.pools[hop.pool], hop.token_in)
        amount = max(1, depth >> 8)
        while amount and self.profit(amount) is None:
            amount >>= 4
        if amount:
            return amount
        # Of very few units a small part buys nothing.
        larger = (depth >> shift for shift in (6, 4, 2, 0))
        return next((each for each in larger if each and self.profit(each) is not None), None)

    def around(self, middle: int) -> tuple[int, int]:
        """Two inputs with the best one between them."""
        while self._is_better(middle * _STEP, middle):
            middle *= _STEP
        while middle >= _STEP and self._is_better(middle // _STEP, middle):
            middle //= _STEP
        return middle // _STEP, middle * _STEP

    def narrow(self, low: int, high: int) -> None:
        """Close in on the top between two inputs."""
        for _ in range(_ROUNDS):
            if self.best is None or high - low <= 2:
                return
            middle, before = self.best.amount_in, self.best.profit
            enough = max(1, middle >> _DIGITS) if self._is_noisy else 1
            step = self._parabola(low, middle, high)
            by_parabola = step is not None
            if step is None:
                # Three eighths into the longer side: near the golden section.
                wide = high - middle > middle - low
                step = (
                    middle + (high - middle) * 3 // 8 if wide else middle - (middle - low) * 3 // 8
                )
                if step == middle:
                    return
            found = self.profit(step)
            if self.best.amount_in == step:
                low, high = (middle, high) if step > middle else (low, middle)
                if by_parabola and self.best.profit - before <= enough:
                    return
            else:
                low, high = (low, step) if step > middle else (step, high)
                if by_parabola and found is not None and before - found <= enough:
                    return

    def _parabola(self, low: int, middle: int, high: int) -> int | None:
        """Where the parabola through three profits has its top, if that leads on."""
        left, top, right = self.profit(low or 1), self.profit(middle), self.profit(high)
        if left is None or top is None or right is None:
            return None
        to_left, to_right = middle - low, middle - high
        rise_left, rise_right = top - left, top - right
        divisor = 2 * (to_left * rise_right - to_right * rise_left)
        if divisor == 0:
            return None
        step = middle - (to_left**2 * rise_right - to_right**2 * rise_left) // divisor
        return step if low < step < high and step != middle else None

    def _is_better(self, amount_in: int, than: int) -> bool:
        found, known = self.profit(amount_in), self.profit(than)
        return found is not None and (known is None or found > known)


def _depth(pool: Pool, token_in: InstrumentId) -> int:
    """About how much of a token a pool holds near its price."""
    if isinstance(pool, ConstantProductPool):
        return pool.reserve0 if token_in == pool.token0 else pool.reserve1
    if isinstance(pool, ConcentratedLiquidityPool):
        if token_in == pool.token0:
            return (pool.liquidity << 96) // pool.sqrt_price_x96 if pool.sqrt_price_x96 else 0
        return pool.liquidity * pool.sqrt_price_x96 >> 96
    if isinstance(pool, StableSwapPool | WeightedPool):
        return pool.balances[pool.tokens.index(token_in)]
    return _UNKNOWN_DEPTH
