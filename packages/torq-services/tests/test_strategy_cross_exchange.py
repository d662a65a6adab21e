"""Which pairs the strategy looks at, at which bounds it speaks, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from markets import Source, levels, meta, snapshot

from torq_relays import CollectingSink
from torq_services.state import MarketState
from torq_services.strategies import CrossExchange, CrossExchangeLimits
from torq_types import (
    ArbitrageSignal,
    Decimal64,
    Economics,
    InstrumentId,
    InvalidationReason,
    SignalIdentity,
    StateInvalidation,
    Venue,
)

MS = 1_000_000
COINBASE = InstrumentId.pair(Venue.COINBASE, "BTC-USD")
GEMINI = InstrumentId.pair(Venue.GEMINI, "BTCUSD")
KRAKEN = InstrumentId.pair(Venue.KRAKEN, "XBT/USD")
ANOTHER = InstrumentId.pair(Venue.COINBASE, "BTC-USDT")
SOURCES = {COINBASE: 1, GEMINI: 4, KRAKEN: 3, ANOTHER: 1}


class Bench:
    """Books by venue, each message at its own time."""

    def __init__(
        self, instruments: tuple[InstrumentId, ...] = (COINBASE, GEMINI, KRAKEN),
        bases: tuple[str, ...] = (), quotes: tuple[str, ...] = (),
        fees: dict[Venue, int] | None = None, **limits: Any,
    ) -> None:  # fmt: skip
        self.market = MarketState(max_silence_ns=10**15)
        self.sink = CollectingSink()
        values: dict[str, Any] = {
            "max_notional": Decimal64.parse("1000000"), "min_net": Decimal64(0, 0),
            "time_to_live_ns": 2000 * MS, "update_interval_ns": 0, "max_quiet_ns": 10_000 * MS,
        }  # fmt: skip
        if fees is None:
            fees = dict.fromkeys((Venue.COINBASE, Venue.GEMINI, Venue.KRAKEN), 0)
        self.strategy = CrossExchange(
            self.market, self.sink, fees, CrossExchangeLimits(**{**values, **limits}), first_id=9
        )
        self.sources = {number: Source(number) for number in SOURCES.values()}
        self.book_sequence = 0
        for place, instrument in enumerate(instruments):
            base = bases[place] if bases else "BTC"
            quote = quotes[place] if quotes else "USD"
            self.market.apply(self.message(instrument, meta(instrument, base=base, quote=quote)))

    def message(self, instrument: InstrumentId, *tlvs: Any, now_ms: int = 0) -> Any:
        source = self.sources[SOURCES[instrument]]
        source.now_ns = now_ms * MS
        return source.message(*tlvs)

    def book(
        self, instrument: InstrumentId, bid: str, ask: str, now_ms: int = 1000, age_ns: int = 0
    ) -> None:
        """A book of one unit on either side, seen ``age_ns`` after it was sent."""
        self.book_sequence += 1
        tlv = snapshot(instrument, levels((bid, "1")), levels((ask, "1")), self.book_sequence)
        message = self.message(instrument, tlv, now_ms=now_ms)
        changed = self.market.apply(message)
        self.strategy.market_changed(changed, message.header, now_ms * MS + age_ns)

    @property
    def pairs(self) -> list[tuple[InstrumentId, InstrumentId]]:
        return [(s.buy_instrument, s.sell_instrument) for s in self.signals]

    @property
    def signals(self) -> list[ArbitrageSignal]:
        return [tlv for tlv in self.sink.tlvs if isinstance(tlv, ArbitrageSignal)]

    @property
    def reasons(self) -> list[str]:
        return [f"{s.status.name} {s.close_reason.name}" for s in self.signals]


def test_every_pair_of_venues_in_the_direction_that_pays() -> None:
    bench = Bench()
    bench.book(COINBASE, "99", "100")
    bench.book(GEMINI, "101", "102")
    assert bench.pairs == [(COINBASE, GEMINI)]
    bench.book(KRAKEN, "97", "98")
    assert bench.pairs[1:] == [(KRAKEN, COINBASE), (KRAKEN, GEMINI)]
    # Whoever changes, both directions are looked at.
    bench.book(GEMINI, "95", "96")
    assert set([*zip(bench.pairs, bench.reasons, strict=True)][3:]) == {
        ((COINBASE, GEMINI), "CLOSED VANISHED"), ((GEMINI, COINBASE), "OPENED NONE"),
        ((KRAKEN, GEMINI), "CLOSED VANISHED"), ((GEMINI, KRAKEN), "OPENED NONE"),
    }  # fmt: skip
    assert [signal.opportunity_id for signal in bench.signals[:3]] == [9, 10, 11]


def test_what_a_signal_says() -> None:
    """By hand: a unit bought at 100 plus 0.1 % and sold at 101 less 0.2 %."""
    bench = Bench(
        (COINBASE, GEMINI), quotes=("USDT", "USD"), equal_quotes=(frozenset({"USD", "USDT"}),),
        fees={Venue.COINBASE: 1000, Venue.GEMINI: 2000},
    )  # fmt: skip
    bench.book(COINBASE, "99", "100")
    bench.book(GEMINI, "101", "102")
    signal, economics, _, identity = bench.sink.messages[0]
    assert isinstance(signal, ArbitrageSignal)
    assert isinstance(economics, Economics)
    assert identity == SignalIdentity(1, "cross-exchange", "1")
    assert (str(signal.buy_price), str(signal.sell_price)) == ("100", "101")
    assert signal.size.to_decimal() == 1
    unit = 10**-economics.exponent
    assert economics.gross == unit
    assert economics.fees * 1000 == 302 * unit
    assert economics.net * 1000 == 698 * unit
    assert (economics.cost, economics.gas) == (100 * unit, 0)
    # The profit is in what the sale brings.
    assert economics.currency == "USD"


@pytest.mark.parametrize(
    ("instruments", "bases", "quotes", "fees"),
    [
        ((COINBASE, ANOTHER), ("BTC", "BTC"), ("USD", "USD"), None),
        ((COINBASE, GEMINI), ("BTC", "ETH"), ("USD", "USD"), None),
        ((COINBASE, GEMINI), ("BTC", "BTC"), ("USD", "EUR"), None),
        ((COINBASE, GEMINI), ("BTC", "BTC"), ("USD", "USD"), {Venue.COINBASE: 0}),
        ((COINBASE, GEMINI), ("BTC", "BTC"), ("USD", "USD"), {Venue.GEMINI: 0}),
    ],
)
def test_pairs_that_are_none(
    instruments: tuple[InstrumentId, ...], bases: tuple[str, ...], quotes: tuple[str, ...],
    fees: dict[Venue, int] | None,
) -> None:  # fmt: skip
    """One venue alone, another base or quote, a venue whose fees are not known."""
    bench = Bench(instruments, bases, quotes, fees)
    bench.book(instruments[0], "99", "100")
    bench.book(instruments[1], "110", "111")
    bench.book(instruments[0], "99", "100")
    assert bench.signals == []
    assert bench.strategy.account().evaluations == 0


def test_a_book_without_its_metadata_is_no_pair() -> None:
    bench = Bench((COINBASE,))
    bench.book(COINBASE, "99", "100")
    bench.book(GEMINI, "110", "111")
    assert bench.signals == []


def test_the_least_profit_is_enough() -> None:
    for least, is_open in (("1", True), ("1.00000001", False), ("0.5", True), ("-5", True)):
        bench = Bench((COINBASE, GEMINI), min_net=Decimal64.parse(least))
        bench.book(COINBASE, "99", "100")
        bench.book(GEMINI, "101", "102")
        assert bool(bench.signals) is is_open
    nothing = Bench((COINBASE, GEMINI), min_net=Decimal64.parse("-5"))
    nothing.book(COINBASE, "99", "100")
    nothing.book(GEMINI, "100", "101")
    assert nothing.signals == []


def test_the_oldest_message_that_is_news() -> None:
    for age_ns, is_news in ((500, True), (501, False)):
        bench = Bench((COINBASE, GEMINI), max_age_ns=500)
        bench.book(COINBASE, "99", "100")
        bench.book(GEMINI, "101", "102", age_ns=age_ns)
        assert bool(bench.signals) is is_news
    usual = Bench((COINBASE, GEMINI))
    usual.book(COINBASE, "99", "100", age_ns=2_000_000_000)
    usual.book(GEMINI, "101", "102", age_ns=2_000_000_000)
    assert len(usual.signals) == 1
    late = Bench((COINBASE, GEMINI))
    late.book(COINBASE, "99", "100")
    late.book(GEMINI, "101", "102", age_ns=2_000_000_001)
    assert late.signals == []


def test_books_that_stood_still_open_nothing() -> None:
    """One of the two that moved is enough."""
    bench = Bench((COINBASE, GEMINI), max_quiet_ns=300 * MS, max_age_ns=10**12)
    bench.book(COINBASE, "99", "100", 1000)
    bench.book(GEMINI, "101", "102", 1001, age_ns=300 * MS + 1)
    assert bench.signals == []
    bench.book(GEMINI, "101", "102", 1400, age_ns=300 * MS)
    assert bench.reasons == ["OPENED NONE"]
    bench.strategy.time_passed(1700 * MS)
    assert len(bench.signals) == 1
    bench.book(COINBASE, "99", "100", 1650)
    bench.strategy.time_passed(1950 * MS)
    assert len(bench.signals) == 1
    bench.strategy.time_passed(1950 * MS + 1)
    assert bench.reasons[1:] == ["CLOSED EXPIRED"]
    # What stands open is not closed by a look at it that is late.
    bench.book(COINBASE, "99", "100", 2000)
    bench.book(GEMINI, "101", "102", 2001, age_ns=300 * MS + 1)
    assert bench.reasons[2:] == ["OPENED NONE"]


@pytest.mark.parametrize("doubted", [COINBASE, GEMINI])
def test_one_book_in_doubt_closes_the_pair(doubted: InstrumentId) -> None:
    bench = Bench()
    bench.book(COINBASE, "99", "100")
    bench.book(GEMINI, "101", "102")
    bench.book(KRAKEN, "50", "51")
    opened = len(bench.signals)
    doubt = StateInvalidation(doubted, 1, int(doubted.venue), InvalidationReason.CHECKSUM)
    message = bench.message(doubted, doubt, now_ms=1001)
    changed = bench.market.apply(message)
    if doubted == GEMINI:
        # Told by the clock alone, or by the message.
        bench.strategy.time_passed(1001 * MS)
    else:
        bench.strategy.market_changed(changed, message.header, 1001 * MS)
    closed = bench.signals[opened:]
    assert len(closed) == 2
    for signal in closed:
        assert doubted in (signal.buy_instrument, signal.sell_instrument)
        assert signal.close_reason.name == "STALE"
    assert bench.strategy.account().stale_books == 1
    assert bench.strategy.account().verified_books == 2


def test_its_account() -> None:
    bench = Bench()
    bench.book(COINBASE, "99", "100")
    # Nobody to compare with: a book that was never seen is in doubt.
    assert bench.strategy.account().evaluations == 0
    bench.book(GEMINI, "101", "102")
    bench.book(KRAKEN, "99", "103")
    bench.book(GEMINI, "101.5", "102")
    account = bench.strategy.account()
    # Two for the pair of two books, then four with each third one.
    assert account.evaluations == 2 + 4 + 4
    assert (account.opened, account.updated, account.closed, account.open) == (1, 1, 0, 1)
    assert (account.verified_books, account.stale_books) == (3, 0)
    bench.strategy.shut_down(2000 * MS)
    account = bench.strategy.account()
    assert (account.closed, account.open) == (1, 0)
    assert bench.reasons[-1] == "CLOSED SHUTDOWN"
    assert bench.signals[-1].expires_ns == 2000 * MS
