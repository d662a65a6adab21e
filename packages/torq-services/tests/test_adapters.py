"""What each exchange's messages become, and what puts its books in doubt."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from recordings import frames

from torq_relays import CollectingSink
from torq_services.adapters import CoinbaseAdapter, ExchangeAdapter, GeminiAdapter
from torq_services.adapters.exchange.times import milliseconds, rfc3339_nanoseconds
from torq_services.venues import load_session
from torq_types import (
    Error,
    ErrorCode,
    InstrumentMeta,
    InvalidationReason,
    L2Delta,
    L2Snapshot,
    Quote,
    Side,
    StateInvalidation,
    Trade,
)


def coinbase(
    symbols: tuple[str, ...] = ("BTC-USD", "ETH-USD"),
) -> tuple[CoinbaseAdapter, CollectingSink]:
    sink = CollectingSink()
    adapter = CoinbaseAdapter(symbols, sink)
    adapter.connected()
    return adapter, sink


def gemini(symbols: tuple[str, ...] = ("BTCUSD",)) -> tuple[GeminiAdapter, CollectingSink]:
    sink = CollectingSink()
    adapter = GeminiAdapter(symbols, sink)
    adapter.connected()
    return adapter, sink


def feed(adapter: ExchangeAdapter, messages: list[bytes]) -> InvalidationReason | None:
    """Hand them over until something is in doubt; returns why."""
    for message in messages:
        adapter.receive(message)
        for book in adapter.books.values():
            if book.doubts:
                return next(iter(book.doubts))
    return None


def l2(sequence: int, kind: str, *updates: tuple[str, str, str]) -> bytes:
    event = {
        "type": kind,
        "product_id": "BTC-USD",
        "updates": [
            {"side": side, "event_time": "", "price_level": price, "new_quantity": quantity}
            for side, price, quantity in updates
        ],
    }
    return json.dumps(
        {
            "channel": "l2_data",
            "timestamp": "2026-08-09T21:05:48.228568804Z",
            "sequence_num": sequence,
            "events": [event],
        }
    ).encode()


SNAPSHOT = l2(0, "snapshot", ("bid", "99.50", "1.0"), ("offer", "100.00", "2.0"))


def test_coinbase_messages_become_tlvs_with_every_digit() -> None:
    adapter, sink = coinbase(("BTC-USD",))
    assert feed(adapter, [SNAPSHOT, l2(1, "update", ("bid", "99.6", "0.30"))]) is None
    snapshot, delta = sink.tlvs
    assert isinstance(snapshot, L2Snapshot)
    assert isinstance(delta, L2Delta)
    assert str(snapshot.bids[0].price) == "99.50"
    assert delta.book_sequence == snapshot.book_sequence + 1
    assert (str(delta.bids[0].price), str(delta.bids[0].quantity)) == ("99.6", "0.30")
    assert delta.exchange_timestamp_ns == 1786309548228568804


def test_coinbase_names_the_makers_side() -> None:
    messages = frames("coinbase_advanced_2026-08")
    adapter, sink = coinbase()
    assert feed(adapter, messages) is None
    trades = [tlv for tlv in sink.tlvs if isinstance(tlv, Trade)]
    quotes = [tlv for tlv in sink.tlvs if isinstance(tlv, Quote)]
    assert len(trades) == adapter.counters.trades > 50
    assert len(quotes) == adapter.counters.quotes > 100
    book, agreeing = {}, 0
    for tlv in sink.tlvs:
        if isinstance(tlv, Quote):
            book[tlv.instrument] = tlv
        elif isinstance(tlv, Trade) and tlv.instrument in book:
            quote = book[tlv.instrument]
            agreeing += (tlv.side is Side.BUY) == (tlv.price.to_decimal() >= quote.ask.to_decimal())
    assert agreeing > len(trades) * 9 // 10


def _drop(messages: list[bytes], at: int) -> list[bytes]:
    return messages[:at] + messages[at + 1 :]


def _double(messages: list[bytes], at: int) -> list[bytes]:
    return [*messages[: at + 1], *messages[at:]]


def _swap(messages: list[bytes], at: int) -> list[bytes]:
    return [*messages[:at], messages[at + 1], messages[at], *messages[at + 2 :]]


@pytest.mark.parametrize("damage", [_drop, _double, _swap])
def test_coinbase_any_dropped_doubled_or_swapped_frame_makes_the_books_stale(
    damage: Callable[[list[bytes], int], list[bytes]],
) -> None:
    messages = [m for m in frames("coinbase_advanced_2026-08") if len(m) < 100_000]
    # Small books instead of the recorded ones keep this quick; every frame's number is real.
    first = json.loads(messages[0])["sequence_num"]
    assert first == 0
    renumbered = []
    for number, raw in enumerate(messages):
        message = json.loads(raw)
        message["sequence_num"] = number + 2
        renumbered.append(json.dumps(message).encode())
    eth = l2(1, "snapshot", ("bid", "1.0", "1")).replace(b"BTC-USD", b"ETH-USD")
    small = l2(0, "snapshot", ("bid", "1.0", "1"))
    chance = random.Random(3)
    for at in chance.sample(range(len(renumbered) - 2), 40):
        adapter, sink = coinbase()
        reason = feed(adapter, [small, eth, *damage(renumbered, at)])
        assert reason in (InvalidationReason.SEQUENCE_GAP, InvalidationReason.CROSSED), at
        assert not any(book.is_verified for book in adapter.books.values())
        stale = [tlv for tlv in sink.tlvs if isinstance(tlv, StateInvalidation)]
        assert {tlv.instrument.symbol for tlv in stale} == {"BTC-USD", "ETH-USD"}


def test_after_a_doubt_only_a_fresh_snapshot_verifies_again() -> None:
    adapter, sink = coinbase(("BTC-USD",))
    assert feed(adapter, [SNAPSHOT, l2(2, "update")]) is InvalidationReason.SEQUENCE_GAP
    count = len(sink.messages)
    adapter.connected()
    adapter.receive(l2(0, "update", ("bid", "99", "1")))
    assert len(sink.messages) == count
    assert not adapter.is_in_step
    adapter.receive(l2(1, "snapshot", ("bid", "99", "1")))
    assert adapter.is_in_step


def test_an_update_that_crosses_the_book_is_not_published() -> None:
    adapter, sink = coinbase(("BTC-USD",))
    crossing = l2(1, "update", ("bid", "100.00", "1"))
    assert feed(adapter, [SNAPSHOT, crossing]) is InvalidationReason.CROSSED
    assert [type(tlv) for tlv in sink.tlvs] == [L2Snapshot, StateInvalidation]


@pytest.mark.parametrize(
    ("frame", "reason", "code"),
    [
        (b"not json", InvalidationReason.MALFORMED, ErrorCode.MALFORMED_INPUT),
        (b'{"channel":"l2_data"}', InvalidationReason.MALFORMED, ErrorCode.MALFORMED_INPUT),
        (
            l2(1, "update", ("sideways", "1", "1")),
            InvalidationReason.MALFORMED,
            ErrorCode.MALFORMED_INPUT,
        ),
        (
            l2(1, "update", ("bid", "1e5", "1")),
            InvalidationReason.PRECISION,
            ErrorCode.PRECISION,
        ),
        (
            l2(1, "update", ("bid", "1.12345678901234567890", "1")),
            InvalidationReason.PRECISION,
            ErrorCode.PRECISION,
        ),
    ],
)
def test_a_frame_that_makes_no_sense_is_published_with_its_text(
    frame: bytes, reason: InvalidationReason, code: ErrorCode
) -> None:
    adapter, sink = coinbase(("BTC-USD",))
    assert feed(adapter, [SNAPSHOT, frame]) is reason
    error = next(tlv for tlv in sink.tlvs if isinstance(tlv, Error))
    assert error.code is code
    assert error.context == frame.decode()[:500]
    assert isinstance(sink.tlvs[-1], StateInvalidation)


def test_a_trade_that_does_not_fit_costs_only_itself() -> None:
    def trades(*prices: str) -> bytes:
        return json.dumps(
            {
                "channel": "market_trades",
                "timestamp": "",
                "sequence_num": 1,
                "events": [
                    {
                        "type": "update",
                        "trades": [
                            {
                                "product_id": "BTC-USD",
                                "trade_id": str(number),
                                "price": price,
                                "size": "1",
                                "time": "2026-08-09T21:05:42Z",
                                "side": "BUY",
                            }
                            for number, price in enumerate(prices)
                        ],
                    }
                ],
            }
        ).encode()

    adapter, sink = coinbase(("BTC-USD",))
    assert feed(adapter, [SNAPSHOT, trades("1.0", "9" * 30, "3.0")]) is None
    assert [type(tlv) for tlv in sink.tlvs] == [L2Snapshot, Trade, Error, Trade]
    assert adapter.is_in_step


def test_the_exchanges_own_error_is_told_and_costs_no_book_its_trust() -> None:
    adapter, sink = coinbase(("BTC-USD",))
    adapter.receive(SNAPSHOT)
    adapter.receive(b'{"type":"error","message":"rate limit exceeded"}')
    assert adapter.is_in_step
    assert (adapter.counters.refusals, adapter.pause_seconds) == (1, 5.0)
    assert "rate limit exceeded" in next(t for t in sink.tlvs if isinstance(t, Error)).detail
    other, _ = gemini()
    other.receive(b'{"result":"error","reason":"InvalidJson"}')
    assert (other.counters.refusals, other.pause_seconds) == (1, 0.0)


G_SNAPSHOT = (
    b'{"type":"l2_updates","symbol":"BTCUSD","trades":[],"auction_events":[],'
    b'"changes":[["buy","99.0","1.0"],["buy","98.0","2.0"],["sell","101.0","1.0"]]}'
)


def change(*changes: tuple[str, str, str]) -> bytes:
    return json.dumps({"type": "l2_updates", "symbol": "BTCUSD", "changes": changes}).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("buy", "97.0", "0")], InvalidationReason.INCONSISTENT),
        ([("buy", "98.0", "2.0")], InvalidationReason.INCONSISTENT),
        ([("buy", "101.0", "2.0")], InvalidationReason.CROSSED),
        ([("buy", "98.0", "0"), ("sell", "100.5", "1.25")], None),
    ],
)
def test_gemini_what_does_not_fit_the_book_makes_it_stale(
    changes: list[tuple[str, str, str]], reason: InvalidationReason | None
) -> None:
    adapter, sink = gemini()
    assert feed(adapter, [G_SNAPSHOT, change(*changes)]) is reason
    assert adapter.is_in_step is (reason is None)
    books = [tlv for tlv in sink.tlvs if not isinstance(tlv, Quote)]
    assert isinstance(books[-1], L2Delta if reason is None else StateInvalidation)


def test_gemini_best_prices_are_told_when_they_change_and_are_verified() -> None:
    adapter, sink = gemini()
    feed(adapter, [G_SNAPSHOT, change(("buy", "98.0", "7.5")), change(("buy", "99.5", "1.0"))])
    quotes = [tlv for tlv in sink.tlvs if isinstance(tlv, Quote)]
    assert [str(quote.bid) for quote in quotes] == ["99.0", "99.5"]
    feed(adapter, [change(("buy", "50.0", "0"))])
    assert not adapter.is_in_step
    feed(adapter, [change(("buy", "99.7", "1.0"))])
    assert sum(isinstance(tlv, Quote) for tlv in sink.tlvs) == 2


def test_gemini_doubled_frames_are_seen() -> None:
    messages = frames("gemini_2026-08")
    updates = [at for at, raw in enumerate(messages) if b'"BTCUSD"' in raw and len(raw) < 200]
    seen = 0
    for at in updates[::10]:
        adapter, _ = gemini()
        seen += feed(adapter, _double(messages, at)) is not None
    assert seen == len(updates[::10])


def test_a_stale_books_deltas_are_not_published() -> None:
    adapter, sink = gemini()
    assert feed(adapter, [change(("buy", "1", "1"))]) is None
    assert sink.tlvs == []


def test_repeated_books_bring_late_readers_in_step() -> None:
    adapter, sink = gemini()
    feed(adapter, [G_SNAPSHOT, change(("buy", "99.5", "1.0"))])
    adapter.repeat()
    again = sink.tlvs[-1]
    assert isinstance(again, L2Snapshot)
    assert [str(level.price) for level in again.bids] == ["99.5", "99.0", "98.0"]
    feed(adapter, [change(("buy", "99.6", "1.0"))])
    delta = sink.tlvs[-2]
    assert isinstance(delta, L2Delta)
    assert delta.book_sequence == again.book_sequence + 1


def test_metadata_comes_from_the_exchanges_own_lists() -> None:
    answers = load_session("coinbase_advanced_2026-08").answers
    adapter, sink = coinbase()
    bodies = {path: answers[path].encode() for path in adapter.listing_paths()}
    adapter.use_listing(adapter.read_listing(bodies))
    adapter.repeat()
    metas = [tlv for tlv in sink.tlvs if isinstance(tlv, InstrumentMeta)]
    assert {(m.instrument.symbol, m.base, m.quote) for m in metas} == {
        ("BTC-USD", "BTC", "USD"),
        ("ETH-USD", "ETH", "USD"),
    }
    answers = load_session("gemini_2026-08").answers
    other, sink = gemini(("BTCUSD", "ETHUSD"))
    bodies = {path: answers[path].encode() for path in other.listing_paths()}
    other.use_listing(other.read_listing(bodies))
    other.repeat()
    found = next(t for t in sink.tlvs if isinstance(t, InstrumentMeta))
    assert (found.base, found.quote, str(found.price_increment)) == ("BTC", "USD", "0.01")
    assert str(found.quantity_increment) == "0.00000001"


def test_times() -> None:
    assert rfc3339_nanoseconds("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert rfc3339_nanoseconds("2026-08-09T21:05:48.228568804Z") == 1_786_309_548_228_568_804
    assert milliseconds(3) == 3_000_000
    for text in ("", "2026-08-09", "2026-08-09T21:05:48+02:00", "2026-99-09T21:05:48Z"):
        with pytest.raises(ValueError, match=r"found|month"):
            rfc3339_nanoseconds(text)
