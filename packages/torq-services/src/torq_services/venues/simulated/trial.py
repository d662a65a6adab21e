"""An adapter against a simulated exchange under faults, and a witness who knows every true book.

``torq demo faults`` shows one; the tests judge thousands.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec

from torq_relays import Backoff
from torq_services.adapters import (
    BinanceAdapter,
    CircuitBreaker,
    CoinbaseAdapter,
    ExchangeAdapter,
    Feed,
    FeedSettings,
    GeminiAdapter,
    KrakenAdapter,
    Resynchroniser,
    ResyncPolicy,
)
from torq_services.venues.simulated import (
    Fault,
    FaultLine,
    Market,
    SimulatedBinance,
    SimulatedCoinbase,
    SimulatedGemini,
    SimulatedInstrument,
    SimulatedKraken,
    SimulatedVenue,
    fault_plan,
)
from torq_services.venues.simulated.witness import Witness

__all__ = [
    "EXCHANGES", "QUICK", "UNSEEN", "Exchange", "Trial", "Witness", "possible_faults", "trial",
]  # fmt: skip

QUICK = FeedSettings(
    repeat=3600, silence=0.7, open_silence=0.5, keepalive=0.2, tick=0.02, settle=0.1,
)  # fmt: skip
"""The times of a real exchange, shortened."""
_QUICK_RESYNC = ResyncPolicy(first=0.02, most=0.3, patience=0.6, calm=5.0, unanswered=3)
_DEPTH = 10
"""Of Kraken's books here: all of it is under the checksum."""


class CheckedKraken(KrakenAdapter):
    """Kraken with the depth that its checksum covers."""

    book_depth = _DEPTH
    audit_seconds = 0


class BriefBinance(BinanceAdapter):
    """Binance with snapshots that cost little of its limits: many are taken here."""

    snapshot_levels = 1000


class Exchange(msgspec.Struct, frozen=True):
    """What belongs together."""

    name: str
    adapter: type[ExchangeAdapter]
    venue: Callable[[Market], SimulatedVenue]
    symbols: tuple[str, str]
    path: str = ""
    depth: int = 0
    audit: float | None = None

    @property
    def instruments(self) -> list[SimulatedInstrument]:
        """Two, of different digits."""
        return [
            SimulatedInstrument(self.symbols[0], "BTC", "USD", 6_508_367),
            SimulatedInstrument(self.symbols[1], "ETH", "USD", 191_601, quantity_exponent=-6),
        ]


EXCHANGES = {
    exchange.name: exchange
    for exchange in (
        Exchange("coinbase", CoinbaseAdapter, SimulatedCoinbase, ("BTC-USD", "ETH-USD")),
        Exchange("kraken", CheckedKraken, SimulatedKraken, ("BTC/USD", "ETH/USD"), "/v2", _DEPTH),
        Exchange("binance", BriefBinance, SimulatedBinance, ("BTCUSDT", "ETHUSDT"), "/stream"),
        Exchange(
            "gemini", GeminiAdapter, SimulatedGemini, ("BTCUSD", "ETHUSD"), "/v2/marketdata",
            audit=0.3,
        ),
    )
}  # fmt: skip


_NOT_POSSIBLE = {
    "coinbase": {Fault.CHECKSUM},
    "binance": {Fault.CHECKSUM},
    "gemini": {Fault.CHECKSUM, Fault.SEQUENCE_JUMP},
    "kraken": {Fault.SEQUENCE_JUMP},
}
# Gemini numbers nothing: what is lost, comes twice or in another order is found when it does not
# fit the book, or by the next comparison over REST, and not before.
UNSEEN = {"gemini": frozenset({Fault.DROP, Fault.DUPLICATE, Fault.REORDER})}


def possible_faults(name: str) -> list[Fault]:
    """What can be done to an exchange: some number nothing, some send no checksum."""
    return [fault for fault in Fault if fault not in _NOT_POSSIBLE[name]]


class Trial:
    """One venue with its market and faults, and a feed that follows it."""

    def __init__(
        self, exchange: Exchange, seed: int, plan: dict[int, Fault] | None = None,
        remembers: int | None = None, witness: Callable[[Market, int], Witness] = Witness,
    ) -> None:  # fmt: skip
        """``plan`` says what goes wrong at which message; for ``remembers`` see
        :class:`Market`."""
        self.exchange = exchange
        self.market = Market(exchange.instruments, seed, depth=exchange.depth, remembers=remembers)
        self.venue = exchange.venue(self.market)
        self.venue.faults = FaultLine(plan or {}, self.venue, seed)
        self.witness = witness(self.market, exchange.depth)
        chance = random.Random(seed)
        self.adapter = exchange.adapter(
            exchange.symbols, self.witness, resync=Resynchroniser(_QUICK_RESYNC, chance=chance)
        )
        self.feed: Feed

    @asynccontextmanager
    async def running(self, settings: FeedSettings = QUICK) -> AsyncIterator[Trial]:
        """Serve and follow; in step when it begins."""
        async with self.venue.serving():
            self.feed = self.unconnected_feed(settings)
            following = asyncio.create_task(self.feed.run())
            try:
                await self.until(lambda: self.adapter.is_in_step, "the first snapshots")
                yield self
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    def unconnected_feed(self, settings: FeedSettings = QUICK) -> Feed:
        """A feed that knows where the venue is."""
        base = f"127.0.0.1:{self.venue.port}"
        return Feed(
            self.adapter,
            url=f"ws://{base}{self.exchange.path}",
            rest_url=f"http://{base}",
            settings=msgspec.structs.replace(settings, audit=self.exchange.audit),
            backoff=Backoff(first=0.02, most=0.1, chance=random.Random(1)),
            breaker=CircuitBreaker(failures=1000),
        )

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Wait, and say what was waited for in vain."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                done = self.venue.faults.done[-20:]
                raise TimeoutError(
                    f"{self.exchange.name}: waited {seconds} s for {what}; the feed is"
                    f" {self.feed.state}; last doubt: {self.adapter.last_doubt}; faults: {done}"
                )
            await asyncio.sleep(0.01)

    async def trade_through_faults(self, per_second: int = 1000) -> None:
        """Trade until all faults are done, then until the reader has the venue's own books."""
        deadline = asyncio.get_running_loop().time() + 120
        while not self.venue.faults.is_over:
            await self.venue.trade(50, per_second=per_second)
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"faults that nothing could be done to: {self.venue.faults}")
        await self.settled()

    async def settled(self, seconds: float = 120) -> None:
        """The market is quiet, and the reader has its books."""
        await self.until(
            lambda: all(map(self.witness.is_true, self.exchange.symbols)), "the true books", seconds
        )


def trial(name: str, seed: int, kinds: Iterable[Fault], *, count: int, span: int = 200) -> Trial:
    """A trial with a seeded script of faults."""
    return Trial(EXCHANGES[name], seed, fault_plan(seed, kinds, span, count))
