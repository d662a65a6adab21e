"""What each exchange lists: currencies, increments, fees, and whether an instrument trades."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recordings import answers

from torq_relays import CollectingSink
from torq_services.adapters import ADAPTERS, ExchangeAdapter, InstrumentStatus, Listed
from torq_services.venues import load_session
from torq_types import (
    UNKNOWN_FEE,
    Decimal64,
    Error,
    ErrorCode,
    InstrumentId,
    InstrumentMeta,
    StateInvalidation,
    UnknownSymbolError,
    Venue,
)

TRADING, HALTED, DELISTED = (
    InstrumentStatus.TRADING,
    InstrumentStatus.HALTED,
    InstrumentStatus.DELISTED,
)


def adapter_of(name: str, *symbols: str) -> tuple[ExchangeAdapter, CollectingSink]:
    sink = CollectingSink()
    return ADAPTERS[name](symbols, sink), sink


def listed(name: str, symbol: str, bodies: dict[str, bytes]) -> Listed:
    adapter, _ = adapter_of(name, symbol)
    assert list(bodies) == adapter.listing_paths()
    return next(each for each in adapter.read_listing(bodies) if each.symbol == symbol)


def number(text: str) -> Decimal64:
    return Decimal64.parse(text)


BINANCE_PATH = "/api/v3/exchangeInfo"
COINBASE_PATH = "/api/v3/brokerage/market/products"


def test_binance_s_recorded_list() -> None:
    """NKNUSDT in the session of 2021: filters PRICE_FILTER and LOT_SIZE, no fees."""
    body = answers("binance_2021-10")[BINANCE_PATH]
    assert listed("binance", "NKNUSDT", {BINANCE_PATH: body}) == Listed(
        symbol="NKNUSDT", base="NKN", quote="USDT", price_increment=number("0.00010000"),
        quantity_increment=number("1.00000000"), minimum_quantity=number("1.00000000"),
        status=TRADING,
    )  # fmt: skip


def binance_list(status: str, *filters: dict[str, str]) -> dict[str, bytes]:
    symbol = {
        "symbol": "ETHBTC", "status": status, "baseAsset": "ETH", "quoteAsset": "BTC",
        "filters": filters,
    }  # fmt: skip
    return {BINANCE_PATH: json.dumps({"symbols": [symbol]}).encode()}


def test_binance_s_documented_filters() -> None:
    """The example of its documentation: three values that differ."""
    found = listed(
        "binance",
        "ETHBTC",
        binance_list(
            "TRADING",
            {"filterType": "PRICE_FILTER", "tickSize": "0.00000100"},
            {"filterType": "LOT_SIZE", "minQty": "0.01000000", "stepSize": "0.00100000"},
        ),
    )
    assert (found.price_increment, found.quantity_increment, found.minimum_quantity) == (
        number("0.00000100"), number("0.00100000"), number("0.01000000"),
    )  # fmt: skip
    bare = listed("binance", "ETHBTC", binance_list("TRADING"))
    assert {bare.price_increment, bare.quantity_increment, bare.minimum_quantity} == {number("0")}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", TRADING), ("HALT", HALTED), ("BREAK", HALTED), ("END_OF_DAY", HALTED),
        ("SOMETHING_NEW", HALTED),
    ],
)  # fmt: skip
def test_binance_s_words_for_a_status(word: str, status: InstrumentStatus) -> None:
    assert listed("binance", "ETHBTC", binance_list(word)).status is status


def test_coinbase_s_recorded_list() -> None:
    body = load_session("coinbase_advanced_2026-08").answers[COINBASE_PATH].encode()
    assert listed("coinbase", "BTC-USD", {COINBASE_PATH: body}) == Listed(
        symbol="BTC-USD", base="BTC", quote="USD", price_increment=number("0.01"),
        quantity_increment=number("0.00000001"), minimum_quantity=number("0.00000001"),
        status=TRADING,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "is_disabled", "status"),
    [
        ("online", False, TRADING), ("online", True, HALTED), ("offline", False, HALTED),
        ("delisted", False, DELISTED), ("delisted", True, DELISTED),
    ],
)  # fmt: skip
def test_coinbase_s_words_for_a_status(
    word: str, is_disabled: bool, status: InstrumentStatus
) -> None:
    product = {
        "product_id": "A-B", "base_currency_id": "A", "quote_currency_id": "B",
        "price_increment": "0.1", "base_increment": "0.02", "base_min_size": "0.3",
        "status": word, "trading_disabled": is_disabled,
    }  # fmt: skip
    found = listed("coinbase", "A-B", {COINBASE_PATH: json.dumps({"products": [product]}).encode()})
    assert found.status is status
    assert (found.price_increment, found.quantity_increment, found.minimum_quantity) == (
        number("0.1"), number("0.02"), number("0.3"),
    )  # fmt: skip


def test_gemini_s_recorded_list() -> None:
    """BTCUSD in the session of 2026: ``tick_size`` is the step of a quantity."""
    path = "/v1/symbols/details/btcusd"
    body = load_session("gemini_2026-08").answers[path].encode()
    assert listed("gemini", "BTCUSD", {path: body}) == Listed(
        symbol="BTCUSD", base="BTC", quote="USD", price_increment=number("0.01"),
        quantity_increment=number("0.00000001"), minimum_quantity=number("0.00001"),
        status=TRADING,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("open", TRADING), ("closed", DELISTED), ("cancel_only", HALTED), ("post_only", HALTED),
        ("limit_only", HALTED),
    ],
)  # fmt: skip
def test_gemini_s_words_for_a_status(word: str, status: InstrumentStatus) -> None:
    body = (
        '{"symbol":"btcusd","base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,'
        f'"quote_increment":0.01,"min_order_size":"0.00001","status":"{word}"}}'
    ).encode()
    found = listed("gemini", "BTCUSD", {"/v1/symbols/details/btcusd": body})
    assert (found.status, found.quantity_increment) == (status, number("0.00000001"))


ASSETS = {"XXBT": {"altname": "XBT"}, "ZUSD": {"altname": "USD"}, "XXDG": {"altname": "XDG"}}
XBTUSD = {
    "altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "pair_decimals": 1,
    "lot_decimals": 8, "fees": [[0, 0.26], [50000, 0.24]], "fees_maker": [[0, 0.16], [50000, 0.14]],
    "ordermin": "0.0002",
}  # fmt: skip
"""From the recorded list of 2021."""


def kraken_list(**changes: Any) -> dict[str, bytes]:
    bodies = {
        "/0/public/Assets": {"error": [], "result": ASSETS},
        "/0/public/AssetPairs": {
            "error": [],
            "result": {
                "XBTUSD.d": {
                    "altname": "XBTUSD.d",
                    **{k: v for k, v in XBTUSD.items() if k not in ("wsname", "altname")},
                },
                "XXBTZUSD": XBTUSD | changes,
            },
        },
    }
    return {path: json.dumps(body).encode() for path, body in bodies.items()}


@pytest.mark.parametrize(
    ("name", "symbol", "other"),
    [("kraken", "BTC/USD", "XBT/USD"), ("kraken_v1", "XBT/USD", "BTC/USD")],
)
def test_kraken_s_names_and_fees(name: str, symbol: str, other: str) -> None:
    found = listed(name, symbol, kraken_list())
    assert found == Listed(
        symbol=symbol, base="BTC", quote="USD", price_increment=number("0.1"),
        quantity_increment=number("0.00000001"), minimum_quantity=number("0.0002"),
        status=TRADING, other_names=("XBTUSD", other, "XXBTZUSD"), maker_fee_pips=1600,
        taker_fee_pips=2600,
    )  # fmt: skip
    adapter, _ = adapter_of(name, symbol)
    assert len(list(adapter.read_listing(kraken_list()))) == 1, "the dark pool has no wsname"


def test_kraken_s_tick_may_be_coarser_than_its_digits() -> None:
    found = listed("kraken", "BTC/USD", kraken_list(tick_size="0.5", fees=[], fees_maker=[]))
    assert found.price_increment == number("0.5")
    assert (found.maker_fee_pips, found.taker_fee_pips) == (UNKNOWN_FEE, UNKNOWN_FEE)
    doge = kraken_list(base="XXDG", wsname="XDG/USD")
    assert listed("kraken", "DOGE/USD", doge).base == "DOGE"


def test_an_error_instead_of_a_list_is_said() -> None:
    for path in ("/0/public/Assets", "/0/public/AssetPairs"):
        bodies = kraken_list() | {path: b'{"error":["EService:Unavailable"]}'}
        adapter, _ = adapter_of("kraken", "BTC/USD")
        with pytest.raises(ValueError, match="Kraken says: EService:Unavailable"):
            list(adapter.read_listing(bodies))


KRAKEN_WORDS = {
    "online": TRADING, "limit_only": TRADING, "cancel_only": HALTED, "post_only": HALTED,
    "reduce_only": HALTED, "delisted": DELISTED, "work_in_progress": HALTED,
}  # fmt: skip


@pytest.mark.parametrize(("word", "status"), KRAKEN_WORDS.items())
def test_kraken_s_words_for_a_status(word: str, status: InstrumentStatus) -> None:
    assert listed("kraken", "BTC/USD", kraken_list(status=word)).status is status


def test_kraken_tells_of_a_new_status_at_once_and_once() -> None:
    """By the instrument channel; the messages are of the form that its documentation gives."""
    adapter, sink = adapter_of("kraken", "BTC/USD")
    adapter.use_listing(adapter.read_listing(kraken_list()))
    adapter.connected()

    def say(kind: str, word: str, symbol: str = "BTC/USD") -> list[int]:
        before = len(sink.tlvs)
        data = {"assets": [], "pairs": [{"symbol": symbol, "status": word}]}
        message = {"channel": "instrument", "type": kind, "data": data}
        adapter.receive(json.dumps(message).encode())
        return [tlv.status for tlv in sink.tlvs[before:] if isinstance(tlv, InstrumentMeta)]

    assert say("snapshot", "online") == []
    assert say("update", "cancel_only") == [HALTED]
    assert say("update", "cancel_only") == []
    assert say("update", "online") == [TRADING]
    assert say("update", "delisted") == [DELISTED]
    assert say("update", "something_new") == [HALTED]
    assert say("update", "online", "ETH/USD") == [], "nobody follows it"
    assert adapter.counters.malformed == 0


def test_what_is_not_listed_is_said_with_what_comes_close() -> None:
    adapter, sink = adapter_of("kraken", "BTC/USD", "BTCUSD", "ETH/USD")
    assert adapter.use_listing(adapter.read_listing(kraken_list())) == ["BTCUSD", "ETH/USD"]
    assert list(adapter.books) == ["BTC/USD"]
    assert list(adapter.unlisted) == ["BTCUSD", "ETH/USD"]
    assert "did you mean BTC/USD?" in adapter.unlisted["BTCUSD"]
    errors = [tlv for tlv in sink.tlvs if isinstance(tlv, Error)]
    assert [error.code for error in errors] == [ErrorCode.MALFORMED_INPUT] * 2
    assert errors[0].detail == f"kraken: {adapter.unlisted['BTCUSD']}"


def test_a_book_is_kept_under_the_exchange_s_own_symbol() -> None:
    for asked in ("XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD"):
        adapter, _ = adapter_of("kraken", asked)
        adapter.use_listing(adapter.read_listing(kraken_list()))
        assert list(adapter.books) == ["BTC/USD"]
        book = adapter.books["BTC/USD"]
        adapter.use_listing(adapter.read_listing(kraken_list()))
        assert adapter.books["BTC/USD"] is book, "a second reading takes nothing away"


def test_a_canonical_pair_finds_the_exchange_s_symbol() -> None:
    """In the recorded lists of Coinbase and Binance, which spell pairs otherwise."""
    for name, pair, symbol, path, body in (
        (
            "coinbase", "BTC/USD", "BTC-USD", COINBASE_PATH,
            load_session("coinbase_advanced_2026-08").answers[COINBASE_PATH].encode(),
        ),
        (
            "binance", "NKN/USDT", "NKNUSDT", BINANCE_PATH,
            answers("binance_2021-10")[BINANCE_PATH],
        ),
    ):  # fmt: skip
        adapter, _ = adapter_of(name, pair)
        adapter.use_listing(adapter.read_listing({path: body}))
        assert list(adapter.books) == [symbol]
        base, quote = pair.split("/")
        assert adapter.listing.symbol_of(base, quote) == symbol
        assert adapter.listing.pair_of(adapter.books[symbol].book.instrument) == (base, quote)


def test_an_identifier_of_another_exchange_or_nobody_s_has_no_pair() -> None:
    adapter, _ = adapter_of("kraken", "BTC/USD")
    adapter.use_listing(adapter.read_listing(kraken_list()))
    for venue, symbol in ((Venue.COINBASE, "BTC/USD"), (Venue.KRAKEN, "ETH/USD")):
        with pytest.raises(UnknownSymbolError, match=f"kraken lists no '{symbol}'"):
            adapter.listing.pair_of(InstrumentId.pair(venue, symbol))


def test_statuses_have_the_numbers_of_the_wire() -> None:
    assert [(s.name, s.value) for s in InstrumentStatus] == [
        ("UNKNOWN", 0), ("TRADING", 1), ("HALTED", 2), ("DELISTED", 3),
    ]  # fmt: skip


def test_a_book_that_is_listed_no_more_is_declared_stale() -> None:
    adapter, sink = adapter_of("kraken", "BTC/USD")
    adapter.use_listing(adapter.read_listing(kraken_list()))
    adapter.connected()
    adapter.receive(
        b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],'
        b'"checksum":0}]}'
    )
    assert adapter.use_listing([]) == ["BTC/USD"]
    doubt = sink.tlvs[-1] if isinstance(sink.tlvs[-1], StateInvalidation) else sink.tlvs[-2]
    assert isinstance(doubt, StateInvalidation)
    assert (doubt.reason.name, doubt.detail) == ("HALTED", "not listed any more")
    assert adapter.books == {}
