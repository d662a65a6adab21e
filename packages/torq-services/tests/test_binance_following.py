"""How Binance's updates are joined to a snapshot, and what is known beyond the snapshot's end.

The rules are those of Binance's "How to manage a local order book correctly".
"""

from __future__ import annotations

import json

import pytest

from torq_relays import CollectingSink
from torq_services.adapters import BinanceAdapter
from torq_services.adapters.exchange.requests import Fetch
from torq_types import Error, InvalidationReason, L2Delta, L2Snapshot, Quote, StateInvalidation

Pairs = list[tuple[str, str]]
BIDS = [(f"{1000 - place}", "1") for place in range(100)]
ASKS = [(f"{1001 + place}", "1") for place in range(100)]


class Following:
    """An adapter of one symbol with snapshots of 100 levels, and what Binance would send."""

    def __init__(self) -> None:
        self.sink = CollectingSink()
        self.adapter = BinanceAdapter(["BTCUSDT"], self.sink, levels=100)
        self.adapter.connected()

    def update(self, first: int, last: int, bids: Pairs = [], asks: Pairs = []) -> None:  # noqa: B006
        event = {"E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        self.adapter.receive(json.dumps({"stream": "btcusdt@depth@100ms", "data": event}).encode())

    def snapshot(self, last: int, bids: Pairs, asks: Pairs, symbol: str = "BTCUSDT") -> None:
        body = {"lastUpdateId": last, "bids": bids, "asks": asks}
        self.adapter.answer(Fetch("/api/v3/depth", symbol, "snapshot"), json.dumps(body).encode())

    def ticker(self, update: int, bid: tuple[str, str], ask: tuple[str, str]) -> None:
        event = {
            "u": update, "s": "BTCUSDT", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1],
        }  # fmt: skip
        self.adapter.receive(json.dumps({"stream": "btcusdt@bookTicker", "data": event}).encode())

    @property
    def doubts(self) -> dict[InvalidationReason, int]:
        return self.adapter.books["BTCUSDT"].doubts

    @property
    def last(self) -> tuple[Pairs, Pairs]:
        """The levels of the last book message."""
        tlv = next(t for t in reversed(self.sink.tlvs) if isinstance(t, L2Delta | L2Snapshot))
        bids, asks = ([(str(e.price), str(e.quantity)) for e in s] for s in (tlv.bids, tlv.asks))
        return bids, asks


def joined(last: int = 10) -> Following:
    found = Following()
    found.snapshot(last, [("99", "1")], [("101", "1")])
    return found


@pytest.mark.parametrize(
    ("updates", "is_sound"),
    [
        ([(11, 12)], True),
        ([(9, 11)], True),  # begins within the snapshot
        ([(10, 10), (5, 9), (11, 11)], True),  # what is all in it is dropped
        ([(12, 12)], False),
        ([(11, 11), (12, 14), (15, 15)], True),
        ([(11, 11), (13, 13)], False),
        ([(11, 11), (11, 11)], False),  # only the first may overlap
        ([(11, 12), (12, 13)], False),
    ],
)
def test_the_first_update_may_overlap_and_the_others_follow_without_a_hole(
    updates: list[tuple[int, int]], is_sound: bool
) -> None:
    binance = joined()
    for first, last in updates:
        binance.update(first, last, [("98", str(last))])
    assert binance.adapter.is_in_step is is_sound
    assert binance.doubts == ({} if is_sound else {InvalidationReason.SEQUENCE_GAP: 1})


def test_updates_that_are_in_the_snapshot_are_not_told() -> None:
    binance = joined()
    binance.update(5, 10, [("98", "5")])
    assert [type(tlv) for tlv in binance.sink.tlvs] == [L2Snapshot]
    binance.update(5, 11, [("98", "6")])
    assert binance.last == ([("98", "6")], [])


