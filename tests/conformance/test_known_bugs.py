"""Bugs that users of other libraries reported in public, each as a test that Torq does not have it.

The issue that each comes from is named in its docstring.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any
from zlib import crc32

import msgspec
import pytest
from recordings import answers

from torq_codec import MessageBuilder, parse_message
from torq_relays import CollectingSink
from torq_services.adapters import (
    BinanceAdapter,
    CoinbaseAdapter,
    GeminiAdapter,
    KrakenAdapter,
    KrakenV1Adapter,
    Resynchroniser,
    ResyncPolicy,
)
from torq_services.adapters.exchange.requests import Fetch
from torq_services.state import OrderBook
from torq_services.venues.simulated.trial import EXCHANGES, Trial
from torq_types import (
    Domain,
    Error,
    ErrorCode,
    InvalidationReason,
    L2Delta,
    L2Snapshot,
    StaleBookError,
    StateInvalidation,
    UnknownSymbolError,
)

Pairs = list[tuple[str, str]]


class Binance:
    """An adapter of one symbol, and what Binance would send."""

    def __init__(self, levels: int = 0) -> None:
        self.sink = CollectingSink()
        self.adapter = BinanceAdapter(["BTCUSDT"], self.sink, levels=levels)
        self.adapter.connected()

    def update(self, first: int, last: int, bids: Pairs = [], asks: Pairs = []) -> None:  # noqa: B006
        event = {"E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        self.adapter.receive(json.dumps({"stream": "btcusdt@depth@100ms", "data": event}).encode())

    def snapshot(self, last: int, bids: Pairs, asks: Pairs) -> None:
        body = {"lastUpdateId": last, "bids": bids, "asks": asks}
        self.adapter.answer(
            Fetch("/api/v3/depth", "BTCUSDT", "snapshot"), json.dumps(body).encode()
        )

    @property
    def book(self) -> OrderBook:
        return self.adapter.books["BTCUSDT"].book

    @property
    def bids(self) -> dict[str, str]:
        """What a reader has: price to quantity."""
        return reader_bids(self.sink)


def reader_bids(sink: CollectingSink) -> dict[str, str]:
    """The bids of somebody who only sees what was published."""
    book: OrderBook | None = None
    for tlv in sink.tlvs:
        if isinstance(tlv, L2Snapshot | L2Delta | StateInvalidation):
            book = book or OrderBook(tlv.instrument)
            book.apply(tlv)
    assert book is not None
    return {str(level.price): str(level.quantity) for level in book.last_known()[0]}


def kraken(depth: int = 10) -> tuple[KrakenAdapter, CollectingSink]:
    sink = CollectingSink()
    adapter = KrakenAdapter(["BTC/USD"], sink, levels=depth)
    adapter.connected()
    return adapter, sink


def kraken_message(
    kind: str, bids: Pairs, asks: Pairs, after: tuple[Pairs, Pairs], symbol: str = "BTC/USD"
) -> bytes:
    """A book message with the checksum of the book that is there after it."""
    digits = "".join(
        text.replace(".", "").lstrip("0") for side in (after[1], after[0]) for pair in side[:10]
        for text in pair
    )  # fmt: skip
    sides = [
        ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side)
        for side in (bids, asks)
    ]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],'
        f'"asks":[{sides[1]}],"checksum":{crc32(digits.encode())}}}]}}'
    ).encode()


def test_cryptofeed_1082_nothing_is_published_before_the_snapshot() -> None:
    """bmoscon/cryptofeed #1082: deltas were applied to an empty book and handed out."""
    binance = Binance()
    binance.update(11, 12, [("99", "1")])
    assert binance.sink.tlvs == []
    with pytest.raises(StaleBookError):
        _ = binance.book.best_bid


def test_cryptofeed_1082_what_comes_during_the_request_is_applied_after_the_snapshot() -> None:
    """bmoscon/cryptofeed #1082: the snapshot replaced deltas that were newer than it."""
    binance = Binance()
    binance.update(11, 12, [("99", "1")])
    binance.update(13, 15, [("98", "7")])
    binance.update(16, 16, [("97", "3")])
    binance.snapshot(14, [("99", "2"), ("98", "5")], [("101", "1")])
    assert binance.bids == {"99": "2", "98": "7", "97": "3"}


