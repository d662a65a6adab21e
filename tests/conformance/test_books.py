"""The recorded sessions end in the same books as a plain reference written here."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from recordings import frames

from torq_codec import MessageBuilder, parse_message
from torq_relays import CollectingSink
from torq_services.adapters import CoinbaseAdapter, ExchangeAdapter, GeminiAdapter
from torq_services.state import MarketState
from torq_types import Domain, InstrumentId, StateInvalidation

Book = dict[tuple[str, Decimal], tuple[str, str]]


def reference_coinbase(messages: list[bytes]) -> dict[str, Book]:
    """Side and price to the texts of price and quantity."""
    books: dict[str, Book] = {}
    for raw in messages:
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


def reference_gemini(messages: list[bytes]) -> dict[str, Book]:
    books: dict[str, Book] = {}
    for raw in messages:
        message = json.loads(raw)
        if message["type"] != "l2_updates":
            continue
        if "trades" in message:
            books[message["symbol"]] = {}
        for side, price, quantity in message["changes"]:
            place(books[message["symbol"]], "bid" if side == "buy" else "ask", price, quantity)
    return books


def place(book: Book, side: str, price: str, quantity: str) -> None:
    key = (side, Decimal(price))
    if Decimal(quantity):
        book[key] = (price, quantity)
    else:
        book.pop(key, None)


@pytest.mark.parametrize(
    ("session", "adapter_class", "reference"),
    [
        ("coinbase_advanced_2026-08", CoinbaseAdapter, reference_coinbase),
        ("gemini_2026-08", GeminiAdapter, reference_gemini),
    ],
)
def test_adapter_bytes_and_state_end_in_the_reference_books(
    session: str, adapter_class: type[ExchangeAdapter], reference: object
) -> None:
    messages = frames(session)
    assert callable(reference)
    expected: dict[str, Book] = reference(messages)
    sink = CollectingSink()
    adapter = adapter_class(expected, sink)
    adapter.connected()
    for message in messages:
        adapter.receive(message)
    assert adapter.is_in_step
    market = MarketState()
    for sequence, tlvs in enumerate(sink.messages, 1):
        builder = MessageBuilder(Domain.MARKET_DATA, 1)
        for tlv in tlvs:
            builder.add(tlv)
        market.apply(parse_message(builder.build(sequence=sequence, timestamp_ns=sequence)))
    assert not any(isinstance(tlv, StateInvalidation) for tlv in sink.tlvs)
    for symbol, book in expected.items():
        found = market.books[InstrumentId.pair(adapter_class.venue, symbol)]
        assert found.status == "verified"
        bids, asks = found.last_known()
        wanted = [
            [value for (side, _), value in sorted(book.items(), reverse=descending) if side == name]
            for name, descending in (("bid", True), ("ask", False))
        ]
        assert [(str(level.price), str(level.quantity)) for level in bids] == wanted[0]
        assert [(str(level.price), str(level.quantity)) for level in asks] == wanted[1]
