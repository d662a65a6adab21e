"""Kraken's checksum, on the example of its guide."""

from __future__ import annotations

from markets import levels, snapshot
from samples import BTC_USD

from torq_services.state import OrderBook, kraken_checksum

BIDS = ("5000", "4995", "4990", "4980", "4975", "4970", "4965", "4960", "4955", "4950")
ASKS = ("5005", "5010", "5015", "5020", "5025", "5030", "5035", "5040", "5045", "5050")


def book(bids: tuple[str, ...], asks: tuple[str, ...]) -> OrderBook:
    found = OrderBook(BTC_USD)
    sides = [levels(*((f"0.0{price}", "0.00000500") for price in side)) for side in (bids, asks)]
    found.apply(snapshot(BTC_USD, sides[0], sides[1]))
    return found


def test_the_guide_s_example() -> None:
    """Kraken's guide "Book checksum (WebSocket v1)" says 974947235."""
    assert kraken_checksum(book(BIDS, ASKS)) == 974947235


def test_what_lies_deeper_than_ten_levels_does_not_count() -> None:
    assert kraken_checksum(book((*BIDS, "4945"), (*ASKS, "5055"))) == 974947235
    for bids, asks in ((BIDS[:9], ASKS), (BIDS, ASKS[:9])):
        assert kraken_checksum(book(bids, asks)) != 974947235