def test_cryptofeed_1016_a_hole_between_snapshot_and_stream_is_seen() -> None:
    """bmoscon/cryptofeed #1016: updates between the snapshot and the first delta were missing."""
    binance = Binance()
    binance.update(20, 21, [("99", "1")])
    binance.snapshot(15, [("99", "2")], [("101", "1")])
    assert not binance.adapter.is_in_step
    assert not any(isinstance(tlv, L2Snapshot) for tlv in binance.sink.tlvs)
    binance.snapshot(19, [("99", "4")], [("101", "1")])
    assert binance.bids == {"99": "1"}


def test_pybotters_564_and_566_an_older_snapshot_takes_nothing_back() -> None:
    """pybotters #564 and #566: a snapshot applied again dropped updates newer than it."""
    binance = Binance()
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    binance.update(11, 11, [("99", "5")])
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    assert binance.bids == {"99": "5"}
    binance.update(12, 12, [("98", "1")])
    assert binance.adapter.is_in_step


def test_python_binance_70_the_snapshot_may_come_before_the_first_update() -> None:
    """sammchardy/python-binance #70: a stream slower than the snapshot left a hole unseen."""
    binance = Binance()
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    binance.update(9, 10, [("99", "9")])  # all of it is in the snapshot
    assert binance.bids == {"99": "1"}
    binance.update(13, 14, [("99", "3")])  # 11 and 12 never came
    assert not binance.adapter.is_in_step


def test_gocryptotrader_506_updates_before_the_snapshot_are_discarded() -> None:
    """gocryptotrader #506: levels of old updates stayed in the book for ever."""
    binance = Binance()
    binance.update(1, 2, [("95", "1")])
    binance.update(3, 4, [("95", "0")])
    binance.snapshot(4, [("99", "1")], [("101", "1")])
    assert binance.bids == {"99": "1"}


def test_cryptofeed_604_levels_beyond_the_snapshot_are_not_made_up() -> None:
    """bmoscon/cryptofeed #604: beyond the snapshot's depth only some levels were known."""
    binance = Binance(levels=100)
    bids = [(f"{1000 - place}", "1") for place in range(100)]
    asks = [(f"{1001 + place}", "1") for place in range(100)]
    binance.snapshot(10, bids, asks)
    binance.update(11, 11, [("800", "1"), ("950", "2")])
    assert "800" not in binance.bids, "nothing is known of what lies between 901 and 800"
    assert binance.bids["950"] == "2"
    update = 12
    while binance.adapter.is_in_step:  # the market comes down
        binance.update(update, update, [(bids[update - 12][0], "0")])
        update += 1
    # Before the known part is used up, a new snapshot is asked for.
    assert len(binance.bids) >= 9
    assert binance.adapter.books["BTCUSDT"].doubts == {InvalidationReason.OVERFLOW: 1}
    binance.adapter.requests.clear()
    binance.adapter.ask_for_snapshots()
    assert isinstance(binance.adapter.requests[0], Fetch)


def test_cryptofeed_606_a_refresh_loses_nothing() -> None:
    """bmoscon/cryptofeed #606: minutes were missing whenever a snapshot was taken anew."""
    binance = Binance()
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    binance.update(11, 11, [("98", "1")])
    binance.update(13, 13, [("99", "2")])  # a hole
    assert not binance.adapter.is_in_step
    for update in range(14, 20):
        binance.update(update, update, [(f"{update}", "1")])
    binance.snapshot(15, [("99", "8")], [("101", "1")])
    assert binance.bids == {"99": "8", **{f"{update}": "1" for update in (16, 17, 18, 19)}}


async def test_gocryptotrader_2337_no_resubscription_storm() -> None:
    """gocryptotrader #2337: every update of a book in doubt asked for another snapshot."""
    trial = Trial(EXCHANGES["kraken"], 5)
    async with trial.running():
        trial.venue.requests.clear()
        book = trial.adapter.books[trial.exchange.symbols[0]]
        trial.adapter.in_doubt(InvalidationReason.CHECKSUM, "for the test", [book.symbol])
        for _ in range(400):
            trial.adapter.receive(b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD",'
                                  b'"bids":[],"asks":[],"checksum":1}]}')  # fmt: skip
        await trial.until(lambda: trial.adapter.is_in_step, "the snapshot")
        asked = [json.loads(text) for text in trial.venue.requests if '"subscribe"' in text]
        assert len(asked) == 1
        assert asked[0]["params"]["symbol"] == ["BTC/USD"], "only the one in doubt"


