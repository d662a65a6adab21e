"""degenbot's quotes for the same pools; it needs CPython 3.12 and an older web3, so it runs apart.

uv venv -p 3.12 RIVALS && uv pip install -p RIVALS/bin/python degenbot pyperf
TORQ_BENCH_RIVALS=RIVALS/bin/python uv run torq bench
"""

from __future__ import annotations

import json
import os
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyperf

E18 = 10**18


def degenbot_without_its_database() -> None:
    """It makes one in the home folder when it is imported first; quotes need none."""
    home = os.environ["TORQ_BENCH_HOME"]
    os.environ["HOME"] = home
    folder = Path(home) / ".config" / "degenbot"
    folder.mkdir(parents=True, exist_ok=True)
    config = f'rpc = {{}}\n[database]\npath = "{home}/degenbot.db"\n'
    (folder / "config.toml").write_text(config)


def main() -> None:
    """Measure."""
    degenbot_without_its_database()
    runner = pyperf.Runner()
    from degenbot.uniswap.v2_functions import constant_product_calc_exact_in

    fee = Fraction(3, 1000)
    runner.bench_func(
        "amount V2, degenbot", constant_product_calc_exact_in, E18, 400 * E18, 10**12, fee
    )
    subject = json.loads(os.environ["TORQ_BENCH_V3"])
    for crossings, amount in subject["amounts"].items():
        pool, state = concentrated(subject["ticks"], subject["liquidity"])

        def quote(pool: Any = pool, state: Any = state, amount: int = int(amount)) -> Any:
            # Every quote as the first one at its state: its cache of whole steps stays empty.
            pool._swap_step_cache.clear()
            return pool._calculate_swap(
                zero_for_one=True, amount_specified=amount,
                sqrt_price_limit_x96=4295128740, override_state=state,
            )  # fmt: skip

        assert -quote()[1] == subject["expected"][crossings]
        runner.bench_func(f"quote V3 over {crossings}, degenbot", quote)


def concentrated(ticks: dict[str, int], liquidity: int) -> tuple[Any, Any]:
    """A pool object without a chain behind it, and its state."""
    from degenbot.uniswap.v3_liquidity_pool import UniswapV3Pool
    from degenbot.uniswap.v3_types import UniswapV3LiquidityAtTick

    class State:
        """What a quote reads."""

    state = State()
    state.liquidity, state.sqrt_price_x96, state.tick = liquidity, 1 << 96, 0  # type: ignore[attr-defined]
    state.tick_bitmap = {}  # type: ignore[attr-defined]
    state.tick_data = {  # type: ignore[attr-defined]
        int(tick): UniswapV3LiquidityAtTick(liquidity_net=net, liquidity_gross=abs(net))
        for tick, net in ticks.items()
    }
    pool = UniswapV3Pool.__new__(UniswapV3Pool)
    pool.sparse_liquidity_map = False
    pool.tick_spacing, pool.fee = 10, 500
    pool._swap_step_cache = {}
    pool._swap_step_cache_lock = threading.Lock()
    return pool, state


if __name__ == "__main__":
    main()