@pytest.mark.parametrize(
    ("held_back", "last", "expected"),
    [
        ([(5, 9), (10, 12)], 10, ["12"]),
        ([(11, 12), (13, 15)], 10, ["12", "15"]),
        ([(11, 12), (13, 15)], 12, ["15"]),
        ([(11, 12), (13, 15)], 15, []),
        ([(11, 12), (13, 15)], 14, ["15"]),
        # A hole while waiting: only what comes after it can be joined.
        ([(11, 12), (14, 15)], 13, ["15"]),
        ([(11, 12), (14, 15)], 12, None),
        ([(12, 12)], 10, None),
    ],
)
def test_what_was_held_back_is_joined_where_it_fits(
    held_back: list[tuple[int, int]], last: int, expected: list[str] | None
) -> None:
    binance = Following()
    for first, final in held_back:
        binance.update(first, final, [("98", str(final))])
    assert binance.sink.tlvs == [], "nothing is told before the snapshot"
    binance.snapshot(last, [("99", "1")], [("101", "1")])
    assert binance.adapter.is_in_step is (expected is not None)
    deltas = [tlv for tlv in binance.sink.tlvs if isinstance(tlv, L2Delta)]
    assert [str(delta.bids[0].quantity) for delta in deltas] == (expected or [])
    if expected is None:
        assert binance.adapter.last_doubt.startswith("sequence_gap: BTCUSDT: the snapshot ends at")
        binance.snapshot(held_back[-1][0] - 1, [("99", "1")], [("101", "1")])
        assert binance.adapter.is_in_step, "what was held back is still there for a later one"


def test_after_a_gap_the_update_that_showed_it_is_the_first_to_be_held_back() -> None:
    binance = joined()
    binance.update(13, 14, [("98", "14")])
    binance.update(15, 15, [("97", "15")])
    binance.snapshot(13, [("99", "1")], [("101", "1")])
    assert binance.adapter.is_in_step
    assert binance.last == ([("97", "15")], [])
    binance.update(16, 16)
    assert binance.adapter.is_in_step


def test_so_many_updates_are_held_back_and_the_oldest_go_first() -> None:
    binance = Following()
    for number in range(1, 5003):
        binance.update(number, number, [("98", str(number))])
    binance.snapshot(1, [("99", "1")], [("101", "1")])
    assert not binance.adapter.is_in_step, "the second update was dropped"
    binance.snapshot(2, [("99", "1")], [("101", "1")])
    assert binance.adapter.is_in_step
    assert sum(isinstance(tlv, L2Delta) for tlv in binance.sink.tlvs) == 5000


def test_a_message_that_makes_no_sense_may_have_been_one_to_hold_back() -> None:
    for nonsense, is_sound in ((b"{", False), (b'{"id":1}', True)):
        binance = Following()
        binance.update(11, 11)
        binance.adapter.receive(nonsense)
        binance.update(12, 12)
        binance.snapshot(10, [("99", "1")], [("101", "1")])
        assert binance.adapter.is_in_step is is_sound


def test_a_symbol_s_own_trouble_takes_nothing_from_what_was_held_back() -> None:
    binance = Following()
    binance.update(11, 11)
    fetch = Fetch("/api/v3/depth", "BTCUSDT", "snapshot")
    binance.adapter.answer(fetch, b"no json")
    binance.adapter.in_doubt(InvalidationReason.SILENT, "all of them")
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    assert binance.adapter.is_in_step
    assert binance.last == ([], []), "the update was there"


def test_a_second_snapshot_and_one_of_somebody_else_are_not_needed() -> None:
    binance = joined()
    binance.snapshot(50, [("5", "1")], [])
    binance.snapshot(50, [("5", "1")], [], "ETHUSDT")
    assert len(binance.sink.tlvs) == 1
    binance.update(11, 11)
    assert binance.adapter.is_in_step


def test_a_new_connection_forgets_what_was_held_back() -> None:
    binance = Following()
    binance.update(11, 11, [("98", "7")])
    binance.adapter.connected()
    binance.snapshot(10, [("99", "1")], [("101", "1")])
    assert [type(tlv) for tlv in binance.sink.tlvs] == [L2Snapshot]


