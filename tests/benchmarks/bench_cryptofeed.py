"""cryptofeed's handlers on the same frames; it runs in the rivals' interpreter.

uv venv -p 3.12 RIVALS
uv pip install -p RIVALS/bin/python degenbot "sqlalchemy<2.1" cryptofeed ccxt pyperf
TORQ_BENCH_RIVALS=RIVALS/bin/python uv run torq bench

Books are kept, Kraken's checksums compared, and every callback does nothing. Binance is left out,
whose handler fetches a snapshot over the network in the middle of a message, and Kraken's version
2, which cryptofeed does not speak.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyperf

sys.path.insert(0, str(Path(__file__).parent))
from sessions import SESSIONS, Session


async def _nothing(*_: Any) -> None:
    pass


class _Connection:
    uuid = "bench"


def feed_of(session: Session) -> Any:
    """A feed that knows its symbols without asking anybody."""
    from cryptofeed.defines import L2_BOOK, TICKER, TRADES
    from cryptofeed.exchanges import Coinbase, Gemini, Kraken
    from cryptofeed.symbols import Symbols

    cls = {"coinbase": Coinbase, "gemini": Gemini, "kraken": Kraken}[session.name]
    channels = [L2_BOOK, TRADES] + [TICKER] * (session.name == "kraken")
    names = {f"X{number}-USD": symbol for number, symbol in enumerate(session.symbols)}
    Symbols.set(cls.id, names, {})
    options = {"checksum_validation": True} if session.name == "kraken" else {}
    return cls(
        symbols=list(names), channels=channels, callbacks=dict.fromkeys(channels, _nothing),
        **options,
    )  # fmt: skip


def timed(session: Session, frames: list[bytes]) -> Callable[[int], float]:
    """Seconds for ``loops`` passes over ``frames``, each by a feed whose books are in step."""
    opening = [frame.decode() for frame in session.opening]
    texts = [frame.decode() for frame in frames]

    async def passes(loops: int) -> float:
        total = 0.0
        for _ in range(loops):
            feed, connection = feed_of(session), _Connection()
            # What its subscribe() does first.
            if session.name == "coinbase":
                feed._Coinbase__reset()
            elif session.name == "gemini":
                feed._Gemini__reset(session.symbols)
            for text in opening:
                await feed.message_handler(text, connection, 1.0)
            begin = time.perf_counter()
            for text in texts:
                await feed.message_handler(text, connection, 1.0)
            total += time.perf_counter() - begin
        return total

    return lambda loops: asyncio.run(passes(loops))


def main() -> None:
    """Measure."""
    logging.disable(logging.CRITICAL)
    runner = pyperf.Runner()
    for session in SESSIONS:
        if session.name in ("binance", "kraken v2"):
            continue
        runner.bench_time_func(
            f"adapter {session.name}, cryptofeed", timed(session, session.frames),
            inner_loops=len(session.frames),
        )  # fmt: skip
        if session.checked:
            runner.bench_time_func(
                f"checked updates {session.name}, cryptofeed", timed(session, session.checked),
                inner_loops=len(session.checked),
            )  # fmt: skip


if __name__ == "__main__":
    main()
