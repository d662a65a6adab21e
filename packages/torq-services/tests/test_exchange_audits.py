"""Whole books over REST: what is asked, how the answer is read, and what it may cost."""

from __future__ import annotations

import json

import pytest
from markets import levels

from torq_relays import CollectingSink
from torq_services.adapters import ADAPTERS, ExchangeAdapter, Listed
from torq_services.adapters.exchange.requests import Fetch
from torq_types import (
    Decimal64,
    Error,
    ErrorCode,
    InvalidationReason,
    L2Snapshot,
    StateInvalidation,
)

BIDS, ASKS = [("99.0", "1.5"), ("98.0", "2")], [("101.0", "3")]
DEPTH = {
    # The forms of their REST references.
    "kraken": json.dumps(
        {
            "error": [],
            "result": {
                "XXBTZUSD": {
                    "asks": [[price, quantity, 1616663113] for price, quantity in ASKS],
                    "bids": [[price, quantity, 1616663112] for price, quantity in BIDS],
                }
            },
        }
    ),
    "gemini": json.dumps(
        {
            name: [{"price": p, "amount": q, "timestamp": "1547147541"} for p, q in side]
            for name, side in (("bids", BIDS), ("asks", ASKS))
        }
    ),
}
PATHS = {
    "kraken": "/0/public/Depth?pair=BTC/USD&count=500",
    "gemini": "/v1/book/btc/usd?limit_bids=0&limit_asks=0",
}


def audited(name: str) -> tuple[ExchangeAdapter, CollectingSink]:
    """An adapter with a book of its own, of which an audit has begun."""
    sink = CollectingSink()
    adapter = ADAPTERS[name](("BTC/USD", "ETH/USD"), sink)
    adapter.connected()
    for book in adapter.books.values():
        adapter.publish_snapshot(book, levels(*BIDS), levels(*ASKS))
    assert adapter.begin_audit("BTC/USD") == Fetch(PATHS[name], "BTC/USD", "audit")
    return adapter, sink


def answer(adapter: ExchangeAdapter, name: str, body: str) -> None:
    adapter.answer(Fetch(PATHS[name], "BTC/USD", "audit"), body.encode())


@pytest.mark.parametrize("name", DEPTH)
def test_an_answer_that_agrees_costs_nothing(name: str) -> None:
    adapter, sink = audited(name)
    answer(adapter, name, DEPTH[name])
    adapter.judge_audit("BTC/USD")
    assert adapter.is_in_step
    assert all(isinstance(tlv, L2Snapshot) for tlv in sink.tlvs)
    book = adapter.books["BTC/USD"]
    assert (book.audits, adapter.counters.audits, book.audit) == (1, 1, None)


@pytest.mark.parametrize("name", DEPTH)
@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [("1.5", "1.6", "bid 99.0 has 1.6 there"), ("101.0", "100.5", "ask 100.5 has 3 there")],
)
def test_a_difference_puts_that_book_in_doubt(
    name: str, old: str, new: str, difference: str
) -> None:
    adapter, sink = audited(name)
    answer(adapter, name, DEPTH[name].replace(old, new))
    assert adapter.is_in_step, "until the verdict"
    adapter.judge_audit("BTC/USD")
    doubt = sink.tlvs[-1]
    assert isinstance(doubt, StateInvalidation)
    assert doubt.reason is InvalidationReason.AUDIT
    assert doubt.detail.startswith(f"BTC/USD: {difference}")
    assert [book.is_verified for book in adapter.books.values()] == [False, True]
    assert adapter.counters.audits == 1


@pytest.mark.parametrize(
    ("name", "body", "detail"),
    [
        ("kraken", '{"error":["EGeneral:Too many requests"]}', "Kraken says: EGeneral"),
        ("kraken", "no json", "malformed"),
        ("kraken", '{"error":[],"result":{}}', "values to unpack"),
        ("kraken", DEPTH["kraken"].replace("99.0", "9.9e1"), "found '9.9e1'"),
        ("gemini", '{"bids":[]}', "missing required field"),
        ("gemini", DEPTH["gemini"].replace("1.5", "1.5e0"), "found '1.5e0'"),
    ],
)
def test_an_answer_that_cannot_be_read_says_nothing_about_the_book(
    name: str, body: str, detail: str
) -> None:
    adapter, sink = audited(name)
    answer(adapter, name, body)
    error = sink.tlvs[-1]
    assert isinstance(error, Error)
    assert error.code is ErrorCode.MALFORMED_INPUT
    assert error.detail.startswith(f"{name}: whole book over REST: ")
    assert detail in error.detail
    assert error.context == body[:500]
    adapter.judge_audit("BTC/USD")
    assert adapter.is_in_step
    assert (adapter.counters.malformed, adapter.counters.audits) == (1, 0)
    assert adapter.books["BTC/USD"].audit is None


