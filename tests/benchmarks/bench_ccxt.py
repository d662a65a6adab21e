"""ccxt pro's handlers on the same frames; it runs in the rivals' interpreter (bench_cryptofeed.py).

Books are kept as ccxt keeps them, in floats. Kraken's checksums are not compared: ccxt turned that
off, and with floats it would fail. Its Kraken speaks version 2 alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ccxt.pro
import pyperf

sys.path.insert(0, str(Path(__file__).parent))
from sessions import SESSIONS, Session

_EXCHANGES = {"coinbase": "coinbase", "kraken v2": "kraken", "binance": "binance",
              "gemini": "gemini"}  # fmt: skip


class _Client:
    """Stands for a connection: takes what watchers would get."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.subscriptions: dict[str, Any] = {}

    def resolve(self, result: Any, message_hash: str) -> None:
        """Nobody waits."""

    def reject(self, error: BaseException, message_hash: str | None = None) -> None:
        """A book was given up."""
        raise error


def exchange_of(session: Session) -> Any:
    """An exchange that knows its symbols without asking anybody."""
    exchange = getattr(ccxt.pro, _EXCHANGES[session.name])()
    exchange.set_markets(
        [
            {
                "id": symbol.lower() if session.name == "gemini" else symbol,
                "symbol": symbol if "/" in symbol else f"X{number}/USD",
                "base": f"X{number}", "quote": "USD", "spot": True, "type": "spot",
                "option": False, "contract": False,
                "precision": {"price": 1e-8, "amount": 1e-8},
            }
            for number, symbol in enumerate(session.symbols)
        ]
    )  # fmt: skip
    return exchange


def content_of(session: Session, frame: bytes) -> str:
    """The text that ccxt would get: on Binance it asks for streams without an envelope."""
    return json.dumps(json.loads(frame)["data"]) if session.name == "binance" else frame.decode()


def start(exchange: Any, client: _Client, session: Session) -> None:
    """Everything up to where all books are in step."""
    for symbol, body in session.snapshots.items():
        snapshot = exchange.parse_order_book(json.loads(body), exchange.safe_symbol(symbol))
        snapshot["nonce"] = json.loads(body)["lastUpdateId"]
        exchange.orderbooks[snapshot["symbol"]] = exchange.order_book(snapshot)
    for frame in session.opening:
        exchange.handle_message(client, json.loads(content_of(session, frame)))


def timed(session: Session) -> Callable[[int], float]:
    """Seconds for ``loops`` passes, each by an exchange whose books are in step."""
    texts = [content_of(session, frame) for frame in session.frames]

    def measure(loops: int) -> float:
        total = 0.0
        for _ in range(loops):
            exchange = exchange_of(session)
            client = _Client("wss://stream.binance.com:9443/ws")
            start(exchange, client, session)
            begin = time.perf_counter()
            for text in texts:
                exchange.handle_message(client, json.loads(text))
            total += time.perf_counter() - begin
        return total

    return measure


def main() -> None:
    """Measure."""
    runner = pyperf.Runner()
    for session in SESSIONS:
        if session.name in _EXCHANGES:
            runner.bench_time_func(
                f"adapter {session.name}, ccxt", timed(session), inner_loops=len(session.frames)
            )


if __name__ == "__main__":
    main()
