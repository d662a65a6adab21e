"""A recorded session: what an exchange sent, and when."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from importlib import resources
from typing import Literal

import msgspec

__all__ = ["Frame", "Session", "load_session"]


class Frame(msgspec.Struct, frozen=True):
    """One WebSocket message."""

    offset_us: int
    """Microseconds since the first message."""
    text: str


class Session(msgspec.Struct, frozen=True):
    """The messages of a session in order, and its REST answers by path."""

    frames: tuple[Frame, ...]
    answers: dict[str, str]


class _Row(msgspec.Struct):
    t: Literal["header", "http", "connect", "send", "recv"]
    ts: float = 0.0
    url: str = ""
    data: str = ""


def load_session(name: str) -> Session:
    """One of the sessions that ship with torq-services (see NOTICE), by its file's stem."""
    folder = resources.files("torq_services.venues") / "sessions"
    with (folder / f"{name}.jsonl.xz").open("rb") as packed, lzma.open(packed) as lines:
        return _build(msgspec.json.Decoder(_Row).decode(line) for line in lines)


def _build(rows: Iterator[_Row]) -> Session:
    frames: list[Frame] = []
    answers: dict[str, str] = {}
    first = 0.0
    for row in rows:
        if row.t == "http":
            answers["/" + row.url.split("/", 3)[3]] = row.data
        elif row.t == "recv":
            first = first or row.ts
            frames.append(Frame(int((row.ts - first) * 1_000_000), row.data))
    return Session(tuple(frames), answers)
