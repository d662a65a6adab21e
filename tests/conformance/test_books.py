"""The recorded sessions end in the same books as a plain reference written here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from kraken_v2 import kraken_v2_messages
from recordings import answers, frames, received
from relays import running_relay

from torq_codec import Message
from torq_relays import CollectingSink, Publisher, RingLog, Subscriber
from torq_services.adapters import (
    BinanceAdapter,
    CoinbaseAdapter,
    ExchangeAdapter,
    GeminiAdapter,
    KrakenAdapter,
    KrakenV1Adapter,
)
from torq_services.adapters.exchange.requests import Fetch
from torq_services.state import MarketState, OrderBook, kraken_checksum
from torq_types import Domain, InstrumentId, L2Delta, L2Snapshot, StateInvalidation

Book = dict[tuple[str, Decimal], tuple[str, str]]
Books = dict[str, Book]


def place(book: Book, side: str, price: str, quantity: str) -> None:
    key = (side, Decimal(price))
    if Decimal(quantity):
        book[key] = (price, quantity)
    else:
        book.pop(key, None)


def side_of(book: Book, side: str) -> list[tuple[str, str]]:
    """Best first."""
    return [book[key] for key in sorted(book, reverse=side == "bid") if key[0] == side]


def reference_coinbase() -> Books:
    books: Books = {}
    for raw in frames("coinbase_advanced_2026-08"):
        message = json.loads(raw)
        if message["channel"] != "l2_data":
            continue
        for event in message["events"]:
            if event["type"] == "snapshot":
                books[event["product_id"]] = {}
            for update in event["updates"]:
                side = "bid" if update["side"] == "bid" else "ask"
                place(
                    books[event["product_id"]], side, update["price_level"], update["new_quantity"]
                )
    return books


def reference_gemini() -> Books:
    books: Books = {}
    for raw in frames("gemini_2026-08"):
        message = json.loads(raw)
        if message["type"] != "l2_updates":
            continue
        if "trades" in message:
            books[message["symbol"]] = {}
        for side, price, quantity in message["changes"]:
            place(books[message["symbol"]], "bid" if side == "buy" else "ask", price, quantity)
    return books


def kraken_updates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Pair and content of every book message, both halves of a message joined."""
    for raw in received("kraken_v1_2021-04"):
        message = json.loads(raw)
        if isinstance(message, list) and message[-2].startswith("book"):
            content: dict[str, Any] = {}
            for part in message[1:-2]:
                content |= part
            yield message[-1], content


def reference_kraken() -> Books:
    books: Books = {}
    for pair, content in kraken_updates():
        book = books.setdefault(pair, {})
        for key, side in (("as", "ask"), ("bs", "bid"), ("a", "ask"), ("b", "bid")):
            for price, quantity, *_ in content.get(key, ()):
                place(book, side, price, quantity)
        for side in ("bid", "ask"):
            places = sorted((place for place in book if place[0] == side), reverse=side == "bid")
            for gone in places[1000:]:
                del book[gone]
        if "c" in content:
            digits = "".join(
                text.replace(".", "").lstrip("0")
                for side in ("ask", "bid")
                for level in side_of(book, side)[:10]
                for text in level
            )
            assert crc32(digits.encode()) == int(content["c"]), "the reference itself is wrong"
    return books


def reference_kraken_v2() -> Books:
    return {pair.replace("XBT", "BTC"): book for pair, book in reference_kraken().items()}


def reference_binance() -> Books:
    books: Books = {}
    last: dict[str, int] = {}
    for path, body in answers("binance_2021-10").items():
        if "/depth" in path:
            symbol = path.partition("symbol=")[2].partition("&")[0]
            snapshot = json.loads(body)
            book = books[symbol] = {}
            last[symbol] = snapshot["lastUpdateId"]
            for key, side in (("bids", "bid"), ("asks", "ask")):
                for price, quantity in snapshot[key]:
                    place(book, side, price, quantity)
    for raw in received("binance_2021-10"):
        event = json.loads(raw)["data"]
        if event.get("e") != "depthUpdate" or event["u"] <= last[event["s"]]:
            continue
        assert event["U"] <= last[event["s"]] + 1
        last[event["s"]] = event["u"]
        for key, side in (("b", "bid"), ("a", "ask")):
            for price, quantity in event[key]:
                place(books[event["s"]], side, price, quantity)
    return books


