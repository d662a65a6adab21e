"""Checksums that exchanges send of their books, computed from a book's own digits.

Kraken's, for WebSocket versions 1 and 2: CRC-32 of the ten best asks and then the ten best bids,
best first, each as its price and its quantity without the point and without zeros in front.
Source: Kraken's guides "Book checksum (WebSocket v1)" and "(WebSocket v2)".
"""

from __future__ import annotations

from torq_codec import kernel
from torq_services.state.order_book import OrderBook

__all__ = ["kraken_checksum"]

_LEVELS = 10


def kraken_checksum(book: OrderBook) -> int:
    """The checksum of ``book`` as it stands, whether or not it is verified.

    A :class:`torq_types.Decimal64` keeps the digits that came, so its mantissa is what Kraken
    calls the number without point and leading zeros.
    """
    digits = book.top_digits(_LEVELS)
    return kernel.crc32(digits, 0, len(digits))
