"""Exchange adapters: one small file each for what is particular, one feed for what is not."""

from __future__ import annotations

from torq_services.adapters.base import ExchangeAdapter
from torq_services.adapters.binance import BinanceAdapter
from torq_services.adapters.books import BookDoubtError, PublishedBook
from torq_services.adapters.coinbase import CoinbaseAdapter
from torq_services.adapters.feed import Feed, FeedSettings
from torq_services.adapters.feed_health import BookHealth, FeedHealth
from torq_services.adapters.gemini import GeminiAdapter
from torq_services.adapters.instruments import InstrumentStatus, Listed, Listing
from torq_services.adapters.kraken import KrakenAdapter
from torq_services.adapters.kraken_v1 import KrakenV1Adapter
from torq_services.adapters.limits import CircuitBreaker, TokenBucket, VenueLimits
from torq_services.adapters.resync import Resynchroniser, ResyncPolicy

__all__ = [
    "ADAPTERS",
    "BinanceAdapter",
    "BookDoubtError",
    "BookHealth",
    "CircuitBreaker",
    "CoinbaseAdapter",
    "ExchangeAdapter",
    "Feed",
    "FeedHealth",
    "FeedSettings",
    "GeminiAdapter",
    "InstrumentStatus",
    "KrakenAdapter",
    "KrakenV1Adapter",
    "Listed",
    "Listing",
    "PublishedBook",
    "ResyncPolicy",
    "Resynchroniser",
    "TokenBucket",
    "VenueLimits",
]

ADAPTERS: dict[str, type[ExchangeAdapter]] = {
    adapter.name: adapter
    for adapter in (
        BinanceAdapter,
        CoinbaseAdapter,
        GeminiAdapter,
        KrakenAdapter,
        KrakenV1Adapter,
    )
}
"""By the name that the configuration uses."""
