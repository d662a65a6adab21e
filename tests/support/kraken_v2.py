"""Kraken's recorded session, told in version 2 of its WebSocket API: the same digits and checksums.

Nobody has published a long recording of version 2. Both versions compute the checksum alike, so
that Kraken's own checksums hold for the transcription too; a version 1 snapshot has none, and gets
what :func:`zlib.crc32` says of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from recordings import received

__all__ = ["kraken_v2_messages"]

_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_TRADE_SIDES = {"b": "buy", "s": "sell"}


def kraken_v2_messages() -> Iterator[bytes]:
    """Books, trades and tickers, in the order of the recording."""
    for number, raw in enumerate(received("kraken_v1_2021-04")):
        message = json.loads(raw)
        if not isinstance(message, list):
            continue
        channel, symbol = message[-2], "/".join(_NAMES.get(n, n) for n in message[-1].split("/"))
        if channel.startswith("book"):
            yield _book(symbol, message[1:-2])
        elif channel == "trade":
            trades = (_trade(symbol, number, entry) for entry in message[1])
            yield _envelope("trade", "update", ",".join(trades))
        elif channel == "ticker":
            bid, ask = message[1]["b"], message[1]["a"]
            content = f'"bid":{bid[0]},"bid_qty":{bid[2]},"ask":{ask[0]},"ask_qty":{ask[2]}'
            yield _envelope("ticker", "update", f'{{"symbol":"{symbol}",{content}}}')


def _book(symbol: str, parts: list[dict[str, Any]]) -> bytes:
    content: dict[str, Any] = {}
    for part in parts:
        content |= part
    is_whole = "as" in content
    asks, bids = (
        content.get(key, []) for key in (("as", "bs") if is_whole else ("a", "b"))
    )  # fmt: skip
    checksum = int(content["c"]) if "c" in content else crc32(_digits(asks[:10] + bids[:10]))
    latest = max((entry[2] for entry in bids + asks), default="0")
    return _envelope(
        "book", "snapshot" if is_whole else "update",
        f'{{"symbol":"{symbol}","bids":{_side(bids)},"asks":{_side(asks)},"checksum":{checksum},'
        f'"timestamp":"{_time(latest)}"}}',
    )  # fmt: skip


def _envelope(channel: str, kind: str, data: str) -> bytes:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{data}]}}'.encode()


def _trade(symbol: str, number: int, entry: list[str]) -> str:
    return (
        f'{{"symbol":"{symbol}","side":"{_TRADE_SIDES[entry[3]]}","price":{entry[0]},'
        f'"qty":{entry[1]},"ord_type":"market","trade_id":{number},"timestamp":"{_time(entry[2])}"}}'
    )


def _side(entries: list[list[str]]) -> str:
    """Prices and quantities as JSON numbers, every digit as it came."""
    levels = (f'{{"price":{entry[0]},"qty":{entry[1]}}}' for entry in entries)
    return f"[{','.join(levels)}]"


def _digits(entries: list[list[str]]) -> bytes:
    texts = (text.replace(".", "").lstrip("0") for entry in entries for text in entry[:2])
    return "".join(texts).encode()


def _time(seconds: str) -> str:
    whole, _, fraction = seconds.partition(".")
    moment = datetime.fromtimestamp(int(whole), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:0<6}Z"