def play_all(adapter: ExchangeAdapter, messages: list[bytes]) -> None:
    for message in messages:
        adapter.receive(message)


def play_binance(adapter: ExchangeAdapter, messages: list[bytes]) -> None:
    """The REST answers come after the first two seconds of updates."""
    bodies = answers("binance_2021-10")
    play_all(adapter, messages[:12])
    for request in list(adapter.requests):
        if isinstance(request, Fetch):
            (body,) = (body for path, body in bodies.items() if f"={request.symbol}&" in path)
            adapter.answer(request, body)
    play_all(adapter, messages[12:])


SESSIONS: dict[
    str, tuple[type[ExchangeAdapter], Callable[[], Books], Callable[[], list[bytes]]]
] = {
    "coinbase": (CoinbaseAdapter, reference_coinbase, lambda: frames("coinbase_advanced_2026-08")),
    "gemini": (GeminiAdapter, reference_gemini, lambda: frames("gemini_2026-08")),
    "kraken": (KrakenV1Adapter, reference_kraken, lambda: received("kraken_v1_2021-04")),
    "kraken v2": (KrakenAdapter, reference_kraken_v2, lambda: list(kraken_v2_messages())),
    "binance": (BinanceAdapter, reference_binance, lambda: received("binance_2021-10")),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_adapter_relay_and_state_end_in_the_reference_books(name: str, runtime_dir: Path) -> None:
    adapter_class, reference, messages = SESSIONS[name]
    expected = reference()
    sink = CollectingSink()
    adapter = adapter_class(expected, sink)
    adapter.connected()
    (play_binance if name == "binance" else play_all)(adapter, messages())
    assert adapter.is_in_step
    assert not any(isinstance(tlv, StateInvalidation) for tlv in sink.tlvs), "false stale"
    market = MarketState()
    for message in through_a_relay(sink, runtime_dir):
        market.apply(message)
    for symbol, book in expected.items():
        found = market.books[InstrumentId.pair(adapter.venue, symbol)]
        assert found.status == "verified"
        for side, levels in zip(("bid", "ask"), found.last_known(), strict=True):
            wanted = side_of(book, side)
            if name == "binance":
                wanted = wanted[: len(levels)]
                assert len(levels) >= 100
            assert [(str(level.price), str(level.quantity)) for level in levels] == wanted


@pytest.mark.parametrize("name", ["kraken", "kraken v2"])
def test_every_recorded_checksum_verifies_behind_the_relay(name: str, runtime_dir: Path) -> None:
    adapter_class, reference, messages = SESSIONS[name]
    expected = [int(content["c"]) for _, content in kraken_updates() if "c" in content]
    assert len(expected) == 4269
    sink = CollectingSink()
    adapter = adapter_class(reference(), sink)
    adapter.connected()
    play_all(adapter, messages())
    books: dict[InstrumentId, OrderBook] = {}
    verified = []
    for message in through_a_relay(sink, runtime_dir):
        for tlv in message.tlvs:
            if isinstance(tlv, L2Snapshot | L2Delta):
                book = books.setdefault(tlv.instrument, OrderBook(tlv.instrument))
                book.apply(tlv)
                if tlv.checksum and isinstance(tlv, L2Delta):
                    assert kraken_checksum(book) == tlv.checksum
                    verified.append(tlv.checksum)
    assert verified == expected


def through_a_relay(sink: CollectingSink, runtime_dir: Path) -> list[Message]:
    """Everything published, as a subscriber on the other side of a real relay gets it."""
    with (
        running_relay(Domain.MARKET_DATA, runtime_dir, log=RingLog(64 << 20)),
        Publisher.connect(Domain.MARKET_DATA, source=2, runtime_dir=runtime_dir) as publisher,
        Subscriber.connect(
            Domain.MARKET_DATA, runtime_dir=runtime_dir, start="earliest"
        ) as subscriber,
    ):
        for tlvs in sink.messages:
            publisher.send(*tlvs)
        publisher.flush()
        return [message for _, message in zip(sink.messages, subscriber, strict=False)]
