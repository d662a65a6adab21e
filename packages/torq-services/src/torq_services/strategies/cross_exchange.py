"""Buy on one exchange, sell on another, when the books cross by more than the fees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from torq_relays import MessageSink
from torq_services.state import MarketState
from torq_services.state.exact import compare
from torq_services.strategies.base import Strategy
from torq_services.strategies.crossing import Crossing, Leg, best_crossing
from torq_services.strategies.opportunities import Opportunities, Stage
from torq_types import (
    TLV,
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Economics,
    Header,
    InstrumentId,
    SignalIdentity,
    Venue,
)

__all__ = ["CrossExchange", "CrossExchangeLimits", "Pair", "StrategyHealth"]


class Pair(msgspec.Struct, frozen=True):
    """Where to buy, where to sell, and the currency of the profit."""

    buy: InstrumentId
    sell: InstrumentId
    currency: str


class CrossExchangeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the strategy looks for; amounts in the quote currency."""

    max_notional: Decimal64
    min_net: Decimal64
    time_to_live_ns: int
    update_interval_ns: int
    max_quiet_ns: int
    """Books that both stood still for longer are not trusted to be tradeable."""
    max_age_ns: int = 2_000_000_000
    """Messages older than this are history: they shape the books and cause no signal."""
    equal_quotes: tuple[frozenset[str], ...] = ()
    """Quote currencies that may be taken for one another; none by default."""


class StrategyHealth(msgspec.Struct):
    """The strategy's account of itself."""

    opened: int
    updated: int
    closed: int
    open: int
    evaluations: int
    verified_books: int
    stale_books: int


class CrossExchange(Strategy):
    """Watches every pair of venues that trade the same base against the same quote."""

    name = "cross-exchange"
    version = "1"

    def __init__(
        self,
        market: MarketState,
        sink: MessageSink,
        fees_pips: Mapping[Venue, int],
        limits: CrossExchangeLimits,
        *,
        first_id: int = 1,
    ) -> None:
        self._market = market
        self._fees_pips = fees_pips
        self._limits = limits
        self.evaluations = 0
        self.opportunities = Opportunities[Pair, Crossing](
            sink,
            SignalIdentity(1, self.name, self.version),
            _signal,
            first_id=first_id,
            time_to_live_ns=limits.time_to_live_ns,
            update_interval_ns=limits.update_interval_ns,
        )

    def market_changed(self, changed: Iterable[InstrumentId], cause: Header, now_ns: int) -> None:
        """Look again at every pair that one of the changed instruments is part of."""
        if now_ns - cause.timestamp_ns > self._limits.max_age_ns:
            return
        for instrument in changed:
            for other in self._counterparts(instrument):
                self._evaluate(instrument, other, cause, now_ns)
                self._evaluate(other, instrument, cause, now_ns)

    def time_passed(self, now_ns: int) -> None:
        """Close what stood still for too long or went stale; announce updates that waited."""
        for pair in self.opportunities.open_keys:
            if self._is_stale(pair.buy, pair.sell):
                self.opportunities.ended(pair, CloseReason.STALE, None, now_ns)
            elif self._is_quiet(pair.buy, pair.sell, now_ns):
                self.opportunities.ended(pair, CloseReason.EXPIRED, None, now_ns)
        self.opportunities.time_passed(now_ns)

    def shut_down(self, now_ns: int) -> None:
        """Close every opportunity."""
        for pair in self.opportunities.open_keys:
            self.opportunities.ended(pair, CloseReason.SHUTDOWN, None, now_ns)

    def account(self) -> StrategyHealth:
        """Opportunities, and the books that they come from."""
        stale = sum(book.status == "stale" for book in self._market.books.values())
        opportunities = self.opportunities
        return StrategyHealth(
            opened=opportunities.opened,
            updated=opportunities.updated,
            closed=opportunities.closed,
            open=len(opportunities.open_keys),
            evaluations=self.evaluations,
            verified_books=len(self._market.books) - stale,
            stale_books=stale,
        )

    def _evaluate(self, buy: InstrumentId, sell: InstrumentId, cause: Header, now_ns: int) -> None:
        pair = Pair(buy, sell, self._market.metas[sell].quote)
        if self._is_stale(buy, sell):
            self.opportunities.ended(pair, CloseReason.STALE, cause, now_ns)
            return
        self.evaluations += 1
        crossing = best_crossing(self._leg(buy), self._leg(sell), self._limits.max_notional)
        if crossing is None or not self._is_enough(crossing):
            self.opportunities.ended(pair, CloseReason.VANISHED, cause, now_ns)
        elif not self._is_quiet(buy, sell, now_ns):
            self.opportunities.found(pair, crossing, cause, now_ns)

    def _leg(self, instrument: InstrumentId) -> Leg:
        return Leg(
            self._market.books[instrument],
            self._market.metas[instrument],
            self._fees_pips[instrument.venue],
        )

    def _counterparts(self, instrument: InstrumentId) -> Iterator[InstrumentId]:
        meta = self._market.metas.get(instrument)
        if meta is None or instrument.venue not in self._fees_pips:
            return
        for other, candidate in self._market.metas.items():
            if (
                other.venue is not instrument.venue
                and other.venue in self._fees_pips
                and candidate.base == meta.base
                and self._is_same_quote(candidate.quote, meta.quote)
            ):
                yield other

    def _is_same_quote(self, one: str, other: str) -> bool:
        return one == other or any(
            one in group and other in group for group in self._limits.equal_quotes
        )

    def _is_stale(self, buy: InstrumentId, sell: InstrumentId) -> bool:
        return self._market.verified(buy) is None or self._market.verified(sell) is None

    def _is_quiet(self, buy: InstrumentId, sell: InstrumentId, now_ns: int) -> bool:
        quiet_ns = min(self._market.quiet_ns(book, now_ns) for book in (buy, sell))
        return quiet_ns > self._limits.max_quiet_ns

    def _is_enough(self, crossing: Crossing) -> bool:
        # Every crossing earns something: best_crossing gives no other.
        return compare(crossing.net, crossing.exponent, self._limits.min_net) >= 0


def _signal(pair: Pair, crossing: Crossing, stage: Stage) -> tuple[TLV, ...]:
    return (
        ArbitrageSignal(
            pair.buy,
            pair.sell,
            stage.opportunity_id,
            stage.opened_ns,
            stage.expires_ns,
            stage.duration_ns,
            crossing.size,
            crossing.buy_price,
            crossing.sell_price,
            stage.status,
            stage.close_reason,
        ),
        Economics(
            crossing.gross,
            crossing.fees,
            0,
            crossing.net,
            crossing.cost,
            crossing.exponent,
            pair.currency,
        ),
    )
