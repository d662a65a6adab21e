"""Market state: books and pools that are verified in step, or stale."""

from __future__ import annotations

from torq_services.state.checksums import kraken_checksum
from torq_services.state.market import MarketState
from torq_services.state.order_book import OrderBook
from torq_services.state.pools import ChainBlock, PoolMarket, PoolUpdate

__all__ = ["ChainBlock", "MarketState", "OrderBook", "PoolMarket", "PoolUpdate", "kraken_checksum"]
