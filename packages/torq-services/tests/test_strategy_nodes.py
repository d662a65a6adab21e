"""Nodes hand each message to whom it concerns, with its time, and nothing to anybody else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from markets import Source, levels, meta, snapshot
from samples import BTC_USD

from torq_codec import MessageBuilder, parse_message
from torq_relays import CollectingSink
from torq_services.execution import Executor, PaperVenue, RiskGate, RiskLimits
from torq_services.nodes import PaperExecutionNode, StrategyNode, Subscription
from torq_services.state import MarketState
from torq_services.strategies import Strategy
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Domain,
    Economics,
    GasPrice,
    Header,
    InstrumentId,
    InvalidationReason,
    OrderRequest,
    OrderStatus,
    RejectReason,
    SignalStatus,
    SwapPath,
    Venue,
)

MS = 1_000_000


class Health(msgspec.Struct):
    """Of the strategy below."""

    calls: int


class Listening(Strategy):
    """Notes what it is told, and what the market looks like then."""

    name, version = "listening", "1"

    def __init__(self, market: MarketState) -> None:
        self.market = market
        self.told: list[tuple[Any, ...]] = []

    def market_changed(self, changed: Iterable[InstrumentId], cause: Header, now_ns: int) -> None:
        self.told.append(("changed", tuple(changed), cause.sequence, now_ns))

    def time_passed(self, now_ns: int) -> None:
        self.told.append(("time", self.market.verified(BTC_USD) is not None, now_ns))

    def shut_down(self, now_ns: int) -> None:
        self.told.append(("end", now_ns))

    def account(self) -> Health:
        return Health(len(self.told))


def test_a_strategy_hears_of_what_changed_and_of_nothing_else() -> None:
    market = MarketState()
    strategy = Listening(market)
    node = StrategyNode(market, strategy)
    source = Source(1, now_ns=1000 * MS)
    node.on_message(Domain.MARKET_DATA, source.message(meta(BTC_USD)), 1001 * MS)
    assert strategy.told == []
    book = snapshot(BTC_USD, levels(("1", "1")), levels(("2", "1")))
    node.on_message(Domain.MARKET_DATA, source.message(book), 1002 * MS)
    assert strategy.told == [("changed", (BTC_USD,), 2, 1002 * MS)]
    # The end of a block changes no pool here, and has to be known all the same.
    gas = GasPrice(5, 1, 1, 1, bytes(32), bytes(32), 0)
    node.on_message(Domain.MARKET_DATA, source.message(gas), 1003 * MS)
    assert strategy.told[1:] == [("changed", (), 3, 1003 * MS)]


def test_silence_is_noticed_before_the_strategy_hears_the_time() -> None:
    market = MarketState(max_silence_ns=3000 * MS)
    strategy = Listening(market)
    node = StrategyNode(market, strategy)
    book = snapshot(BTC_USD, levels(("1", "1")), levels(("2", "1")))
    node.on_message(Domain.MARKET_DATA, Source(1, 1000 * MS).message(book), 1000 * MS)
    node.on_time(4000 * MS)
    node.on_time(4000 * MS + 1)
    node.stop(5000 * MS)
    assert strategy.told[1:] == [
        ("time", True, 4000 * MS), ("time", False, 4000 * MS + 1), ("end", 5000 * MS),
    ]  # fmt: skip
    assert node.account() == Health(4)


def test_a_pool_that_was_rolled_back_is_told_of_though_it_was_stale() -> None:
    """Nothing changed that anybody could read; what was drawn from its blocks is void anyhow."""
    market = MarketState()
    strategy = Listening(market)
    node = StrategyNode(market, strategy)
    rolled: dict[InstrumentId, None] = {BTC_USD: None}

    class Rolling(MarketState):
        def apply(self, message: Any, now_ns: int | None = None) -> Any:
            changed = super().apply(message, now_ns)
            self.rolled_back = rolled.keys()
            return changed

    node = StrategyNode(Rolling(), strategy)
    node.on_message(Domain.MARKET_DATA, Source(1).message(), 7)
    assert strategy.told == [("changed", (), 1, 7)]


def test_what_nodes_read_and_where_they_speak() -> None:
    """From the oldest message on, or a restart would decide by half a market."""
    assert StrategyNode.subscriptions == (Subscription(Domain.MARKET_DATA, (), "earliest"),)
    assert StrategyNode.publishes is Domain.SIGNAL
    assert PaperExecutionNode.subscriptions == (
        Subscription(Domain.MARKET_DATA, (), "earliest"),
        Subscription(Domain.SIGNAL, (ArbitrageSignal,), "live"),
        Subscription(Domain.EXECUTION, (OrderRequest,), "live"),
    )
    assert PaperExecutionNode.publishes is Domain.EXECUTION


class Paper:
    """A paper execution over two books that cross."""

    def __init__(self) -> None:
        self.gemini = InstrumentId.pair(Venue.GEMINI, "BTCUSD")
        self.market = MarketState(max_silence_ns=3000 * MS)
        self.sink = CollectingSink()
        self.sequence = 0
        limits = RiskLimits(
            max_notional=Decimal64(10**9, 0), min_net=Decimal64(0, 0), max_orders_per_minute=100,
            cooldown_ns=0,
        )  # fmt: skip
        paper = PaperVenue(self.market, {Venue.COINBASE: 0, Venue.GEMINI: 0})
        self.node = PaperExecutionNode(self.market, Executor(RiskGate(limits), paper, self.sink))
        for number, instrument in ((1, BTC_USD), (4, self.gemini)):
            bid, ask = ("99", "100") if number == 1 else ("102", "103")
            book = snapshot(instrument, levels((bid, "1")), levels((ask, "1")))
            self.tell(Domain.MARKET_DATA, number, book, meta(instrument))

    def tell(self, domain: Domain, source: int, *tlvs: Any, now_ns: int = 1000 * MS) -> None:
        self.sequence += 1
        builder = MessageBuilder(domain, source)
        for tlv in tlvs:
            builder.add(tlv)
        raw = builder.build(sequence=self.sequence, timestamp_ns=1000 * MS)
        self.node.on_message(domain, parse_message(raw), now_ns)

    @property
    def signal(self) -> tuple[ArbitrageSignal, Economics]:
        one = Decimal64(1, 0)
        return (
            ArbitrageSignal(
                BTC_USD, self.gemini, 1, 1000 * MS, 9000 * MS, 0, one, Decimal64(100, 0),
                Decimal64(102, 0), SignalStatus.OPENED, CloseReason.NONE,
            ),
            Economics(2, 0, 0, 2, 100, 0, "USD"),
        )  # fmt: skip

    def said(self, kind: type[Any]) -> list[Any]:
        return [tlv for tlv in self.sink.tlvs if isinstance(tlv, kind)]


def test_a_signal_becomes_orders_and_an_order_that_comes_back_is_filled() -> None:
    paper = Paper()
    assert paper.sink.messages == []
    paper.tell(Domain.SIGNAL, 1001, *paper.signal)
    orders = paper.said(OrderRequest)
    assert len(orders) == 2
    assert paper.node.account().fills == 0
    for order in orders:
        paper.tell(Domain.EXECUTION, 2001, order)
    account = paper.node.account()
    assert (account.signals, account.approved, account.orders, account.fills) == (1, 1, 2, 2)
    assert account.reports == 1


@pytest.mark.parametrize("left_out", [0, 1])
def test_half_a_signal_is_none(left_out: int) -> None:
    paper = Paper()
    paper.tell(Domain.SIGNAL, 1001, paper.signal[1 - left_out])
    assert paper.node.account().signals == 0


def test_a_path_through_pools_is_nothing_for_books() -> None:
    paper = Paper()
    paper.tell(Domain.SIGNAL, 1001, *paper.signal, SwapPath(1, bytes(32), 1, 1, 1, ()))
    assert paper.node.account().signals == 0
    # What is no order changes nothing either.
    paper.tell(Domain.EXECUTION, 2001)
    assert paper.node.account().orders == 0
    assert paper.sink.messages == []


def test_an_order_meets_the_market_of_its_own_time() -> None:
    """Books of sources that fell silent are noticed before it is filled."""
    paper = Paper()
    paper.tell(Domain.SIGNAL, 1001, *paper.signal)
    for order in paper.said(OrderRequest):
        paper.tell(Domain.EXECUTION, 2001, order, now_ns=4000 * MS + 1)
    assert [status.reason for status in paper.said(OrderStatus)] == [RejectReason.STALE_BOOK] * 2
    assert paper.market.books[BTC_USD].reason is InvalidationReason.SILENT
    paper.node.on_time(9000 * MS)
    paper.node.stop(9000 * MS)
    assert paper.node.account().fills == 0
