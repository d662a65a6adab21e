"""Exchange adapters: one small file each for what is particular, one feed for what is not."""

from __future__ import annotations

from torq_services.adapters.base import ExchangeAdapter
from torq_services.adapters.books import BookDoubtError, PublishedBook
from torq_services.adapters.coinbase import CoinbaseAdapter
from torq_services.adapters.feed import Feed, FeedHealth
from torq_services.adapters.gemini import GeminiAdapter

__all__ = [
    "ADAPTERS",
    "BookDoubtError",
    "CoinbaseAdapter",
    "ExchangeAdapter",
    "Feed",
    "FeedHealth",
    "GeminiAdapter",
    "PublishedBook",
]

ADAPTERS: dict[str, type[ExchangeAdapter]] = {
    adapter.venue.slug: adapter for adapter in (CoinbaseAdapter, GeminiAdapter)
}
"""By the name that the configuration uses."""
