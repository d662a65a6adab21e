"""The four recorded sessions, and the messages of each as the exchange sent them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from torq_services.venues import load_session

_DATA = Path(__file__).parents[1] / "data"
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The lines of a session in tests/data."""
    raw = (_DATA / f"{name}.jsonl.zst").read_bytes()
    text = zstandard.ZstdDecompressor().stream_reader(raw).read().decode()
    for line in text.splitlines():
        yield json.loads(line)


def frames(name: str) -> list[bytes]:
    """A shipped session's WebSocket messages, in order."""
    return [frame.text.encode() for frame in load_session(name).frames]


def received(name: str) -> list[bytes]:
    """The WebSocket messages of a session in tests/data, in order."""
    return [row["data"].encode() for row in rows(name) if row["t"] == "recv"]


def answers(name: str) -> dict[str, bytes]:
    """The REST answers of a session in tests/data, by path and query."""
    return {
        "/" + row["url"].split("/", 3)[3]: row["data"].encode()
        for row in rows(name)
        if row["t"] == "http"
    }


def price_and_quantity_texts() -> Iterator[tuple[str, str]]:
    """Every price and quantity of every book and trade in the four sessions, as (session, text)."""
    for frame in frames("coinbase_advanced_2026-08"):
        for event in json.loads(frame)["events"]:
            for update in event.get("updates", ()):
                yield from (("coinbase", update[key]) for key in ("price_level", "new_quantity"))
            for trade in event.get("trades", ()):
                yield from (("coinbase", trade[key]) for key in ("price", "size"))
            for ticker in event.get("tickers", ()):
                keys = ("best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity")
                yield from (("coinbase", ticker[key]) for key in keys)
    for frame in frames("gemini_2026-08"):
        message = json.loads(frame)
        for _, price, quantity in message.get("changes", ()):
            yield from (("gemini", price), ("gemini", quantity))
        for trade in [*message.get("trades", ()), message]:
            if "price" in trade:
                yield from (("gemini", trade[key]) for key in ("price", "quantity"))
    for row in rows("kraken_v1_2021-04"):
        if row["t"] == "recv":
            yield from (("kraken", text) for text in _kraken(json.loads(row["data"])))
    for row in rows("binance_2021-10"):
        if row["t"] == "recv" or (row["t"] == "http" and "depth" in row["url"]):
            message = json.loads(row["data"])
            yield from (("binance", text) for text in _binance(message.get("data", message)))


def _kraken(message: Any) -> Iterator[str]:
    if not isinstance(message, list):
        return
    for part in message[1:-2]:
        if isinstance(part, list):  # trades
            for trade in part:
                yield from trade[:2]
        elif message[-2].startswith("book"):
            for key in ("as", "bs", "a", "b"):
                for entry in part.get(key, ()):
                    yield from entry[:2]
        else:  # ticker: price, whole lots, lots
            yield from (part[side][index] for side in "ab" for index in (0, 2))


def _binance(message: Any) -> Iterator[str]:
    for key in ("bids", "asks", "b", "a"):
        value = message.get(key, ())
        if isinstance(value, list):
            for entry in value:
                yield from entry
    for key in ("p", "q", "b", "B", "A", "a"):
        value = message.get(key)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            yield value
