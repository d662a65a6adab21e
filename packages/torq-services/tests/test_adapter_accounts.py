"""What every adapter does alike: doubts and what they cost, counts, late readers, requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

import msgspec
import pytest
from markets import levels

from torq_relays import CollectingSink
from torq_services.adapters import (
    BookDoubtError,
    ExchangeAdapter,
    InstrumentStatus,
    Listed,
    Resynchroniser,
    ResyncPolicy,
    VenueLimits,
)
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_types import (
    Decimal64,
    Error,
    ErrorCode,
    InstrumentMeta,
    InvalidationReason,
    L2Snapshot,
    PrecisionError,
    Side,
    StateInvalidation,
    UnknownSymbolError,
    Venue,
)


class Plain(ExchangeAdapter):
    """An exchange whose messages do what a test says."""

    name = "plain"
    venue = Venue.KRAKEN
    limits = VenueLimits(10, 60)
    heartbeat_seconds = 1
    step: Callable[[], None] = staticmethod(lambda: None)

    def listing_paths(self) -> list[str]:
        return []

    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        return []

    def subscriptions(self) -> list[Request]:
        return [Send("everything")]

    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        return [Send(f"again {symbol}") for symbol in symbols]

    def dispatch(self, frame: bytes) -> None:
        self.step()


class Clock:
    """Set by hand."""

    def __init__(self) -> None:
        self.now = 0.0


def plain(*symbols: str) -> tuple[Plain, CollectingSink, Clock]:
    """All its books verified."""
    sink, clock = CollectingSink(), Clock()
    resync = Resynchroniser(
        ResyncPolicy(first=1, most=8, patience=10, calm=60), lambda: clock.now, random.Random(1)
    )
    adapter = Plain(symbols, sink, resync=resync, clock=lambda: 77)
    adapter.connected()
    for book in adapter.books.values():
        adapter.publish_snapshot(book, levels(("99", "1")), levels(("101", "1")))
    sink.messages.clear()
    return adapter, sink, clock


def raising(error: Exception) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


FAULTS = [
    (
        BookDoubtError(InvalidationReason.SEQUENCE_GAP, "a hole"),
        InvalidationReason.SEQUENCE_GAP, None, "sequence_gaps",
    ),
    (
        BookDoubtError(InvalidationReason.CHECKSUM, "off"),
        InvalidationReason.CHECKSUM, None, "checksum_failures",
    ),
    (
        PrecisionError("too fine"), InvalidationReason.PRECISION, ErrorCode.PRECISION,
        "precision_errors",
    ),
    (
        ValueError("odd"), InvalidationReason.MALFORMED, ErrorCode.MALFORMED_INPUT, "malformed",
    ),
    (
        msgspec.DecodeError("cut"), InvalidationReason.MALFORMED, ErrorCode.MALFORMED_INPUT,
        "malformed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("error", "reason", "code", "counter"), FAULTS)
def test_what_is_wrong_with_a_message_may_be_wrong_with_any_book(
    error: Exception, reason: InvalidationReason, code: ErrorCode | None, counter: str
) -> None:
    adapter, sink, _ = plain("A", "B")
    adapter.step = raising(error)
    adapter.receive(b"some text")
    doubts = [tlv for tlv in sink.tlvs if isinstance(tlv, StateInvalidation)]
    assert [(doubt.instrument.symbol, doubt.reason) for doubt in doubts] == [
        ("A", reason), ("B", reason),
    ]  # fmt: skip
    errors = [tlv for tlv in sink.tlvs if isinstance(tlv, Error)]
    assert [(e.code, e.context) for e in errors] == ([] if code is None else [(code, "some text")])
    assert getattr(adapter.counters, counter) == 1
    assert (adapter.counters.doubts, adapter.counters.frames) == (2, 1)
    counts = [
        getattr(adapter.counters, name)
        for name in ("sequence_gaps", "checksum_failures", "precision_errors", "malformed")
    ]
    assert sum(counts) == 1
    adapter.receive(b"some text")
    assert adapter.counters.doubts == 2, "they are stale already"


@pytest.mark.parametrize(("error", "reason", "code", "counter"), FAULTS)
def test_what_is_wrong_with_an_instrument_s_part_costs_no_other(
    error: Exception, reason: InvalidationReason, code: ErrorCode | None, counter: str
) -> None:
    adapter, sink, _ = plain("A", "B")
    adapter.attempt("B", raising(error))
    doubts = [tlv for tlv in sink.tlvs if isinstance(tlv, StateInvalidation)]
    assert [(doubt.instrument.symbol, doubt.reason) for doubt in doubts] == [("B", reason)]
    assert not adapter.is_in_step
    assert adapter.books["A"].is_verified


def test_a_doubt_may_name_its_own_instruments() -> None:
    adapter, _, _ = plain("A", "B", "C")
    doubt = BookDoubtError(InvalidationReason.INCONSISTENT, "odd", ("A", "C", "unknown"))
    adapter.attempt("B", raising(doubt))
    assert [book.is_verified for book in adapter.books.values()] == [False, True, False]
    assert adapter.last_doubt == "inconsistent: odd"


def test_anything_else_is_a_fault_of_ours() -> None:
    adapter, _, _ = plain("A")
    adapter.step = raising(KeyError("bug"))
    with pytest.raises(KeyError):
        adapter.receive(b"")
    with pytest.raises(KeyError):
        adapter.attempt("A", raising(KeyError("bug")))


def test_of_a_long_message_the_beginning_is_shown() -> None:
    adapter, sink, _ = plain("A")
    adapter.step = raising(ValueError("odd"))
    adapter.receive(b"x" * 499 + b"\xff" + b"y" * 100)
    error = sink.tlvs[0]
    assert isinstance(error, Error)
    assert error.context == "x" * 499 + "�"
    assert error.detail == "kraken: odd"


def test_books_in_doubt_are_asked_for_each_on_its_own() -> None:
    adapter, _, clock = plain("A", "B")
    adapter.requests.clear()
    adapter.ask_for_snapshots()
    assert list(adapter.requests) == []
    adapter.in_doubt(InvalidationReason.CROSSED, "odd", ["B"])
    adapter.ask_for_snapshots()
    assert list(adapter.requests) == [Send("again B")]
    adapter.ask_for_snapshots()
    assert len(adapter.requests) == 1
    clock.now = 10
    adapter.ask_for_snapshots()
    assert len(adapter.requests) == 2
    adapter.publish_snapshot(adapter.books["B"], (), ())
    clock.now = 100
    adapter.ask_for_snapshots()
    assert len(adapter.requests) == 2
    adapter.resync.doubted("not followed any more")
    adapter.ask_for_snapshots()
    assert len(adapter.requests) == 2


def test_on_a_new_connection_every_snapshot_is_on_its_way() -> None:
    adapter, _, clock = plain("A", "B")
    adapter.in_doubt(InvalidationReason.DISCONNECTED, "gone")
    adapter.connected()
    assert list(adapter.requests) == [Send("everything")]
    adapter.ask_for_snapshots()
    assert len(adapter.requests) == 1
    clock.now = 10
    adapter.ask_for_snapshots()
    assert list(adapter.requests)[1:] == [Send("again A"), Send("again B")]


def test_a_rest_answer_that_is_missing_is_asked_for_again() -> None:
    adapter, _, clock = plain("A")
    adapter.in_doubt(InvalidationReason.CROSSED, "odd")
    adapter.ask_for_snapshots()
    adapter.requests.clear()
    adapter.fetch_failed(Fetch("", "A", "snapshot"), "HTTP 500")
    assert adapter.last_doubt == "A: HTTP 500"
    clock.now = 1
    adapter.ask_for_snapshots()
    assert list(adapter.requests) == [Send("again A")], "not only when patience is over"
    adapter.fetch_failed(Fetch("", "unknown", "snapshot"), "HTTP 404")
    assert adapter.last_doubt == "A: HTTP 500"


def test_a_rest_answer_that_nobody_can_use_is_a_fault_of_ours() -> None:
    adapter, _, _ = plain("A")
    with pytest.raises(NotImplementedError, match="plain asked for /x"):
        adapter.answer(Fetch("/x", "A", "snapshot"), b"")
    assert adapter.audit_request("A") is None


def test_what_is_wrong_with_a_rest_answer_is_shown_with_it() -> None:
    class Odd(Plain):
        def fetched(self, fetch: Fetch, body: bytes) -> None:
            raise ValueError("odd")

    sink = CollectingSink()
    adapter = Odd(["A", "B"], sink)
    for book in adapter.books.values():
        book.snapshot((), ())
    sink.messages.clear()
    adapter.answer(Fetch("/x", "A", "snapshot"), b"the body")
    assert [type(tlv) for tlv in sink.tlvs] == [Error, StateInvalidation]
    assert isinstance(sink.tlvs[0], Error)
    assert sink.tlvs[0].context == "the body"
    assert adapter.books["B"].is_verified


def listed(symbol: str, status: InstrumentStatus = InstrumentStatus.TRADING) -> Listed:
    return Listed(
        symbol=symbol, base="X", quote=symbol, price_increment=Decimal64(1, -2),
        quantity_increment=Decimal64(1, -3), minimum_quantity=Decimal64(1, -4), status=status,
        maker_fee_pips=16, taker_fee_pips=26,
    )  # fmt: skip


def test_late_readers_get_metadata_and_every_verified_book() -> None:
    adapter, sink, _ = plain("A", "B")
    adapter.repeat()
    assert [type(tlv) for tlv in sink.tlvs] == [L2Snapshot, L2Snapshot], "nothing is listed yet"
    adapter.use_listing([listed("A"), listed("B")])
    adapter.in_doubt(InvalidationReason.CROSSED, "odd", ["A"])
    sink.messages.clear()
    adapter.repeat()
    assert [type(tlv) for tlv in sink.tlvs] == [InstrumentMeta, InstrumentMeta, L2Snapshot]
    meta = sink.tlvs[0]
    assert isinstance(meta, InstrumentMeta)
    assert meta == InstrumentMeta(
        adapter.books["A"].book.instrument, Decimal64(1, -2), Decimal64(1, -3), Decimal64(1, -4),
        1, "X", "A", 16, 26,
    )  # fmt: skip


def test_a_status_is_told_when_it_is_another_one() -> None:
    adapter, sink, _ = plain("A")
    adapter.status_changed("A", InstrumentStatus.HALTED)
    assert sink.tlvs == [], "nothing is listed yet"
    adapter.use_listing([listed("A")])
    for status in (InstrumentStatus.TRADING, None, None, InstrumentStatus.DELISTED):
        adapter.status_changed("A", status)
    statuses = [tlv.status for tlv in sink.tlvs if isinstance(tlv, InstrumentMeta)]
    assert statuses == [InstrumentStatus.HALTED, InstrumentStatus.DELISTED]


def test_a_pair_that_two_symbols_have_is_no_name() -> None:
    adapter, _, _ = plain("A")
    adapter.use_listing(
        [msgspec.structs.replace(listed(s), base="BTC", quote="USD") for s in ("A", "B")]
    )
    listing = adapter.listing
    assert [len(listing), [each.symbol for each in listing]] == [2, ["A", "B"]]
    with pytest.raises(UnknownSymbolError):
        listing.find("BTC/USD")
    assert listing.pair_of(adapter.books["A"].book.instrument) == ("BTC", "USD")
    with pytest.raises(UnknownSymbolError):
        listing.symbol_of("BTC", "USD")


def test_a_trade_that_does_not_fit_is_shown() -> None:
    adapter, sink, _ = plain("A")
    adapter.publish_trade("A", "1e5", "1", 0, Side.BUY, "")
    (error,) = sink.tlvs
    assert isinstance(error, Error)
    assert error.code is ErrorCode.PRECISION
    assert (adapter.counters.trades, adapter.counters.precision_errors) == (0, 1)
    assert adapter.is_in_step


def test_books_are_received_by_the_adapter_s_clock() -> None:
    adapter, _, _ = plain("A")
    assert adapter.books["A"].received_ns == 77


def test_depths_that_an_exchange_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="plain has no books of 10 levels"):
        Plain(["A"], CollectingSink(), levels=10)
    assert Plain(["A"], CollectingSink()).book_depth == 0