def test_gocryptotrader_1279_what_never_verifies_is_asked_for_less_and_less() -> None:
    """gocryptotrader #1279: a pair that always fails was subscribed anew in an endless loop."""
    clock = [0.0]
    policy = ResyncPolicy(first=0.5, most=60, patience=10)
    resync = Resynchroniser(policy, lambda: clock[0], random.Random(1))
    asked = []
    resync.doubted("GST/EUR")
    while clock[0] < 600:
        if resync.due():
            asked.append(clock[0])
            resync.verified("GST/EUR")  # a snapshot comes, and the first update contradicts it
            resync.doubted("GST/EUR")
        clock[0] += 0.05
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert len(asked) < 25
    assert gaps[0] < 1 < 25 < min(gaps[-3:])
    assert max(gaps) <= 60 + 0.1


def test_nautilus_2903_no_digit_is_lost_to_a_float() -> None:
    """nautilus_trader #2903: quantities read as floats lost their last digits."""
    adapter, sink = kraken()
    digits = ("0.1234567890123456789", "105944.30000")
    bids, asks = [("105944.20000", digits[0])], [(digits[1], "9007199254740993")]
    adapter.receive(kraken_message("snapshot", bids, asks, (bids, asks)))
    raw = MessageBuilder(Domain.MARKET_DATA, 2).add(sink.tlvs[-1]).build(sequence=1, timestamp_ns=1)
    found = parse_message(raw)[L2Snapshot]
    assert (str(found.bids[0].price), str(found.bids[0].quantity)) == bids[0]
    assert (str(found.asks[0].price), str(found.asks[0].quantity)) == asks[0]


def test_xchange_4063_trailing_zeros_belong_to_the_checksum() -> None:
    """knowm/XChange #4063: stripped zeros made every checksum fail."""
    adapter, _ = kraken()
    bids, asks = [("8750.0000", "1.50000000")], [("8760.0000", "0.00100000")]
    adapter.receive(kraken_message("snapshot", bids, asks, (bids, asks)))
    assert adapter.is_in_step
    assert adapter.books["BTC/USD"].checked == 1


def test_ccxt_24461_books_of_fewer_than_ten_levels_have_checksums_too() -> None:
    """ccxt #24461: a pair with few levels failed, and took all others with it."""
    sink = CollectingSink()
    adapter = KrakenAdapter(["BTC/USD", "ETH/USD"], sink, levels=10)
    adapter.connected()
    one: tuple[Pairs, Pairs] = ([("1.0", "2")], [])
    adapter.receive(kraken_message("snapshot", *one, one))
    adapter.receive(kraken_message("snapshot", *one, one, "ETH/USD"))
    assert adapter.is_in_step
    wrong: tuple[Pairs, Pairs] = ([("7.0", "2")], [])
    adapter.receive(kraken_message("update", [("1.0", "3")], [], wrong))
    assert [book.is_verified for book in adapter.books.values()] == [False, True]


def test_xchange_4571_levels_that_fell_out_of_the_depth_do_not_come_back() -> None:
    """knowm/XChange #4571: an eleventh level became the tenth again, and was long gone."""
    adapter, sink = kraken(10)
    asks = [(f"{place}.0", "1") for place in range(1, 11)]
    adapter.receive(kraken_message("snapshot", [], asks, ([], asks)))
    grown = sorted([*asks, ("2.5", "1")], key=lambda pair: float(pair[0]))
    adapter.receive(kraken_message("update", [], [("2.5", "1")], ([], grown[:10])))
    after = [*asks[:9], ("11.0", "1")]
    adapter.receive(kraken_message("update", [], [("2.5", "0"), ("11.0", "1")], ([], after)))
    assert adapter.is_in_step
    reader = OrderBook(adapter.books["BTC/USD"].book.instrument)
    for tlv in sink.tlvs:
        reader.apply(tlv)
    assert [str(level.price) for level in reader.last_known()[1]] == [price for price, _ in after]


