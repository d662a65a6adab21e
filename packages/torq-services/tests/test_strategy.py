"""Sizes that are optimal, opportunities that live, executions that realise what was predicted."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import Source, levels, meta, snapshot
from samples import BTC_USD, BTCUSD

from torq_relays import CollectingSink
from torq_services.execution import Executor, PaperVenue, RiskGate, RiskLimits
from torq_services.state import MarketState
from torq_services.strategies import CrossExchange, CrossExchangeLimits, Leg, best_crossing
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Economics,
    ExecutionReport,
    Fill,
    GapCause,
    Header,
    InvalidationReason,
    L2Snapshot,
    Level,
    OrderRequest,
    OrderState,
    OrderStatus,
    RejectReason,
    RiskDecision,
    SequenceGap,
    Side,
    SignalStatus,
    StateInvalidation,
    StateReference,
    Venue,
)

MS = 1_000_000
PLENTY = Decimal64.parse("1000000000")


def legs(
    asks: tuple[Level, ...],
    bids: tuple[Level, ...],
    *,
    fees: tuple[int, int] = (500, 300),
    lots: tuple[str, str] = ("0.00000001", "0.00000001"),
    minimum: str = "0.00000001",
) -> tuple[Leg, Leg]:
    market = MarketState()
    market.apply(Source(1).message(snapshot(BTC_USD, (), asks), meta(BTC_USD, lot=lots[0])))
    market.apply(Source(4).message(snapshot(BTCUSD, bids), meta(BTCUSD, lot=lots[1])))
    return (
        Leg(market.books[BTC_USD], meta(BTC_USD, lot=lots[0], minimum=minimum), fees[0]),
        Leg(market.books[BTCUSD], meta(BTCUSD, lot=lots[1]), fees[1]),
    )


def test_one_level_by_hand() -> None:
    buy, sell = legs(levels(("100.00", "1.5")), levels(("101.00", "2")))
    crossing = best_crossing(buy, sell, PLENTY)
    assert crossing is not None
    assert str(crossing.size.to_decimal().normalize()) == "1.5"
    unit = Fraction(10) ** crossing.exponent
    assert crossing.gross * unit == Fraction("1.5")
    assert crossing.fees * unit == Fraction(150 * 5 + Fraction("151.5") * 3, 10_000)
    assert crossing.net == crossing.gross - crossing.fees
    assert crossing.cost * unit == 150
    assert (str(crossing.buy_price), str(crossing.sell_price)) == ("100.00", "101.00")


def test_nothing_where_the_fees_eat_it_and_nothing_at_exactly_zero() -> None:
    assert best_crossing(*legs(levels(("100", "1")), levels(("100.05", "1"))), PLENTY) is None
    at_zero = legs(levels(("100", "1")), levels(("102", "1")), fees=(20_000, 0))
    assert best_crossing(*at_zero, PLENTY) is None
    assert best_crossing(*legs((), levels(("102", "1"))), PLENTY) is None
    assert best_crossing(*legs(levels(("1", "1")), ()), PLENTY) is None


small_levels = st.lists(
    st.tuples(st.integers(90, 110), st.integers(1, 4)), max_size=4, unique_by=lambda pair: pair[0]
)


def _as_levels(pairs: list[tuple[int, int]]) -> tuple[Level, ...]:
    return tuple(Level(Decimal64(price, 0), Decimal64(quantity, 0)) for price, quantity in pairs)


def _worth(pairs: list[tuple[int, int]], quantity: int) -> int | None:
    total = 0
    for price, available in pairs:
        taken = min(quantity, available)
        total += price * taken
        quantity -= taken
    return None if quantity else total


@given(
    small_levels, small_levels, st.integers(0, 30_000), st.integers(0, 30_000), st.integers(0, 900)
)
@settings(max_examples=300)
def test_no_other_size_earns_more(
    asks: list[tuple[int, int]],
    bids: list[tuple[int, int]],
    buy_fee: int,
    sell_fee: int,
    budget: int,
) -> None:
    """Every whole size is tried, with plain fractions."""
    pair = legs(_as_levels(asks), _as_levels(bids), fees=(buy_fee, sell_fee), lots=("1", "1"))
    found = best_crossing(*pair, Decimal64(budget, 0))
    best = Fraction(0)
    for size in range(1, 17):
        cost = _worth(sorted(asks), size)
        proceeds = _worth(sorted(bids, reverse=True), size)
        if cost is not None and proceeds is not None and cost <= budget:
            fees = Fraction(cost * buy_fee + proceeds * sell_fee, 1_000_000)
            best = max(best, proceeds - cost - fees)
    assert (found.net * Fraction(10) ** found.exponent if found else 0) == best


@given(st.integers(1, 5000), st.sampled_from(["0.001", "0.0005", "0.3", "7"]))
def test_sizes_are_whole_lots_of_both_venues(quantity: int, lot: str) -> None:
    asks = (Level(Decimal64(100, 0), Decimal64(quantity, -3)),)
    found = best_crossing(*legs(asks, levels(("110", "5")), lots=(lot, "0.002")), PLENTY)
    if found is not None:
        size = Fraction(found.size.to_decimal())
        assert size % Fraction(lot) == 0
        assert size % Fraction("0.002") == 0
        assert size <= Fraction(quantity, 1000)


def test_below_a_venues_minimum_there_is_nothing() -> None:
    pair = legs(levels(("100", "1")), levels(("110", "1")), minimum="1.00000001")
    assert best_crossing(*pair, PLENTY) is None
    pair = legs(levels(("100", "1")), levels(("110", "1")), minimum="1")
    assert best_crossing(*pair, PLENTY) is not None


class Bench:
    """A market of two venues, the strategy, and what it says."""

    def __init__(self, quotes: tuple[str, str] = ("USD", "USD"), **limits: Any) -> None:
        self.market = MarketState()
        self.sink = CollectingSink()
        values: dict[str, Any] = {
            "max_notional": PLENTY,
            "min_net": Decimal64.parse("0.01"),
            "time_to_live_ns": 2000 * MS,
            "update_interval_ns": 500 * MS,
            "max_quiet_ns": 10_000 * MS,
        }
        self.strategy = CrossExchange(
            self.market,
            self.sink,
            {Venue.COINBASE: 500, Venue.GEMINI: 300},
            CrossExchangeLimits(**{**values, **limits}),
        )
        self.sources = {BTC_USD: Source(1), BTCUSD: Source(4)}
        self.book_sequence = 0
        for instrument, quote in zip(self.sources, quotes, strict=True):
            self.market.apply(self.sources[instrument].message(meta(instrument, quote=quote)))

    def apply(self, instrument: Any, *tlvs: Any, now_ms: int, age_ms: int = 0) -> Header:
        source = self.sources[instrument]
        source.now_ns = (now_ms - age_ms) * MS
        message = source.message(*tlvs)
        changed = self.market.apply(message)
        self.strategy.market_changed(changed, message.header, now_ms * MS)
        return message.header

    def book(self, instrument: Any, bid: str, ask: str, now_ms: int, age_ms: int = 0) -> Header:
        self.book_sequence += 1
        tlv: L2Snapshot = snapshot(
            instrument, levels((bid, "1")), levels((ask, "1")), self.book_sequence
        )
        return self.apply(instrument, tlv, now_ms=now_ms, age_ms=age_ms)

    @property
    def signals(self) -> list[tuple[str, str]]:
        return [
            (tlv.status.name, tlv.close_reason.name)
            for tlv in self.sink.tlvs
            if isinstance(tlv, ArbitrageSignal)
        ]


def test_an_opportunity_is_opened_updated_and_closed_and_never_repeated() -> None:
    bench = Bench()
    bench.book(BTC_USD, "99", "100", 1000)
    cause = bench.book(BTCUSD, "102", "103", 1001)
    assert bench.signals == [("OPENED", "NONE")]
    signal, economics, reference, _ = bench.sink.messages[0]
    assert isinstance(signal, ArbitrageSignal)
    assert isinstance(economics, Economics)
    assert isinstance(reference, StateReference)
    assert (signal.buy_instrument, signal.sell_instrument) == (BTC_USD, BTCUSD)
    assert economics.net == economics.gross - economics.fees
    assert signal.expires_ns == 3001 * MS
    assert (reference.source, reference.sequence) == (cause.source, cause.sequence)
    bench.book(BTCUSD, "102", "103", 1600)
    bench.strategy.time_passed(1700 * MS)
    assert len(bench.signals) == 1
    bench.book(BTCUSD, "102.5", "103", 1800)
    assert bench.signals[1:] == [("UPDATED", "NONE")]
    bench.book(BTCUSD, "102.6", "103", 1900)
    assert len(bench.signals) == 2
    bench.strategy.time_passed(2299 * MS)
    assert len(bench.signals) == 2
    bench.strategy.time_passed(2300 * MS)
    assert len(bench.signals) == 3
    bench.book(BTC_USD, "99", "102.6", 2400)
    assert bench.signals[3:] == [("CLOSED", "VANISHED")]
    closed = bench.sink.messages[-1][0]
    assert isinstance(closed, ArbitrageSignal)
    assert (closed.opportunity_id, closed.duration_ns) == (signal.opportunity_id, 1399 * MS)
    bench.book(BTC_USD, "99", "100", 2500)
    reopened = bench.sink.messages[-1][0]
    assert isinstance(reopened, ArbitrageSignal)
    assert reopened.opportunity_id != signal.opportunity_id


def test_a_stale_book_closes_and_opens_nothing() -> None:
    bench = Bench()
    bench.book(BTC_USD, "99", "100", 1000)
    bench.book(BTCUSD, "102", "103", 1001)
    doubt = StateInvalidation(BTCUSD, 1, 4, InvalidationReason.SEQUENCE_GAP)
    bench.apply(BTCUSD, doubt, now_ms=1002)
    assert bench.signals == [("OPENED", "NONE"), ("CLOSED", "STALE")]
    bench.book(BTC_USD, "99", "99.5", 1003)
    assert len(bench.signals) == 2
    bench.book(BTCUSD, "102", "103", 1004)
    assert len(bench.signals) == 3
    gap = SequenceGap(0, 0, 0, 0, 1, GapCause.SOURCE_HOLE)
    bench.apply(BTC_USD, gap, now_ms=1005)
    assert bench.signals[-1] == ("CLOSED", "STALE")


def test_silence_and_quiet_close_it() -> None:
    bench = Bench()
    bench.book(BTC_USD, "99", "100", 1000)
    bench.book(BTCUSD, "102", "103", 1001)
    bench.market.expire(9_000 * MS)
    bench.strategy.time_passed(9_000 * MS)
    assert bench.signals[-1] == ("CLOSED", "STALE")
    quiet = Bench(max_quiet_ns=5_000 * MS)
    quiet.book(BTC_USD, "99", "100", 1000)
    quiet.book(BTCUSD, "102", "103", 1001)
    quiet.strategy.time_passed(6_001 * MS)
    assert len(quiet.signals) == 1
    quiet.strategy.time_passed(6_002 * MS)
    assert quiet.signals[-1] == ("CLOSED", "EXPIRED")


def test_a_clock_that_goes_back_holds_nothing_up() -> None:
    """Neither an update nor the end of what stood still; and nothing lasts less than no time."""
    bench = Bench(max_quiet_ns=5_000 * MS)
    bench.book(BTC_USD, "99", "100", 9_000_000)
    bench.book(BTCUSD, "102", "103", 9_000_001)
    bench.book(BTCUSD, "103", "104", 1000)
    assert bench.signals[1:] == [("UPDATED", "NONE")]
    bench.strategy.time_passed(6000 * MS)
    assert len(bench.signals) == 2
    bench.strategy.time_passed(6001 * MS)
    assert bench.signals[2:] == [("CLOSED", "EXPIRED")]
    signal, _ = signal_of(bench)
    assert signal.duration_ns == 0


def test_history_shapes_the_books_and_causes_no_signal() -> None:
    bench = Bench()
    bench.book(BTC_USD, "99", "100", 9000, age_ms=5000)
    bench.book(BTCUSD, "102", "103", 9000, age_ms=5000)
    assert bench.signals == []
    bench.book(BTCUSD, "102", "103", 9000)
    assert bench.signals == [("OPENED", "NONE")]
    bench.strategy.shut_down(9001 * MS)
    assert bench.signals[-1] == ("CLOSED", "SHUTDOWN")


@pytest.mark.parametrize(
    ("quotes", "equal", "count"),
    [
        (("USD", "USDT"), (), 0),
        (("USD", "USDT"), (frozenset({"USD", "USDC"}),), 0),
        (("USD", "USDT"), (frozenset({"USD", "USDT"}),), 1),
    ],
)
def test_currencies_are_equal_only_when_the_configuration_says_so(
    quotes: tuple[str, str], equal: tuple[frozenset[str], ...], count: int
) -> None:
    bench = Bench(quotes, equal_quotes=equal)
    bench.book(BTC_USD, "99", "100", 1000)
    bench.book(BTCUSD, "102", "103", 1001)
    assert len(bench.signals) == count


def limits(**changes: Any) -> RiskLimits:
    values: dict[str, Any] = {
        "max_notional": PLENTY,
        "min_net": Decimal64.parse("0.01"),
        "max_orders_per_minute": 100,
        "cooldown_ns": 5000 * MS,
    }
    return RiskLimits(**{**values, **changes})


def signal_of(bench: Bench) -> tuple[ArbitrageSignal, Economics]:
    signal, economics, *_ = bench.sink.messages[-1]
    assert isinstance(signal, ArbitrageSignal)
    assert isinstance(economics, Economics)
    return signal, economics


def opened() -> Bench:
    bench = Bench()
    bench.book(BTC_USD, "99", "100", 1000)
    bench.book(BTCUSD, "102", "103", 1001)
    return bench


def test_risk_limits() -> None:
    signal, economics = signal_of(opened())
    gate = RiskGate(limits())
    assert gate.decide(signal, economics, 1002 * MS) is RejectReason.NONE
    assert gate.decide(signal, economics, 1500 * MS) is RejectReason.COOLDOWN
    assert gate.decide(signal, economics, signal.expires_ns) is RejectReason.EXPIRED
    for change, reason in (
        ({"max_notional": Decimal64.parse("99.99")}, RejectReason.NOTIONAL_LIMIT),
        ({"max_notional": Decimal64.parse("100")}, RejectReason.NONE),
        ({"min_net": Decimal64.parse("5")}, RejectReason.BELOW_MINIMUM_PROFIT),
        ({"max_orders_per_minute": 1}, RejectReason.RATE_LIMIT),
    ):
        assert RiskGate(limits(**change)).decide(signal, economics, 1002 * MS) is reason
    synthetic = msgspec.structs.replace(signal, synthetic=1)
    assert gate.decide(synthetic, economics, 1002 * MS) is RejectReason.SYNTHETIC
    per_minute = RiskGate(limits(max_orders_per_minute=2, cooldown_ns=0))
    assert per_minute.decide(signal, economics, 1002 * MS) is RejectReason.NONE
    assert per_minute.decide(signal, economics, 1003 * MS) is RejectReason.RATE_LIMIT
    late = msgspec.structs.replace(signal, expires_ns=10**18)
    assert per_minute.decide(late, economics, 61_003 * MS) is RejectReason.NONE


def test_after_a_clock_has_gone_back_the_limits_last_as_long_as_they_say() -> None:
    signal, economics = signal_of(opened())
    late = msgspec.structs.replace(signal, expires_ns=10**18)
    gate = RiskGate(limits())
    assert gate.decide(late, economics, 9_000_000 * MS) is RejectReason.NONE
    assert gate.decide(late, economics, 1000 * MS) is RejectReason.COOLDOWN
    assert gate.decide(late, economics, 5999 * MS) is RejectReason.COOLDOWN
    assert gate.decide(late, economics, 6000 * MS) is RejectReason.NONE
    per_minute = RiskGate(limits(max_orders_per_minute=2, cooldown_ns=0))
    assert per_minute.decide(late, economics, 9_000_000 * MS) is RejectReason.NONE
    assert per_minute.decide(late, economics, 1000 * MS) is RejectReason.RATE_LIMIT
    assert per_minute.decide(late, economics, 61_000 * MS) is RejectReason.NONE


def execute(bench: Bench, now_ms: int = 1002) -> list[Any]:
    """Run the executor over the last signal, orders coming back as from the relay."""
    sink = CollectingSink()
    fees = {Venue.COINBASE: 500, Venue.GEMINI: 300}
    executor = Executor(RiskGate(limits()), PaperVenue(bench.market, fees), sink)
    signal, economics = signal_of(bench)
    header = Source(1001).message().header
    executor.on_signal(signal, economics, header, now_ms * MS)
    for order in [tlv for tlv in sink.tlvs if isinstance(tlv, OrderRequest)]:
        executor.on_order(order, Source(2001).message().header, now_ms * MS)
    return sink.tlvs


def test_a_signal_becomes_two_orders_their_fills_and_the_predicted_profit() -> None:
    tlvs = execute(opened())
    orders = [tlv for tlv in tlvs if isinstance(tlv, OrderRequest)]
    assert [(order.side, order.instrument) for order in orders] == [
        (Side.BUY, BTC_USD),
        (Side.SELL, BTCUSD),
    ]
    assert all(tlv.state is OrderState.FILLED for tlv in tlvs if isinstance(tlv, OrderStatus))
    assert all(tlv.paper for tlv in tlvs if isinstance(tlv, Fill))
    report = tlvs[-2]
    assert isinstance(report, ExecutionReport)
    assert report.realised_net == report.predicted_net > 0
    assert report.realised_net == report.realised_gross - report.realised_fees


texts = st.builds(
    lambda whole, cents: f"{whole}.{cents:02}", st.integers(90, 110), st.integers(0, 99)
)
sizes = st.builds(lambda n: f"0.{n:04}", st.integers(1, 9999))
sides = st.lists(st.tuples(texts, sizes), min_size=1, max_size=8, unique_by=lambda pair: pair[0])


@given(sides, sides)
@settings(max_examples=200)
def test_predicted_is_realised_to_the_last_digit(
    asks: list[tuple[str, str]], bids: list[tuple[str, str]]
) -> None:
    bench = Bench()
    bench.apply(BTC_USD, snapshot(BTC_USD, (), levels(*asks)), now_ms=1000)
    bench.apply(BTCUSD, snapshot(BTCUSD, levels(*bids)), now_ms=1001)
    if bench.signals:
        report = next(tlv for tlv in execute(bench) if isinstance(tlv, ExecutionReport))
        assert report.realised_net == report.predicted_net


def test_books_that_moved_realise_what_they_still_give() -> None:
    bench = opened()
    bench.market.apply(
        bench.sources[BTC_USD].message(snapshot(BTC_USD, (), levels(("100", "0.25")), 90))
    )
    tlvs = execute(bench)
    states = [tlv.state for tlv in tlvs if isinstance(tlv, OrderStatus)]
    assert states == [OrderState.PARTIALLY_FILLED, OrderState.FILLED]
    report = next(tlv for tlv in tlvs if isinstance(tlv, ExecutionReport))
    assert report.realised_gross * Fraction(10) ** report.exponent == Fraction("0.5")
    stale = opened()
    stale.market.books[BTCUSD].invalidate(InvalidationReason.SILENT)
    reasons = [tlv.reason for tlv in execute(stale) if isinstance(tlv, OrderStatus)]
    assert reasons == [RejectReason.NONE, RejectReason.STALE_BOOK]


def test_refusals_are_published_and_closings_are_not_decided() -> None:
    bench = opened()
    tlvs = execute(bench, now_ms=9999)
    decision = tlvs[0]
    assert isinstance(decision, RiskDecision)
    assert (decision.approved, decision.reason) == (0, RejectReason.EXPIRED)
    assert len(tlvs) == 2
    bench.strategy.shut_down(1003 * MS)
    signal, _ = signal_of(bench)
    assert (signal.status, signal.close_reason) == (SignalStatus.CLOSED, CloseReason.SHUTDOWN)
    assert execute(bench) == []


def test_crossing_is_the_same_whatever_the_digits() -> None:
    seen: set[Fraction] = set()
    for ask, bid in product(("100", "100.0", "100.000"), ("102", "102.00")):
        found = best_crossing(*legs(levels((ask, "1")), levels((bid, "1.0"))), PLENTY)
        assert found is not None
        seen.add(found.net * Fraction(10) ** found.exponent)
    assert len(seen) == 1