def test_beyond_the_last_level_of_a_cut_off_snapshot_nothing_is_told() -> None:
    binance = Following()
    binance.snapshot(10, BIDS, ASKS)
    binance.update(
        11, 11,
        [("901", "2"), ("900.99", "2"), ("901.00000001", "2")],
        [("1100", "3"), ("1100.01", "3"), ("1099.99999999", "3")],
    )  # fmt: skip
    assert binance.last == (
        [("901", "2"), ("901.00000001", "2")], [("1100", "3"), ("1099.99999999", "3")],
    )  # fmt: skip


@pytest.mark.parametrize("cut", ["bids", "asks"])
def test_a_side_that_was_shown_whole_has_no_end(cut: str) -> None:
    bids, asks = (BIDS, ASKS[:99]) if cut == "bids" else (BIDS[:99], ASKS)
    binance = Following()
    binance.snapshot(10, bids, asks)
    binance.update(11, 11, [("1", "2")], [("9999", "3")])
    assert binance.last == (([], [("9999", "3")]) if cut == "bids" else ([("1", "2")], []))


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_new_snapshot_is_asked_for_when_a_tenth_of_the_levels_is_left(side: str) -> None:
    binance = Following()
    binance.snapshot(10, BIDS, ASKS)
    levels = BIDS if side == "bids" else ASKS
    gone = [(price, "0") for price, _ in levels[:90]]
    binance.update(11, 11, *((gone, []) if side == "bids" else ([], gone)))
    assert binance.adapter.is_in_step, "ten are left"
    eleventh: Pairs = [(levels[90][0], "0")]
    binance.update(12, 12, *((eleventh, []) if side == "bids" else ([], eleventh)))
    assert binance.doubts == {InvalidationReason.OVERFLOW: 1}
    assert not binance.adapter.is_in_step


def test_a_thin_book_that_was_shown_whole_stays() -> None:
    for bids, asks in ((BIDS[:1], ASKS), (BIDS, ASKS[:1]), (BIDS[:1], ASKS[:1])):
        binance = Following()
        binance.snapshot(10, bids, asks)
        binance.update(11, 11, [("999.5", "1")])
        assert binance.adapter.is_in_step


@pytest.mark.parametrize("is_first", [True, False])
def test_ticker_and_book_of_the_same_update_agree_or_the_book_is_in_doubt(is_first: bool) -> None:
    for bid, ask, is_sound in (
        (("99.5", "2"), ("101", "1"), True),
        (("99.5", "3"), ("101", "1"), False),
        (("99.5", "2"), ("101", "7"), False),
        (("99.4", "2"), ("101", "1"), False),
    ):
        binance = joined()
        if is_first:
            binance.ticker(11, bid, ask)
        binance.update(11, 11, [("99.5", "2")])
        if not is_first:
            binance.ticker(11, bid, ask)
        assert binance.adapter.is_in_step is is_sound
        assert binance.doubts == ({} if is_sound else {InvalidationReason.INCONSISTENT: 1})
        assert sum(isinstance(tlv, Quote) for tlv in binance.sink.tlvs) == 1


def test_ticker_and_book_of_different_updates_are_not_compared() -> None:
    binance = joined()
    for update in (9, 12):
        binance.ticker(update, ("1", "1"), ("2", "1"))
        assert binance.adapter.is_in_step
    binance.update(11, 11)
    assert binance.adapter.is_in_step
    binance.ticker(11, ("99", "1"), ("101", "1"))
    assert binance.adapter.is_in_step


def test_a_stale_book_is_not_compared() -> None:
    binance = Following()
    binance.update(11, 11)
    binance.ticker(11, ("99", "1"), ("101", "1"))
    assert not any(isinstance(tlv, StateInvalidation | Error) for tlv in binance.sink.tlvs)
    assert binance.adapter.last_doubt == ""
