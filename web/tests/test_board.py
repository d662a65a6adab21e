"""The board: what of a message is shown, what counts as a change, and when silence shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from accounts import chain_health, feed_health, relay_status

from torq_codec import format_instrument
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Economics,
    ExecutionReport,
    InstrumentId,
    SignalStatus,
    SwapHop,
    SwapPath,
    Venue,
)
from torq_web.board import SECTIONS, Board, Section

BUY = InstrumentId.pair(Venue.COINBASE, "ETH-USD")
SELL = InstrumentId.pair(Venue.KRAKEN, "ETH/USD")
# 2021-04-02 13:05:09.087 UTC
WHEN_NS = 1_617_368_709_087_654_321


def signal(
    status: SignalStatus = SignalStatus.OPENED, reason: CloseReason = CloseReason.NONE
) -> ArbitrageSignal:
    return ArbitrageSignal(
        buy_instrument=BUY,
        sell_instrument=SELL,
        opportunity_id=77,
        opened_ns=1,
        expires_ns=2,
        duration_ns=12_345_678_901,
        buy_price=Decimal64.parse("2000.10"),
        sell_price=Decimal64.parse("2003.5"),
        size=Decimal64.parse("1.2500"),
        status=status,
        close_reason=reason,
    )


ECONOMICS = Economics(4250, 1001, 0, 3249, 250_012_500, -3, "USD")


def test_a_signal_is_a_row_of_exact_text() -> None:
    board = Board()
    board.signal(signal(), ECONOMICS, None, "key", WHEN_NS)
    row = board.signals[0]
    assert (row.key, row.time, row.status, row.opportunity) == ("key", "13:05:09.087", "opened", 77)
    assert (row.buy, row.buy_price) == (format_instrument(BUY), "2000.10")
    assert (row.sell, row.sell_price) == (format_instrument(SELL), "2003.5")
    assert (row.size, row.gross, row.fees, row.net) == ("1.25", "4.25", "fees 1.001", "3.249")
    assert (row.currency, row.duration) == ("USD", "12.3 s")
    assert (row.reason, row.synthetic) == ("", False)


def test_a_signal_without_economics_does_not_invent_any() -> None:
    board = Board()
    board.signal(signal(), None, None, "key", 0)
    row = board.signals[0]
    assert (row.gross, row.fees, row.net, row.currency) == ("?", "fees ?", "?", "")
    path = SwapPath(7, bytes(32), 1, 1, 1, (SwapHop(1, 1, SELL, bytes(20), bytes(20)),))
    board.signal(signal(), None, path, "key", 0)
    row = board.signals[0]
    assert (row.size, row.fees, row.sell) == ("0", "gas 0", "")
    assert (row.buy_price, row.sell_price) == ("block 7", "")


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        (SignalStatus.CLOSED, CloseReason.VANISHED, "vanished"),
        (SignalStatus.CLOSED, CloseReason.NONE, ""),
        (SignalStatus.UPDATED, CloseReason.STALE, ""),
    ],
)
def test_only_what_has_ended_has_a_reason(
    status: SignalStatus, reason: CloseReason, shown: str
) -> None:
    board = Board()
    board.signal(signal(status, reason), ECONOMICS, None, "key", 0)
    assert board.signals[0].reason == shown


def test_a_path_is_told_in_the_order_of_its_pools() -> None:
    board = Board()
    pools = [InstrumentId.pool(Venue.CURVE, 1, bytes([n]) * 20) for n in (1, 2, 3)]
    hops = tuple(SwapHop(1, 1, pool, bytes(20), bytes(20)) for pool in pools)
    economics = Economics(10, 0, 3, 7, 55, -1, "WETH")
    board.signal(signal(), economics, SwapPath(9, bytes(32), 1, 1, 1, hops), "key", 0)
    row = board.signals[0]
    names = [format_instrument(pool) for pool in pools]
    assert (row.buy, row.sell) == (names[0], f"{names[1]} → {names[2]}")
    assert (row.size, row.fees, row.net) == ("5.5", "gas 0.3", "0.7")


def test_the_newest_stand_first_and_the_oldest_fall_out() -> None:
    board = Board()
    for number in range(60):
        board.signal(signal(), ECONOMICS, None, str(number), 0)
    assert [row.key for row in board.signals] == [str(n) for n in range(59, 9, -1)]
    for number in range(15):
        board.report(report(number, 5, 5))
    assert [row.opportunity for row in board.reports] == list(range(14, 4, -1))


def report(opportunity: int, predicted: int, realised: int) -> ExecutionReport:
    return ExecutionReport(
        opportunity_id=opportunity,
        predicted_net=predicted,
        realised_gross=0,
        realised_fees=0,
        realised_net=realised,
        exponent=-2,
        paper=1,
        currency="USD",
    )


def test_predicted_stands_beside_realised() -> None:
    board = Board()
    board.report(report(1, 150, -149))
    row = board.reports[0]
    assert (row.predicted, row.realised, row.currency) == ("1.5", "-1.49", "USD")
    assert not row.is_equal
    board.report(report(2, 150, 150))
    assert board.reports[0].is_equal


def test_every_change_is_counted_in_its_own_section() -> None:
    changes: list[tuple[Section, Callable[[Board], None]]] = [
        ("relays", lambda board: board.relay("signal", relay_status())),
        ("relays", lambda board: board.relay("signal", None)),
        ("venues", lambda board: board.venue(feed_health("kraken"), 0)),
        ("pools", lambda board: board.chain(chain_health("mainnet"), 0)),
        ("signals", lambda board: board.signal(signal(), ECONOMICS, None, "", 0)),
        ("execution", lambda board: board.report(report(1, 1, 1))),
        ("execution", lambda board: board.strategy("strategy-cross-exchange", {"signals": 1})),
    ]
    board = Board()
    for section, change in changes:
        before = dict(board.versions)
        change(board)
        moved = [name for name in SECTIONS if board.versions[name] != before.get(name, 0)]
        assert moved == [section]
    assert board.strategies == {"cross-exchange": {"signals": 1}}


def test_a_relay_that_answers_no_more_is_shown_so_once() -> None:
    board = Board()
    board.relay("signal", None)  # never there: a change, too
    assert board.relays == {"signal": None}
    board.relay("signal", None)
    assert board.versions["relays"] == 1
    board.relay("signal", relay_status())
    board.relay("signal", None)
    assert board.relays == {"signal": None}
    assert board.versions["relays"] == 3


def test_silence_shows_after_three_seconds_and_ends_with_a_word() -> None:
    board = Board()
    board.venue(feed_health("kraken"), 1_000)
    board.chain(chain_health("mainnet"), 2_000)
    board.check_silence(3_000_001_000)
    assert board.versions == {"venues": 1, "pools": 1}
    board.check_silence(3_000_001_001)
    assert board.venues["kraken"].is_silent
    assert not board.chains["mainnet"].is_silent
    assert board.versions == {"venues": 2, "pools": 1}
    board.check_silence(3_000_002_001)
    assert board.chains["mainnet"].is_silent
    assert board.versions == {"venues": 2, "pools": 2}
    board.check_silence(9_000_000_000)
    assert board.versions == {"venues": 2, "pools": 2}
    board.venue(feed_health("kraken"), 9_000_000_000)
    assert not board.venues["kraken"].is_silent
