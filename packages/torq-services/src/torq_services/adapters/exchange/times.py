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
            return _told(
                whole * 1_000_000_000 + int(fraction) * int(10 ** (9 - len(fraction))), text
            )
    elif len(text) == _WHOLE + 1 and text[-1] == "Z":
        return _told(_whole_seconds(text[:-1]) * 1_000_000_000, text)
    raise _no_time(text)


@lru_cache(_CACHED_SECONDS)
def _whole_seconds(text: str) -> int:
    """Most messages come in the second of the one before."""
    if _RFC3339.fullmatch(text) is None:
        raise _no_time(text)
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _told(nanoseconds: int, found: str | int) -> int:
    """What fits the wire: a time before 1970 or after 2554 would be a fault of the sender's."""
    if not 0 <= nanoseconds < 1 << 64:
        raise ValueError(f"found the time {str(found)[:40]!r}; expected one from 1970 to 2554")
    return nanoseconds


def _no_time(text: str) -> ValueError:
    return ValueError(f"found {text[:40]!r}; expected a UTC time such as 2026-08-09T21:05:48.2Z")


def milliseconds(value: int) -> int:
    """Milliseconds since 1970 as nanoseconds. Raises ValueError."""
    return _told(value * 1_000_000, value)


def unix_nanoseconds(text: str) -> int:
    """``1618678142.557535``, seconds since 1970, as nanoseconds. Raises ValueError."""
    try:
        seconds = decimal(text)
        if seconds.mantissa >= 0:
            is_micro = seconds.exponent == _MICRO
            return _told(seconds.mantissa * 1000 if is_micro else seconds.scaled(-9), text)
    except PrecisionError:
        pass  # said below, in terms of time
    raise ValueError(f"found {text[:40]!r}; expected seconds such as 1618678142.557535")
