"""Exchanges' timestamps as UTC nanoseconds, digit by digit."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from torq_codec import decimal
from torq_types import PrecisionError

__all__ = ["milliseconds", "rfc3339_nanoseconds", "unix_nanoseconds"]

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_WHOLE = len("2026-08-09T21:05:48")
_CACHED_SECONDS = 64
_MICRO = -6
"""What Kraken's seconds end in."""


def rfc3339_nanoseconds(text: str) -> int:
    """``2026-08-09T21:05:48.228568804Z`` as nanoseconds since 1970.

    Raises ValueError for anything else. (datetime alone would lose the last three digits.)
    """
    fraction = text[_WHOLE + 1 : -1]
    if text[_WHOLE : _WHOLE + 1] == "." and text[-1] == "Z" and len(fraction) <= 9:
        if fraction.isascii() and fraction.isdecimal():
            whole = _whole_seconds(text[:_WHOLE])
            return whole * 1_000_000_000 + int(fraction) * int(10 ** (9 - len(fraction)))
    elif len(text) == _WHOLE + 1 and text[-1] == "Z":
        return _whole_seconds(text[:-1]) * 1_000_000_000
    raise _no_time(text)


@lru_cache(_CACHED_SECONDS)
def _whole_seconds(text: str) -> int:
    """Most messages come in the second of the one before."""
    if _RFC3339.fullmatch(text) is None:
        raise _no_time(text)
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _no_time(text: str) -> ValueError:
    return ValueError(f"found {text[:40]!r}; expected a UTC time such as 2026-08-09T21:05:48.2Z")


def milliseconds(value: int) -> int:
    """Milliseconds since 1970 as nanoseconds."""
    return value * 1_000_000


def unix_nanoseconds(text: str) -> int:
    """``1618678142.557535``, seconds since 1970, as nanoseconds. Raises ValueError."""
    try:
        seconds = decimal(text)
        if seconds.mantissa >= 0:
            return seconds.scaled(-9) if seconds.exponent != _MICRO else seconds.mantissa * 1000
    except PrecisionError:
        pass  # said below, in terms of time
    raise ValueError(f"found {text[:40]!r}; expected seconds such as 1618678142.557535")
