"""From a swap to every cycle of two and three pools that it touches.

This file alone: ``uv run python tests/benchmarks/bench_cycles.py --processes 1 --loops 1``.
"""

from __future__ import annotations

import random
import time
from collections import Counter

import pyperf
from pools import market, swapped

from torq_amm.arbitrage import PoolGraph, estimate, refine

_UPDATES = 200
_HUB_UPDATES = 40
_BEST = 32
_LEAST = 10**16
"""About the gas of a cycle: a profit below it is no signal."""


def main() -> None:
    """Every figure is a quantile over many swaps."""
    runner = pyperf.Runner()
    for count in (1000, 10_000):
        for name, share, is_hub in (
            ("p50", 50, False),
            ("p90", 90, False),
            ("between hubs p50", 50, True),
        ):
            runner.bench_time_func(
                f"cycles of {count} pools, torq {name}", update_time, count, share, is_hub
            )


_graphs: dict[int, PoolGraph] = {}


def update_time(loops: int, count: int, share: int, is_hub: bool) -> float:
    """From a pool's new value to every affected cycle of two and three pools evaluated.

    The ``share`` per cent quantile over many swaps. Each cycle that may earn is estimated, the best
    ones are sized in integers, as the strategy does. Pools are drawn evenly, or with ``is_hub`` by
    how many others share their tokens. A swap is taken back before the next.
    """
    if count not in _graphs:
        _graphs[count] = market(count)
    graph = _graphs[count]
    updates = _HUB_UPDATES if is_hub else _UPDATES
    draw = random.Random(7)
    pools = list(graph.pools.values())
    degrees = Counter(token for pool in pools for token in pool.tokens)
    weights = [min(degrees[token] for token in pool.tokens) if is_hub else 1 for pool in pools]
    chosen = [(pool, swapped(pool, draw)) for pool in draw.choices(pools, weights, k=updates)]
    for pool, _ in chosen:
        graph.candidates([pool.instrument])
    times = []
    for _ in range(loops):
        for before, after in chosen:
            start = time.perf_counter()
            graph.put(after)
            found = [estimate(c, graph.pools) for c in graph.candidates([after.instrument])]
            worth = [e for e in found if e is not None and e.bound >= _LEAST]
            worth.sort(key=lambda e: e.profit, reverse=True)
            for best in worth[:_BEST]:
                refine(best, graph.pools)
            times.append(time.perf_counter() - start)
            graph.put(before)
    return sorted(times)[len(times) * share // 100] * loops


if __name__ == "__main__":
    main()
