"""A reader of what an adapter publishes, who knows every book that was ever true."""

from __future__ import annotations

from torq_relays import MessageSink
from torq_services.state import OrderBook
from torq_services.venues.simulated.market import BookState, Market
from torq_types import TLV, InstrumentId, L2Delta, L2Snapshot, StateInvalidation

__all__ = ["Witness"]


class Witness(MessageSink):
    """A reader of what an adapter publishes: each verified book must be one that was true."""

    def __init__(self, market: Market, depth: int) -> None:
        self.market = market
        self.books: dict[str, OrderBook] = {}
        self.wrong: list[str] = []
        """Every published book that never was, or that went back in time."""
        self.stale = 0
        self.published = 0
        self._depth = depth
        self._latest: dict[str, int] = {}

    def send(self, *tlvs: TLV) -> None:
        """Take a message as a reader would."""
        for tlv in tlvs:
            if isinstance(tlv, L2Snapshot | L2Delta | StateInvalidation):
                self._take(tlv, tlv.instrument)

    async def flush(self) -> None:
        """Nothing to wait for."""

    def state(self, symbol: str) -> BookState:
        """What the reader has, in the market's units."""
        instrument = self.market.instruments[symbol]
        bids, asks = (
            tuple(
                (
                    level.price.scaled(instrument.price_exponent),
                    level.quantity.scaled(instrument.quantity_exponent),
                )
                for level in side
            )
            for side in self.books[symbol].last_known()
        )
        return bids, asks

    def is_true(self, symbol: str) -> bool:
        """Whether the reader's book is verified, and the venue's at this moment."""
        book = self.books.get(symbol)
        if book is None or book.status != "verified":
            return False
        return self.state(symbol) == self.market.books[symbol].state(self._depth)

    def _take(self, tlv: TLV, instrument: InstrumentId) -> None:
        symbol = instrument.symbol
        book = self.books.setdefault(symbol, OrderBook(instrument))
        book.apply(tlv)
        self.published += 1
        if book.status != "verified":
            self.stale += isinstance(tlv, StateInvalidation)
            return
        versions = self.market.versions(symbol, self.state(symbol))
        latest = self._latest.get(symbol, 0)
        if not versions:
            self.wrong.append(f"{symbol}: a book that never was, at {book.sequence}: {tlv}"[:400])
        elif versions[-1] < latest:
            self.wrong.append(f"{symbol}: back from {latest} to {versions[-1]}")
        else:
            # The same book may be true several times: it is the first that is possible.
            self._latest[symbol] = next(version for version in versions if version >= latest)