def test_xchange_stream_361_both_sides_of_a_message_are_applied() -> None:
    """bitrich-info/xchange-stream #361: of a message with asks and bids only the asks counted."""
    sink = CollectingSink()
    adapter = KrakenV1Adapter(["XBT/USD"], sink)
    adapter.connected()
    whole = {"as": [["5.10", "1.0", "1.0"]], "bs": [["5.00", "1.0", "1.0"]]}
    adapter.receive(json.dumps([0, whole, "book-1000", "XBT/USD"]).encode())
    checksum = crc32(b"511" + b"20" + b"501" + b"30")
    parts: list[Any] = [
        {"a": [["5.10", "0", "2.0"], ["5.11", "2.0", "2.0"]]},
        {"b": [["5.00", "0", "2.0"], ["5.01", "3.0", "2.0"]], "c": str(checksum)},
    ]
    adapter.receive(json.dumps([0, *parts, "book-1000", "XBT/USD"]).encode())
    assert adapter.is_in_step
    assert reader_bids(sink) == {"5.01": "3.0"}


def test_xchange_4239_a_crossed_book_is_in_doubt_whatever_its_checksum() -> None:
    """knowm/XChange #4239: crossed books passed because their checksum was right."""
    adapter, sink = kraken()
    bids, asks = [("100", "1")], [("101", "1")]
    adapter.receive(kraken_message("snapshot", bids, asks, (bids, asks)))
    crossed = [("102", "1"), ("100", "1")]
    adapter.receive(kraken_message("update", [("102", "1")], [], (crossed, asks)))
    assert isinstance(sink.tlvs[-1], StateInvalidation)
    assert sink.tlvs[-1].reason is InvalidationReason.CROSSED


def gemini_update(changes: list[tuple[str, str, str]], *, is_whole: bool = False) -> bytes:
    message: dict[str, Any] = {"type": "l2_updates", "symbol": "BTCUSD", "changes": changes}
    if is_whole:
        message["trades"] = []
    return json.dumps(message).encode()


def test_ccxt_29210_a_snapshot_after_a_reconnect_replaces_the_book() -> None:
    """ccxt #29210: Gemini's new snapshot was merged into the old book, whose levels stayed."""
    sink = CollectingSink()
    adapter = GeminiAdapter(["BTCUSD"], sink)
    adapter.connected()
    adapter.receive(gemini_update([("buy", "99", "1"), ("sell", "101", "1")], is_whole=True))
    adapter.in_doubt(InvalidationReason.DISCONNECTED, "1006")
    adapter.connected()
    adapter.receive(gemini_update([("buy", "89", "1"), ("sell", "91", "1")], is_whole=True))
    assert adapter.is_in_step
    assert reader_bids(sink) == {"89": "1"}


def test_coinbase_pro_node_308_a_resynchronised_book_has_no_old_levels() -> None:
    """coinbase/coinbase-pro-node #308: a fresh snapshot was added to what was there."""
    binance = Binance()
    binance.snapshot(10, [("99", "1"), ("98", "1")], [("101", "1")])
    binance.update(15, 15)
    binance.snapshot(15, [("97", "1")], [("101", "1")])
    assert binance.bids == {"97": "1"}


def test_exchange_sharp_629_removals_are_part_of_a_delta() -> None:
    """DigitalRuby/ExchangeSharp #629: levels with a quantity of zero were filtered from deltas."""
    sink = CollectingSink()
    adapter = GeminiAdapter(["BTCUSD"], sink)
    adapter.connected()
    adapter.receive(gemini_update([("buy", "99", "1"), ("buy", "98", "1")], is_whole=True))
    adapter.receive(gemini_update([("buy", "99", "0")]))
    assert reader_bids(sink) == {"98": "1"}


