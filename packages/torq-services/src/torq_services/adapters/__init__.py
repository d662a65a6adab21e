"""Exchange adapters: one small file each for what is particular, one feed for what is not."""

from __future__ import annotations

from torq_services.adapters.binance import BinanceAdapter
from torq_services.adapters.coinbase import CoinbaseAdapter
from torq_services.adapters.exchange.base import ExchangeAdapter
from torq_services.adapters.exchange.books import BookDoubtError, PublishedBook
from torq_services.adapters.exchange.feed import Feed, FeedSettings
from torq_services.adapters.exchange.health import BookHealth, FeedHealth
from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, Listing
from torq_services.adapters.exchange.limits import CircuitBreaker, TokenBucket, VenueLimits
from torq_services.adapters.exchange.resync import Resynchroniser, ResyncPolicy
from torq_services.adapters.gemini import GeminiAdapter
from torq_services.adapters.kraken.v1 import KrakenV1Adapter
from torq_services.adapters.kraken.v2 import KrakenAdapter

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
