"""What is asked of each exchange, word for word, and what its refusals mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torq_relays import CollectingSink
from torq_services.adapters import ADAPTERS, BinanceAdapter, ExchangeAdapter, VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Send
from torq_types import Error, ErrorCode, InvalidationReason, StateInvalidation


def started(name: str, *symbols: str, **options: Any) -> tuple[ExchangeAdapter, CollectingSink]:
    sink = CollectingSink()
    adapter = ADAPTERS[name](symbols, sink, **options)
    adapter.connected()
    return adapter, sink


def sent(requests: Any) -> list[Any]:
    return [json.loads(each.text) if isinstance(each, Send) else each for each in requests]


def kraken_v1(verb: str, subscription: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    return {"event": verb, "pair": pairs, "subscription": subscription}


A_B = ["A/B", "C/D"]
BOOK = {"channel": "book", "symbol": A_B, "depth": 1000}
SUBSCRIPTIONS = {
    "binance": [
        {
            "method": "SUBSCRIBE", "id": 1,
            "params": [
                "a/b@depth@100ms", "a/b@bookTicker", "a/b@trade",
                "c/d@depth@100ms", "c/d@bookTicker", "c/d@trade",
            ],
        },
        Fetch("/api/v3/depth?symbol=A/B&limit=5000", "A/B", "snapshot", 250),
        Fetch("/api/v3/depth?symbol=C/D&limit=5000", "C/D", "snapshot", 250),
    ],
    "coinbase": [
        {"type": "subscribe", "product_ids": A_B, "channel": channel}
        for channel in ("heartbeats", "market_trades", "ticker", "level2")
    ],
    "gemini": [{"type": "subscribe", "subscriptions": [{"name": "l2", "symbols": A_B}]}],
    "kraken": [
        {"method": "subscribe", "params": {"channel": "instrument"}},
        {"method": "subscribe", "params": {"channel": "trade", "symbol": A_B, "snapshot": False}},
        {
            "method": "subscribe",
            "params": {"channel": "ticker", "symbol": A_B, "event_trigger": "bbo"},
        },
        {"method": "subscribe", "params": BOOK},
    ],
    "kraken_v1": [
        kraken_v1("subscribe", subscription, A_B)
        for subscription in ({"name": "trade"}, {"name": "ticker"}, {"name": "book", "depth": 1000})
    ],
}  # fmt: skip
AGAIN = {
    "binance": [Fetch("/api/v3/depth?symbol=C/D&limit=5000", "C/D", "snapshot", 250)],
    "coinbase": [
        {"type": verb, "product_ids": ["C/D"], "channel": "level2"}
        for verb in ("unsubscribe", "subscribe")
    ],
    "gemini": [
        {"type": verb, "subscriptions": [{"name": "l2", "symbols": ["C/D"]}]}
        for verb in ("unsubscribe", "subscribe")
    ],
    "kraken": [
        {"method": verb, "params": BOOK | {"symbol": ["C/D"]}}
        for verb in ("unsubscribe", "subscribe")
    ],
    "kraken_v1": [
        kraken_v1(verb, {"name": "book", "depth": 1000}, ["C/D"])
        for verb in ("unsubscribe", "subscribe")
    ],
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_is_asked_for_on_a_new_connection(name: str) -> None:
    adapter, _ = started(name, *A_B)
    assert sent(adapter.requests) == SUBSCRIPTIONS[name]
    adapter.requests.append(Send("something old"))
    adapter.connected()
    assert sent(adapter.requests) == SUBSCRIPTIONS[name]


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_brings_one_snapshot(name: str) -> None:
    adapter, _ = started(name, *A_B)
    assert sent(adapter.resynchronisation(["C/D"])) == AGAIN[name]


@pytest.mark.parametrize(("levels", "weight"), [(100, 5), (500, 25), (1000, 50), (5000, 250)])
def test_binance_s_snapshots_cost_what_its_documentation_says(levels: int, weight: int) -> None:
    adapter, _ = started("binance", "BTCUSDT", levels=levels)
    (fetch,) = adapter.resynchronisation(["BTCUSDT"])
    assert fetch == Fetch(
        f"/api/v3/depth?symbol=BTCUSDT&limit={levels}", "BTCUSDT", "snapshot", weight
    )
    assert adapter.book_depth == 0, "updates come for all levels"


def test_snapshots_of_other_sizes_cost_as_much_as_the_next_larger() -> None:
    class Odd(BinanceAdapter):
        snapshot_levels = 101

    (fetch,) = Odd(["A"], CollectingSink()).resynchronisation(["A"])
    assert isinstance(fetch, Fetch)
    assert fetch.weight == 25
    Odd.snapshot_levels = 6000
    (fetch,) = Odd(["A"], CollectingSink()).resynchronisation(["A"])
    assert isinstance(fetch, Fetch)
    assert fetch.weight == 250


@pytest.mark.parametrize("name", ["kraken", "kraken_v1"])
def test_kraken_s_depth_can_be_chosen(name: str) -> None:
    adapter, _ = started(name, "A/B", levels=25)
    last = sent(adapter.requests)[-1]
    assert 25 in (last.get("params", {}).get("depth"), last.get("subscription", {}).get("depth"))
    for levels in (10, 25, 100, 500, 1000):
        assert started(name, "A/B", levels=levels)[0].book_depth == levels
    with pytest.raises(ValueError, match=f"{name} has no books of 11 levels"):
        started(name, "A/B", levels=11)


def test_a_rest_request_counts_once_where_nothing_else_is_said() -> None:
    for name in ("gemini", "kraken"):
        fetch = started(name, "A/B")[0].audit_request("A/B")
        assert fetch is not None
        assert fetch.weight == 1


def test_who_only_speaks_when_asked_is_asked() -> None:
    found = {name: started(name, "A/B")[0].keepalive() for name in ADAPTERS}
    assert found.pop("binance") == '{"method":"LIST_SUBSCRIPTIONS","id":2}'
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("name", "limits", "heartbeat"),
    [
        # Documented: 5 messages a second, 6000 of weight a minute; a part is left to others.
        ("binance", VenueLimits(4, 5000), 10),
        # Documented: 8 unauthenticated messages and 10 requests a second; a heartbeat a second.
        ("coinbase", VenueLimits(8, 600), 1),
        # Documented: 120 requests a minute, a heartbeat every five seconds.
        ("gemini", VenueLimits(5, 120), 5),
        # Documented: a heartbeat a second, about one public request a second.
        ("kraken", VenueLimits(10, 60), 1),
        ("kraken_v1", VenueLimits(10, 60), 1),
    ],
)
def test_limits_and_heartbeats(name: str, limits: VenueLimits, heartbeat: float) -> None:
    adapter, _ = started(name, "A/B")
    assert (adapter.limits, adapter.heartbeat_seconds) == (limits, heartbeat)


REFUSALS = {
    # Binance's documentation: an unknown request, and a message that is not about a stream.
    "binance": (
        "binance",
        '{"error":{"code":2,"msg":"Invalid request: unknown variant `GET`"},"id":3}',
        'Binance says: {"code":2,"msg":"Invalid request: unknown variant `GET`"}', 0,
    ),
    "binance, a code alone": ("binance", '{"code":-1121}', "Binance says: ", 0),
    "binance, words alone": (
        "binance", '{"msg":"Invalid symbol."}', "Binance says: Invalid symbol.", 0,
    ),
    "binance, too many": (
        "binance", '{"code":-1003,"msg":"Too many requests; current limit is 5 messages."}',
        "Binance says: Too many requests; current limit is 5 messages.", 10,
    ),
    "coinbase": (
        "coinbase", '{"type":"error","message":"failure to subscribe"}',
        "Coinbase says: failure to subscribe", 0,
    ),
    "coinbase, too many": (
        "coinbase", '{"type":"error","message":"rate Limit exceeded"}',
        "Coinbase says: rate Limit exceeded", 5,
    ),
    "gemini": (
        "gemini", '{"result":"error","reason":"InvalidJson"}', "Gemini says: InvalidJson", 0,
    ),
    "gemini, too many": (
        "gemini", '{"result":"error","reason":"RateLimit"}', "Gemini says: RateLimit", 10,
    ),
    # Kraken's documentation of versions 1 and 2.
    "kraken": (
        "kraken",
        '{"error":"Currency pair not supported ALGO/FOO","method":"subscribe","success":false,'
        '"symbol":"ALGO/FOO","time_in":"2023-09-25T09:04:31.742599Z"}',
        "Kraken says: Currency pair not supported ALGO/FOO ALGO/FOO", 0,
    ),
    "kraken, without a word": (
        "kraken", '{"method":"subscribe","success":false}', "Kraken says:", 0,
    ),
    "kraken, too many": (
        "kraken", '{"error":"Exceeded msg Rate Limit","method":"subscribe","success":false}',
        "Kraken says: Exceeded msg Rate Limit", 5,
    ),
    "kraken, an error alone": ("kraken", '{"error":"Oops"}', "Kraken says: Oops", 0),
    "kraken v1": (
        "kraken_v1",
        '{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus",'
        '"pair":"XBT/USD","status":"error","subscription":{"depth":42,"name":"book"}}',
        "Kraken says: Subscription depth not supported XBT/USD", 0,
    ),
    "kraken v1, too many": (
        "kraken_v1", '{"errorMessage":"Exceeded msg Rate Limit","event":"error"}',
        "Kraken says: Exceeded msg Rate Limit", 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "message", "detail", "pause"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_and_says_nothing_of_the_books(
    name: str, message: str, detail: str, pause: float
) -> None:
    adapter, sink = started(name, "A/B")
    adapter.receive(message.encode())
    (error,) = sink.tlvs
    venue = adapter.venue.slug
    assert error == Error(0, ErrorCode.OTHER, f"{venue}: {detail}", message)
    assert adapter.last_doubt == f"refused: {detail}"
    assert adapter.pause_seconds == pause
    counters = adapter.counters
    assert (counters.refusals, counters.malformed, counters.unknown_messages) == (1, 0, 0)


def test_a_longer_pause_is_not_made_shorter() -> None:
    adapter, _ = started("kraken", "A/B")
    for seconds in (3.0, 60.0, 5.0):
        adapter.refused("too many", pause_seconds=seconds)
    adapter.refused("no such pair")
    assert (adapter.pause_seconds, adapter.counters.refusals) == (60.0, 4)


FINE = {
    "binance, subscribed": ("binance", '{"result":null,"id":1}'),
    "binance, still there": ("binance", '{"result":["btcusdt@trade"],"id":2}'),
    "coinbase, subscribed": (
        "coinbase",
        '{"channel":"subscriptions","timestamp":"2026-08-09T21:05:48.228846629Z","sequence_num":2,'
        '"events":[{"subscriptions":{"market_trades":["BTC-USD","ETH-USD"]}}]}',
    ),
    "coinbase, alive": (
        "coinbase",
        '{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.856364007Z","sequence_num":0,'
        '"events":[{"current_time":"2026-08-09 21:05:48","heartbeat_counter":41691}]}',
    ),
    "gemini, alive": ("gemini", '{"timestamp":1786313195331,"type":"heartbeat"}'),
    "kraken, online": (
        "kraken",
        '{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,'
        '"system":"online","version":"2.0.0"}],"type":"update"}',
    ),
    "kraken, no word of the system": ("kraken", '{"channel":"status","data":[{}]}'),
    "kraken, alive": ("kraken", '{"channel":"heartbeat"}'),
    "kraken, subscribed": (
        "kraken",
        '{"method":"subscribe","result":{"channel":"ticker","symbol":"ALGO/USD"},"success":true}',
    ),
    "kraken, an answer to a ping": ("kraken", '{"method":"pong","req_id":101}'),
    "kraken v1, online": (
        "kraken_v1",
        '{"connectionID":18239578009413566319,"event":"systemStatus","status":"online",'
        '"version":"1.8.3"}',
    ),
    "kraken v1, subscribed": (
        "kraken_v1",
        '{"channelID":1665,"channelName":"trade","event":"subscriptionStatus","pair":"WAVES/EUR",'
        '"status":"subscribed","subscription":{"name":"trade"}}',
    ),
    "kraken v1, alive": ("kraken_v1", '{"event":"heartbeat"}'),
    "kraken v1, an answer to a ping": ("kraken_v1", '{"event":"pong","reqid":42}'),
}
"""From the recorded sessions and the documentation."""


@pytest.mark.parametrize(("name", "message"), FINE.values(), ids=FINE)
def test_what_needs_no_answer_changes_nothing(name: str, message: str) -> None:
    adapter, sink = started(name, "A/B")
    adapter.receive(message.encode())
    assert sink.tlvs == []
    counters = adapter.counters
    assert (counters.frames, counters.malformed, counters.unknown_messages) == (1, 0, 0)
    assert (counters.refusals, counters.doubts, adapter.last_doubt) == (0, 0, "")


UNKNOWN = {
    "binance": ("binance", '{"stream":"btcusdt@kline_1m","data":{}}', "kline_1m"),
    "binance, no stream": (
        "binance", '{"e":"serverShutdown","E":1770123456789,"x":"and more"}',
        '{"e":"serverShutdown","E":1770123456789,',
    ),
    "coinbase": (
        "coinbase",
        '{"channel":"candles","timestamp":"2026-08-09T21:05:48.228971266Z","sequence_num":3,'
        '"events":[]}',
        "candles",
    ),
    "gemini": ("gemini", '{"type":"candles_1m_updates","symbol":"BTCUSD"}', "candles_1m_updates"),
    "kraken": ("kraken", '{"channel":"ohlc","type":"update","data":[]}', "ohlc"),
    "kraken, no channel": ("kraken", "{}", ""),
    "kraken v1": ("kraken_v1", '{"event":"addOrderStatus"}', "addOrderStatus"),
    "kraken v1, a channel": ("kraken_v1", '[42,["1"],"spread","A/B"]', "spread"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "message", "kind"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_kind_that_nobody_knows_is_told_once_and_counted(
    name: str, message: str, kind: str
) -> None:
    adapter, sink = started(name, "A/B")
    if name == "coinbase":
        adapter.receive(FINE["coinbase, subscribed"][1].encode())
    adapter.receive(message.encode())
    (error,) = sink.tlvs
    assert error == Error(
        0,
        ErrorCode.MALFORMED_INPUT,
        f"{adapter.venue.slug}: unknown message type {kind!r}",
        message,
    )
    adapter.receive(message.replace('"sequence_num":3', '"sequence_num":4').encode())
    assert len(sink.tlvs) == 1
    assert adapter.unknown_types == {kind: 2}
    assert (adapter.counters.unknown_messages, adapter.counters.malformed) == (2, 0)
    assert adapter.counters.sequence_gaps == 0


def test_of_unknown_kinds_so_many_are_told_of() -> None:
    adapter, sink = started("gemini", "A/B")
    for number in range(40):
        adapter.unknown(f"kind {number}")
    assert (len(adapter.unknown_types), len(sink.tlvs)) == (32, 32)
    assert adapter.counters.unknown_messages == 40
    adapter.unknown("kind 3")
    assert adapter.unknown_types["kind 3"] == 2


NONSENSE = {
    "binance": ("binance", '{"stream":"a/b@depth","data":{"s":"A/B"}}'),
    "coinbase": ("coinbase", '{"channel":"l2_data","sequence_num":1,"events":3,"timestamp":""}'),
    "coinbase, unnumbered": ("coinbase", '{"channel":"candles"}'),
    "gemini": ("gemini", '{"type":"l2_updates","symbol":"A/B","changes":[["up","1","1"]]}'),
    "kraken": ("kraken", '{"channel":"book","type":"update","data":[{"symbol":"A/B"}]}'),
    "kraken, an unknown type": ("kraken", '{"channel":"trade","type":"rumour","data":[]}'),
    "kraken v1": ("kraken_v1", '[1,{"a":[]},"A/B"]'),
    "kraken v1, no checksum": (
        "kraken_v1", '[0,{"a":[["5.1","1","2.0"]]},"book-1000","A/B"]',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "message"), NONSENSE.values(), ids=NONSENSE)
def test_a_message_that_makes_no_sense_puts_the_books_in_doubt(name: str, message: str) -> None:
    adapter, sink = started(name, "A/B")
    adapter.books["A/B"].snapshot((), ())
    adapter.receive(message.encode())
    assert adapter.counters.malformed == 1
    kinds = [type(tlv) for tlv in sink.tlvs[1:]]
    assert kinds == [Error, StateInvalidation]
    doubt = sink.tlvs[-1]
    assert isinstance(doubt, StateInvalidation)
    assert doubt.reason is InvalidationReason.MALFORMED


HALTS = {
    "kraken": (
        "kraken", '{"channel":"status","data":[{"system":"maintenance"}],"type":"update"}',
    ),
    "kraken, orders can only be cancelled": (
        "kraken", '{"channel":"status","data":[{"system":"cancel_only"}],"type":"update"}',
    ),
    "kraken v1": ("kraken_v1", '{"event":"systemStatus","status":"maintenance"}'),
}  # fmt: skip


@pytest.mark.parametrize(("name", "message"), HALTS.values(), ids=HALTS)
def test_an_exchange_that_is_not_online_has_no_books_to_trust(name: str, message: str) -> None:
    adapter, sink = started(name, "A/B", "C/D")
    for book in adapter.books.values():
        book.snapshot((), ())
    adapter.receive(message.encode())
    doubts = [tlv for tlv in sink.tlvs if isinstance(tlv, StateInvalidation)]
    assert [doubt.instrument.symbol for doubt in doubts] == ["A/B", "C/D"]
    assert {doubt.reason for doubt in doubts} == {InvalidationReason.HALTED}
    assert "Kraken's status is " in adapter.last_doubt
    assert adapter.counters.doubts == 2
