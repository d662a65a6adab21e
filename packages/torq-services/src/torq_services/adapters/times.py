"""Exchanges' timestamps as UTC nanoseconds, digit by digit."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["milliseconds", "rfc3339_nanoseconds", "unix_nanoseconds"]

_SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?Z", re.ASCII)


def rfc3339_nanoseconds(text: str) -> int:
    """``2026-08-09T21:05:48.228568804Z`` as nanoseconds since 1970.

    Raises ValueError for anything else. (datetime alone would lose the last three digits.)
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text[:40]!r}; expected a UTC time such as 2026-08-09T21:05:48.2Z")
    seconds = datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))


def milliseconds(value: int) -> int:
    """Milliseconds since 1970 as nanoseconds."""
    return value * 1_000_000


def unix_nanoseconds(text: str) -> int:
    """``1618678142.557535``, seconds since 1970, as nanoseconds. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    if (
        len(whole) == 10
        and len(fraction) == 6
        and text.isascii()
        and (whole + fraction).isdecimal()
    ):
        return int(whole + fraction) * 1000  # as Kraken writes it, always
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text[:40]!r}; expected seconds such as 1618678142.557535")
    return int(match[1]) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))
