"""What an adapter asks for: the feed carries it out, and keeps to the exchange's limits."""

from __future__ import annotations

import msgspec

__all__ = ["Fetch", "Request", "Send"]


class Send(msgspec.Struct, frozen=True):
    """A message for the exchange."""

    text: str


class Fetch(msgspec.Struct, frozen=True):
    """A REST request; the body comes back through :meth:`ExchangeAdapter.fetched`."""

    path: str
    symbol: str
    purpose: str
    weight: int = 1


Request = Send | Fetch
