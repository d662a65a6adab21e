"""Trades, best prices and books of each exchange, field by field.

The messages are the exchanges' own: from the recorded sessions, or the examples of their
documentation.
"""

from __future__ import annotations

import json

import pytest
from markets import levels

from torq_relays import CollectingSink
from torq_services.adapters import ADAPTERS, ExchangeAdapter
from torq_services.adapters.exchange.requests import Fetch
from torq_types import (
    TLV,
    Decimal64,
    Error,
    ErrorCode,
    InstrumentId,
    L2Delta,
    L2Snapshot,
    Quote,
    Side,
    Trade,
)


def started(name: str, *symbols: str) -> tuple[ExchangeAdapter, CollectingSink]:
    sink = CollectingSink()
    adapter = ADAPTERS[name](symbols, sink)
    adapter.connected()
    return adapter, sink


def told(name: str, symbol: str, *messages: str) -> list[TLV]:
    adapter, sink = started(name, symbol)
    for message in messages:
        adapter.receive(message.encode())
    return sink.tlvs


def instrument(name: str, symbol: str) -> InstrumentId:
    return InstrumentId.pair(ADAPTERS[name].venue, symbol)


BINANCE_TRADE = (
    '{"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,'
    '"p":"0.001","q":"100","T":1672515782999,"m":true,"M":true}}'
)
KRAKEN_TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,'
    '"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
)
TRADES = {
    # Binance's documentation; its recorded session for aggTrade. "m": the buyer was the maker.
    "binance, a buyer who was the maker": (
        "binance", "BNBBTC", BINANCE_TRADE,
        ("0.001", "100", 1672515782999_000000, Side.SELL, "12345"),
    ),
    "binance, a seller who was the maker": (
        "binance", "BNBBTC", BINANCE_TRADE.replace('"m":true', '"m":false'),
        ("0.001", "100", 1672515782999_000000, Side.BUY, "12345"),
    ),
    "binance, trades put together": (
        "binance", "NKNUSDT",
        '{"stream":"nknusdt@aggTrade","data":{"e":"aggTrade","E":1633998523963,"s":"NKNUSDT",'
        '"a":15683430,"p":"0.35280000","q":"58.00000000","f":19862790,"l":19862790,'
        '"T":1633998523963,"m":false,"M":true}}',
        ("0.35280000", "58.00000000", 1633998523963_000000, Side.BUY, "15683430"),
    ),
    # The recorded session. The best bid was 65083.66 then and the best ask 65083.67: who takes
    # the ask buys, and Coinbase names the other side.
    "coinbase, at the ask": (
        "coinbase", "BTC-USD",
        '{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.251397169Z","sequence_num":9,'
        '"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1068572091",'
        '"price":"65083.67","size":"0.01034361","time":"2026-08-09T21:05:48.167634Z",'
        '"side":"SELL"}]}]}',
        ("65083.67", "0.01034361", 1786309548_167634_000, Side.BUY, "1068572091"),
    ),
    "coinbase, at the bid": (
        "coinbase", "BTC-USD",
        '{"channel":"market_trades","timestamp":"2026-08-09T21:05:49.25328358Z","sequence_num":50,'
        '"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1068572092",'
        '"price":"65083.66","size":"0.00171442","time":"2026-08-09T21:05:49.205817Z",'
        '"side":"BUY"}]}]}',
        ("65083.66", "0.00171442", 1786309549_205817_000, Side.SELL, "1068572092"),
    ),
    # The recorded session.
    "gemini, bought": (
        "gemini", "BTCUSD",
        '{"event_id":1764551741926942,"price":"65206.29","quantity":"0.00007667","side":"buy",'
        '"symbol":"BTCUSD","tid":2840141017904555,"timestamp":1786313194672,"type":"trade"}',
        ("65206.29", "0.00007667", 1786313194672_000000, Side.BUY, "2840141017904555"),
    ),
    "gemini, sold": (
        "gemini", "BTCUSD",
        '{"event_id":1764551741926942,"price":"65206.29","quantity":"0.00007667","side":"sell",'
        '"symbol":"BTCUSD","tid":2840141017904555,"timestamp":1786313194672,"type":"trade"}',
        ("65206.29", "0.00007667", 1786313194672_000000, Side.SELL, "2840141017904555"),
    ),
    # Kraken's documentation of version 2.
    "kraken, sold": (
        "kraken", "MATIC/USD", KRAKEN_TRADE,
        ("0.5117", "40.0", 1695628177_708706_000, Side.SELL, "4665906"),
    ),
    "kraken, bought": (
        "kraken", "MATIC/USD", KRAKEN_TRADE.replace('"sell"', '"buy"'),
        ("0.5117", "40.0", 1695628177_708706_000, Side.BUY, "4665906"),
    ),
    "kraken, a side that nobody has heard of": (
        "kraken", "MATIC/USD", KRAKEN_TRADE.replace('"sell"', '"hold"'),
        ("0.5117", "40.0", 1695628177_708706_000, Side.UNKNOWN, "4665906"),
    ),
    # The recorded session of version 1, which numbers no trades.
    "kraken v1, sold": (
        "kraken_v1", "XMR/USD",
        '[993,[["354.11000000","0.89594024","1618678142.557535","s","l",""]],"trade","XMR/USD"]',
        ("354.11000000", "0.89594024", 1618678142_557535_000, Side.SELL, ""),
    ),
    "kraken v1, bought": (
        "kraken_v1", "XMR/USD",
        '[993,[["354.11000000","0.89594024","1618678142.557535","b","l",""]],"trade","XMR/USD"]',
        ("354.11000000", "0.89594024", 1618678142_557535_000, Side.BUY, ""),
    ),
    "kraken v1, a side that nobody has heard of": (
        "kraken_v1", "XMR/USD",
        '[993,[["354.11000000","0.89594024","1618678142.557535","?","l",""]],"trade","XMR/USD"]',
        ("354.11000000", "0.89594024", 1618678142_557535_000, Side.UNKNOWN, ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "symbol", "message", "expected"), TRADES.values(), ids=TRADES)
def test_a_trade(
    name: str, symbol: str, message: str, expected: tuple[str, str, int, Side, str]
) -> None:
    price, quantity, time_ns, side, trade_id = expected
    adapter, sink = started(name, symbol)
    adapter.receive(message.encode())
    assert sink.tlvs == [
        Trade(
            instrument(name, symbol), Decimal64.parse(price), Decimal64.parse(quantity), time_ns,
            side, trade_id,
        )
    ]  # fmt: skip
    assert (adapter.counters.trades, adapter.counters.frames) == (1, 1)
    other, silent = started(name, "SOMETHING-ELSE")
    other.receive(message.encode())
    assert (silent.tlvs, other.counters.trades) == ([], 0), "an instrument that nobody follows"


def test_trades_from_before_the_subscription_are_not_told() -> None:
    assert told("kraken", "MATIC/USD", KRAKEN_TRADE.replace('"update"', '"snapshot"')) == []
    coinbase = TRADES["coinbase, at the ask"][2]
    assert told("coinbase", "BTC-USD", coinbase.replace('"update"', '"snapshot"')) == []


def test_several_trades_of_a_message_come_out_in_its_order() -> None:
    """The second and third are made up; the first is of Kraken's documentation."""
    message = json.loads(KRAKEN_TRADE)
    message["data"] = [message["data"][0] | {"trade_id": number} for number in (1, 2, 3)]
    trades = told("kraken", "MATIC/USD", json.dumps(message))
    assert [trade.trade_id for trade in trades if isinstance(trade, Trade)] == ["1", "2", "3"]
    entries = [["354.1", "1", f"16186781{n}.5", "s", "l", ""] for n in (10, 11)]
    trades = told("kraken_v1", "XMR/USD", json.dumps([993, entries, "trade", "XMR/USD"]))
    assert [t.exchange_timestamp_ns for t in trades if isinstance(t, Trade)] == [
        1618678110_500_000_000, 1618678111_500_000_000,
    ]  # fmt: skip


QUOTES = {
    # Binance's documentation.
    "binance": (
        "binance", "BNBUSDT",
        '{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35190000",'
        '"B":"31.21000000","a":"25.36520000","A":"40.66000000"}}',
        ("25.35190000", "31.21000000", "25.36520000", "40.66000000", 0),
    ),
    # The recorded session.
    "coinbase": (
        "coinbase", "BTC-USD",
        '{"channel":"ticker","timestamp":"2026-08-09T21:05:48.348050942Z","sequence_num":11,'
        '"events":[{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD",'
        '"price":"65086.18","best_bid":"65083.66","best_ask":"65083.67",'
        '"best_bid_quantity":"0.20371215","best_ask_quantity":"0.15556334"}]}]}',
        ("65083.66", "0.20371215", "65083.67", "0.15556334", 1786309548_348050942),
    ),
    # Kraken's documentation of version 2.
    "kraken": (
        "kraken", "ALGO/USD",
        '{"channel":"ticker","type":"snapshot","data":[{"symbol":"ALGO/USD","bid":0.10025,'
        '"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035}]}',
        ("0.10025", "740.0", "0.10036", "1361.44813783", 0),
    ),
    "kraken, with its time": (
        "kraken", "ALGO/USD",
        '{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,'
        '"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,'
        '"timestamp":"2023-09-25T07:49:37.708706Z"}]}',
        ("0.10025", "740.0", "0.10036", "1361.44813783", 1695628177_708706_000),
    ),
    # The recorded session of version 1: price, whole lots, lots.
    "kraken v1": (
        "kraken_v1", "XMR/USD",
        '[996,{"a":["355.24000000",27,"27.19106411"],"b":["354.32000000",6,"6.87748868"],'
        '"c":["355.23000000","1.20454360"]},"ticker","XMR/USD"]',
        ("354.32000000", "6.87748868", "355.24000000", "27.19106411", 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "symbol", "message", "expected"), QUOTES.values(), ids=QUOTES)
def test_a_best_bid_and_ask(
    name: str, symbol: str, message: str, expected: tuple[str, str, str, str, int]
) -> None:
    *texts, time_ns = expected
    bid, bid_quantity, ask, ask_quantity = (Decimal64.parse(str(text)) for text in texts)
    adapter, sink = started(name, symbol)
    adapter.receive(message.encode())
    assert sink.tlvs == [
        Quote(instrument(name, symbol), bid, bid_quantity, ask, ask_quantity, int(time_ns))
    ]
    assert adapter.counters.quotes == 1
    other, silent = started(name, "SOMETHING-ELSE")
    other.receive(message.encode())
    assert (silent.tlvs, other.counters.quotes) == ([], 0)


def test_a_quote_that_does_not_fit_costs_only_itself() -> None:
    message = QUOTES["coinbase"][2].replace('"65083.67"', '"6.5e4"')
    adapter, sink = started("coinbase", "BTC-USD")
    adapter.receive(message.encode())
    (error,) = sink.tlvs
    assert isinstance(error, Error)
    assert error.code is ErrorCode.PRECISION
    counters = adapter.counters
    assert (counters.precision_errors, counters.quotes, counters.doubts) == (1, 0, 0)


def test_gemini_s_best_prices_are_those_of_its_book() -> None:
    """The feed sends none by themselves. Prices are of the recorded session's BTCGUSDPERP book."""
    whole = (
        '{"type":"l2_updates","symbol":"BTCUSD","trades":[],"changes":[["buy","65317.0","0.0031"],'
        '["buy","65309.0","0.1622"],["sell","65317.5","0.0006"],["sell","65329.0","0.1994"]]}'
    )
    first = told("gemini", "BTCUSD", whole)[-1]
    texts = ("65317.0", "0.0031", "65317.5", "0.0006")
    bid, bid_quantity, ask, ask_quantity = map(Decimal64.parse, texts)
    pair = instrument("gemini", "BTCUSD")
    assert first == Quote(pair, bid, bid_quantity, ask, ask_quantity, 0)
    for change in (["sell", "65317.5", "0"], ["buy", "65317.0", "7"]):
        update = json.dumps({"type": "l2_updates", "symbol": "BTCUSD", "changes": [change]})
        quotes = [tlv for tlv in told("gemini", "BTCUSD", whole, update) if isinstance(tlv, Quote)]
        assert len(quotes) == 2, "one side alone has changed"
    adapter, _ = started("gemini", "BTCUSD")
    adapter.receive(whole.encode())
    assert adapter.counters.quotes == 1
    adapter.connected()
    adapter.receive(whole.encode())
    assert adapter.counters.quotes == 2, "told anew on every connection"


def test_a_book_with_one_side_has_no_best_prices() -> None:
    for side in ("buy", "sell"):
        whole = json.dumps(
            {"type": "l2_updates", "symbol": "BTCUSD", "trades": [], "changes": [[side, "1", "1"]]}
        )
        assert [type(tlv) for tlv in told("gemini", "BTCUSD", whole)] == [L2Snapshot]


def coinbase_book(number: int, kind: str, *updates: tuple[str, str, str]) -> str:
    entries = [
        {"side": side, "event_time": "", "price_level": price, "new_quantity": quantity}
        for side, price, quantity in updates
    ]
    event = {"type": kind, "product_id": "BTC-USD", "updates": entries}
    return json.dumps(
        {
            "channel": "l2_data", "timestamp": "2026-08-09T21:05:48.483587501Z",
            "sequence_num": number, "events": [event],
        }
    )  # fmt: skip


BOOKS = {
    # The recorded session's best levels and first update.
    "coinbase": (
        "coinbase", "BTC-USD",
        [
            coinbase_book(
                13, "snapshot", ("bid", "65083.66", "0.20371215"), ("bid", "65061.91", "0.1"),
                ("offer", "65106.54", "0.5"),
            ),
            coinbase_book(
                14, "update", ("bid", "65062.5", "0.00583"), ("bid", "65061.91", "0"),
                ("offer", "65106.54", "0.15361938"),
            ),
        ],
        (13, 1786309548_483587501, 0, [("65083.66", "0.20371215"), ("65061.91", "0.1")],
         [("65106.54", "0.5")]),
        (14, 1786309548_483587501, 0, [("65062.5", "0.00583"), ("65061.91", "0")],
         [("65106.54", "0.15361938")]),
    ),
    "gemini": (
        "gemini", "BTCUSD",
        [
            '{"type":"l2_updates","symbol":"BTCUSD","trades":[],"changes":[["buy","65205.5","1.0"],'
            '["sell","65217.88","0.5"]]}',
            '{"changes":[["buy","65205.5","0.0"],["sell","65218.00","2"]],"symbol":"BTCUSD",'
            '"type":"l2_updates"}',
        ],
        (0, 0, 0, [("65205.5", "1.0")], [("65217.88", "0.5")]),
        (0, 0, 0, [("65205.5", "0.0")], [("65218.00", "2")]),
    ),
    # Kraken's documented example of version 1, with the checksum that goes with it, in both forms.
    **{
        f"kraken {name}": (
            adapter, "XBT/USD", messages,
            (0, whole_time, whole_checksum, [(f"0.0{n}", "0.00000500") for n in BIDS],
             [(f"0.0{n}", "0.00000500") for n in ASKS]),
            (0, 1582905488_500000_000, 974947235, [("0.04960", "0.00000500")],
             [("0.05050", "0.00000500")]),
        )
        for BIDS, ASKS in [(
            ["5000", "4995", "4990", "4980", "4975", "4970", "4965", "4960", "4955", "4950"],
            ["5005", "5010", "5015", "5020", "5025", "5030", "5035", "5040", "5045", "5050"],
        )]
        for name, adapter, whole_time, whole_checksum, messages in [
            (
                "v1", "kraken_v1", 1582905487_900000_000, 0,
                [
                    json.dumps([0, {
                        "as": [[f"0.0{n}", "0.00000500", "1582905487.684110"] for n in ASKS],
                        "bs": [[f"0.0{n}", "0.00000500", "1582905487.900000"] for n in BIDS],
                    }, "book-1000", "XBT/USD"]),
                    json.dumps([
                        0, {"a": [["0.05050", "0.00000500", "1582905488.400000"]]},
                        {"b": [["0.04960", "0.00000500", "1582905488.500000"]], "c": "974947235"},
                        "book-1000", "XBT/USD",
                    ]),
                ],
            ),
            (
                "v2", "kraken", 1582905487_684110_000, 974947235,
                [
                    '{"channel":"book","type":"snapshot","data":[{"symbol":"XBT/USD","bids":['
                    + ",".join(f'{{"price":0.0{n},"qty":0.00000500}}' for n in BIDS)
                    + '],"asks":['
                    + ",".join(f'{{"price":0.0{n},"qty":0.00000500}}' for n in ASKS)
                    + '],"checksum":974947235,"timestamp":"2020-02-28T15:58:07.684110Z"}]}',
                    '{"channel":"book","type":"update","data":[{"symbol":"XBT/USD","bids":['
                    '{"price":0.04960,"qty":0.00000500}],"asks":[{"price":0.05050,'
                    '"qty":0.00000500}],"checksum":974947235,'
                    '"timestamp":"2020-02-28T15:58:08.500000Z"}]}',
                ],
            ),
        ]
    },
}  # fmt: skip

BookValues = tuple[int, int, int, list[tuple[str, str]], list[tuple[str, str]]]


@pytest.mark.parametrize(
    ("name", "symbol", "messages", "whole", "change"), BOOKS.values(), ids=BOOKS
)
def test_a_book_and_its_change(
    name: str, symbol: str, messages: list[str], whole: BookValues, change: BookValues
) -> None:
    pair = instrument(name, symbol)
    adapter, sink = started(name, symbol)
    for message in messages:
        adapter.receive(message.encode())
    found = [tlv for tlv in sink.tlvs if not isinstance(tlv, Quote)]
    number, time_ns, checksum, bids, asks = whole
    expected: list[TLV] = [
        L2Snapshot(pair, 1, number, time_ns, levels(*bids), levels(*asks), checksum)
    ]
    number, time_ns, checksum, bids, asks = change
    expected.append(L2Delta(pair, 2, number, time_ns, levels(*bids), levels(*asks), checksum))
    assert found == expected
    assert adapter.is_in_step
    other, silent = started(name, "SOMETHING-ELSE")
    for message in messages:
        other.receive(message.encode())
    assert silent.tlvs == []


def test_binance_s_book_is_a_rest_answer_and_its_changes_a_stream() -> None:
    """The first levels and the first updates of the recorded session."""
    pair = instrument("binance", "NKNUSDT")
    adapter, sink = started("binance", "NKNUSDT")
    adapter.answer(
        Fetch("/api/v3/depth", "NKNUSDT", "snapshot"),
        b'{"lastUpdateId":499869752,"bids":[["0.35210000","672.00000000"]],'
        b'"asks":[["0.35260000","3199.00000000"]]}',
    )
    adapter.receive(
        b'{"stream":"nknusdt@depth@100ms","data":{"e":"depthUpdate","E":1633998512068,'
        b'"s":"NKNUSDT","U":499869753,"u":499869755,"b":[["0.35130000","6195.00000000"]],'
        b'"a":[["0.35260000","0.00000000"],["0.35270000","1.00000000"]]}}'
    )
    assert sink.tlvs == [
        L2Snapshot(
            pair, 1, 499869752, 0, levels(("0.35210000", "672.00000000")),
            levels(("0.35260000", "3199.00000000")),
        ),
        L2Delta(
            pair, 2, 499869755, 1633998512068_000000, levels(("0.35130000", "6195.00000000")),
            levels(("0.35260000", "0.00000000"), ("0.35270000", "1.00000000")),
        ),
    ]  # fmt: skip


def test_a_version_1_update_is_as_new_as_its_newest_level() -> None:
    """The recorded session's first update has one level; the message has no time of its own."""
    whole = '[992,{"as":[["355.0","1","1618678132.5"]],"bs":[]},"book-1000","XMR/USD"]'
    adapter, sink = started("kraken_v1", "XMR/USD")
    adapter.receive(whole.encode())
    (tlv,) = sink.tlvs
    assert isinstance(tlv, L2Snapshot)
    assert tlv.exchange_timestamp_ns == 1618678132_500_000_000
    assert (len(tlv.bids), len(tlv.asks)) == (0, 1)
    for sides, expected in (('"as":[],"bs":[["1","1","7.5"]]', 7_500_000_000), ('"as":[]', 0)):
        adapter, sink = started("kraken_v1", "XMR/USD")
        adapter.receive(f'[992,{{{sides}}},"book-1000","XMR/USD"]'.encode())
        (tlv,) = sink.tlvs
        assert isinstance(tlv, L2Snapshot)
        assert tlv.exchange_timestamp_ns == expected


def test_a_version_2_book_may_come_without_its_time() -> None:
    message = (
        '{"channel":"book","type":"snapshot","data":[{"symbol":"XBT/USD","bids":[],"asks":[],'
        '"checksum":0}]}'
    )
    (tlv,) = told("kraken", "XBT/USD", message)
    assert isinstance(tlv, L2Snapshot)
    assert tlv.exchange_timestamp_ns == 0
