"""The recorded sessions as the benchmarks use them. Imports nothing of Torq: rivals use it too."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["FRAMES", "SESSIONS", "Session", "write"]

FRAMES = "TORQ_BENCH_SESSIONS"
"""Environment variable: the file that :func:`write` wrote."""


class Session:
    """One exchange's session, parted where all books are in step."""

    def __init__(self, name: str, record: dict[str, Any]) -> None:
        self.name = name
        self.adapter: str = record["adapter"]
        self.symbols: list[str] = record["symbols"]
        self.opening = [text.encode() for text in record["opening"]]
        """Up to the last whole book."""
        self.frames = [text.encode() for text in record["frames"]]
        """What follows: what is measured."""
        self.snapshots = {key: text.encode() for key, text in record["snapshots"].items()}
        """REST answers with a whole book, by symbol."""
        self.checked = (
            []
            if "kraken" not in name
            else [frame for frame in self.frames if b'"c":"' in frame or b'"checksum":' in frame]
        )
        """Those of the frames that carry the exchange's checksum of the book."""


def write(target: Path) -> None:
    """Unpack the recordings once, for every process of every benchmark."""
    from kraken_v2 import kraken_v2_messages
    from recordings import answers, frames, received

    kraken = received("kraken_v1_2021-04")
    binance = received("binance_2021-10")
    books = {
        path.partition("symbol=")[2].partition("&")[0]: body.decode()
        for path, body in answers("binance_2021-10").items()
        if "/depth" in path
    }
    records = {
        "coinbase": _parted(
            "coinbase", _renumbered(frames("coinbase_advanced_2026-08")),
            b'"type":"snapshot","product_id"', ["BTC-USD", "ETH-USD"],
        ),
        "gemini": _parted("gemini", frames("gemini_2026-08"), b'"trades":', None),
        "kraken": _parted("kraken_v1", kraken, b'"as":', None),
        "kraken v2": _parted("kraken", list(kraken_v2_messages()), b'"snapshot"', None),
        "binance": {
            "adapter": "binance", "symbols": sorted(books),
            "opening": [frame.decode() for frame in binance[:12]],
            "frames": [frame.decode() for frame in binance[12:]], "snapshots": books,
        },
    }  # fmt: skip
    target.write_text(json.dumps(records))


def _renumbered(messages: list[bytes]) -> list[bytes]:
    """Books and trades alone, which every rival knows, numbered without a hole."""
    kept = [m for m in messages if b'"l2_data"' in m[:40] or b'"market_trades"' in m[:40]]
    return [
        re.sub(rb'"sequence_num":\d+', b'"sequence_num":%d' % number, message, count=1)
        for number, message in enumerate(kept)
    ]


def _parted(
    adapter: str, messages: list[bytes], mark: bytes, symbols: list[str] | None
) -> dict[str, Any]:
    last = max(at for at, message in enumerate(messages) if mark in message)
    names: set[str] = set()
    for message in messages if symbols is None else ():
        content = json.loads(message)
        if isinstance(content, list):
            names.add(content[-1])
        elif "symbol" in content:
            names.add(content["symbol"])
        elif "data" in content:
            names.add(content["data"][0]["symbol"])
    return {
        "adapter": adapter, "symbols": symbols or sorted(names), "snapshots": {},
        "opening": [message.decode() for message in messages[: last + 1]],
        "frames": [message.decode() for message in messages[last + 1 :]],
    }  # fmt: skip


def _read() -> list[Session]:
    path = os.environ.get(FRAMES)
    if path is None:
        import sys
        import tempfile

        sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "sessions.json")
            return _build(Path(folder) / "sessions.json")
    return _build(Path(path))


def _build(path: Path) -> list[Session]:
    return [Session(name, record) for name, record in json.loads(path.read_text()).items()]


SESSIONS = _read()