async def test_node_binance_api_37_a_reconnect_subscribes_once() -> None:
    """ccxt/node-binance-api #37: with four symbols, a reconnect subscribed to sixteen."""
    trial = Trial(EXCHANGES["binance"], 6)
    async with trial.running():
        for _ in range(2):
            connections = trial.venue.connections
            trial.venue.requests.clear()
            await trial.venue.disconnect_all()
            await trial.until(lambda before=connections: trial.venue.connections > before, "again")  # type: ignore[misc]
            await trial.settled()
            subscriptions = [text for text in trial.venue.requests if '"SUBSCRIBE"' in text]
            assert len(subscriptions) == 1
            streams = json.loads(subscriptions[0])["params"]
            assert len(streams) == len(set(streams)) == 6
            snapshots = [path for path in trial.venue.requests if "/depth" in path]
            assert len(snapshots) == 2


async def test_coinbase_exchange_node_49_a_lost_connection_is_made_again() -> None:
    """coinbase/coinbase-exchange-node #49: the book just stood still when the socket was gone."""
    trial = Trial(EXCHANGES["coinbase"], 7)
    async with trial.running():
        await trial.venue.disconnect_all()
        await trial.until(lambda: trial.witness.stale >= 2, "stale books")
        await trial.venue.trade(50, per_second=5000)
        await trial.settled()
        assert trial.feed.connects == 2


def test_ccxt_24461_a_message_for_one_instrument_costs_no_other_its_trust() -> None:
    """ccxt #24461 again, for numbers: one instrument's nonsense is that instrument's alone."""
    sink = CollectingSink()
    adapter = CoinbaseAdapter(["A-USD", "B-USD"], sink)
    adapter.connected()

    def message(number: int, *events: tuple[str, str, str]) -> bytes:
        content = [
            {"type": kind, "product_id": product, "updates": [
                {"side": "bid", "price_level": price, "new_quantity": "1"}]}
            for kind, product, price in events
        ]  # fmt: skip
        envelope = {"channel": "l2_data", "timestamp": "2026-08-09T21:05:48Z",
                    "sequence_num": number, "events": content}  # fmt: skip
        return json.dumps(envelope).encode()

    adapter.receive(message(0, ("snapshot", "A-USD", "1"), ("snapshot", "B-USD", "1")))
    assert adapter.is_in_step
    adapter.receive(message(1, ("update", "A-USD", "1e5"), ("update", "B-USD", "2")))
    assert [book.is_verified for book in adapter.books.values()] == [False, True]
    errors = [tlv for tlv in sink.tlvs if isinstance(tlv, Error)]
    assert [error.code for error in errors] == [ErrorCode.PRECISION]


def test_renamed_and_delisted_symbols_are_found_in_the_exchanges_own_list() -> None:
    """ccxt and others cut XXBTZUSD at a fixed place; DASHUSD and XBTUSD then come out wrong."""
    recorded = answers("kraken_v1_2021-04")["/0/public/AssetPairs"]
    codes: set[str] = set()
    for pair in msgspec.json.decode(recorded)["result"].values():
        codes |= {pair["base"], pair["quote"]}
    names = {"XXBT": "XBT", "XXDG": "XDG", "ZUSD": "USD", "ZEUR": "EUR", "XETH": "ETH"}
    assets = {code: {"altname": names.get(code, code)} for code in codes}
    bodies = {
        "/0/public/AssetPairs": recorded,
        "/0/public/Assets": json.dumps({"error": [], "result": assets}).encode(),
    }
    sink = CollectingSink()
    adapter = KrakenAdapter(["XBTUSD", "BTC/EUR", "XDG/USD", "LUNA/USD"], sink)
    adapter.use_listing(adapter.read_listing(bodies))
    assert list(adapter.books) == ["BTC/USD", "BTC/EUR", "DOGE/USD"]
    assert "LUNA/USD" in adapter.unlisted
    instrument = adapter.books["DOGE/USD"].book.instrument
    assert adapter.listing.pair_of(instrument) == ("DOGE", "USD")
    assert adapter.listing.symbol_of("BTC", "EUR") == "BTC/EUR"
    old = KrakenV1Adapter(["BTC/USD"], CollectingSink())
    old.use_listing(old.read_listing(bodies))
    assert list(old.books) == ["XBT/USD"]
    found = old.listing.find("BTC/USD")
    assert (found.taker_fee_pips, found.maker_fee_pips) == (2600, 1600)
    with pytest.raises(UnknownSymbolError, match="did you mean XBT/USD"):
        old.listing.find("XBT-USD")