def test_the_verdict_waits_for_an_answer_and_comes_once() -> None:
    adapter, _ = audited("gemini")
    adapter.judge_audit("BTC/USD")
    assert adapter.books["BTC/USD"].audit is not None
    adapter.judge_audit("ETH/USD")
    adapter.judge_audit("no such pair")
    answer(adapter, "gemini", DEPTH["gemini"])
    for _ in range(2):
        adapter.judge_audit("BTC/USD")
    assert adapter.counters.audits == 1


def test_answers_that_nobody_waits_for_are_left_alone() -> None:
    adapter, sink = audited("gemini")
    before = len(sink.tlvs)
    for symbol in ("ETH/USD", "no such pair"):
        adapter.answer(Fetch("", symbol, "audit"), b"nonsense")
    assert (len(sink.tlvs), adapter.counters.malformed) == (before, 0)


def test_an_audit_that_came_to_nothing_is_not_a_doubt() -> None:
    adapter, _ = audited("gemini")
    adapter.fetch_failed(Fetch("", "BTC/USD", "audit"), "HTTP 500")
    assert adapter.books["BTC/USD"].audit is None
    assert (adapter.is_in_step, adapter.last_doubt) == (True, "")
    assert adapter.resync.next_due() is None


def test_there_is_nothing_to_compare_a_stale_book_with() -> None:
    adapter, _ = audited("gemini")
    adapter.in_doubt(InvalidationReason.CROSSED, "for the test", ["BTC/USD"])
    assert adapter.books["BTC/USD"].audit is None, "what was under way is void"
    assert adapter.begin_audit("BTC/USD") is None
    assert adapter.begin_audit("no such pair") is None
    assert adapter.begin_audit("ETH/USD") is not None


@pytest.mark.parametrize("name", ["binance", "coinbase", "kraken_v1"])
def test_exchanges_whose_feeds_prove_themselves_are_not_asked(name: str) -> None:
    adapter = ADAPTERS[name](("A",), CollectingSink())
    adapter.books["A"].snapshot((), ())
    assert adapter.begin_audit("A") is None
    assert adapter.audit_seconds == 0
    with pytest.raises(NotImplementedError):
        adapter.read_audit(b"")


def test_how_often_and_how_deep() -> None:
    assert (ADAPTERS["gemini"].audit_seconds, ADAPTERS["gemini"].audit_levels) == (60, 0)
    assert (ADAPTERS["kraken"].audit_seconds, ADAPTERS["kraken"].audit_levels) == (300, 500)


def test_kraken_s_rest_knows_a_pair_by_another_name() -> None:
    one = Decimal64(1, 0)
    adapter = ADAPTERS["kraken"](("BTC/USD", "ETH/USD"), CollectingSink())

    def path(symbol: str) -> str:
        fetch = adapter.audit_request(symbol)
        assert fetch is not None
        return fetch.path

    assert path("BTC/USD") == "/0/public/Depth?pair=BTC/USD&count=500", "no list yet"
    adapter.use_listing(
        Listed(
            symbol=symbol, base=symbol[:3], quote="USD", price_increment=one,
            quantity_increment=one, minimum_quantity=one, other_names=names,
        )
        for symbol, names in (("BTC/USD", ("XBTUSD", "XBT/USD", "XXBTZUSD")), ("ETH/USD", ()))
    )  # fmt: skip
    assert path("BTC/USD") == "/0/public/Depth?pair=XBTUSD&count=500"
    assert path("ETH/USD") == "/0/public/Depth?pair=ETH/USD&count=500"


def test_an_answer_that_is_cut_off_is_compared_as_far_as_it_goes() -> None:
    """500 levels were asked for and 500 came: what lies beyond them is not missing."""
    sink = CollectingSink()
    adapter = ADAPTERS["kraken"](("BTC/USD",), sink)
    adapter.connected()
    bids = [(str(price), "1") for price in range(2000, 1499, -1)]
    adapter.publish_snapshot(adapter.books["BTC/USD"], levels(*bids), ())
    for shown, is_sound in ((bids[:500], True), (bids[:499], False)):
        adapter.begin_audit("BTC/USD")
        body = {"result": {"X": {"asks": [], "bids": [[*entry, 0] for entry in shown]}}}
        adapter.answer(Fetch("", "BTC/USD", "audit"), json.dumps(body).encode())
        adapter.judge_audit("BTC/USD")
        assert adapter.is_in_step is is_sound
