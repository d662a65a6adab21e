"""When a feed does what: in virtual time, against an exchange that follows a script.

The feed looks at its clocks four times a second, and for requests forty times.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
import msgspec
import pytest
from picows import WSError, WSHandshakeError
from scripted_exchange import Plain, ScriptedExchange

from torq_services.adapters import CircuitBreaker, FeedSettings, VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Request, Send
from torq_types import InstrumentMeta, InvalidationReason, L2Snapshot, StateInvalidation


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> ScriptedExchange:
    return ScriptedExchange(monkeypatch)


def doubts(exchange: ScriptedExchange) -> list[tuple[float, InvalidationReason]]:
    return [
        (round(at, 2), tlv.reason)
        for at, tlv in exchange.sink.timed
        if isinstance(tlv, StateInvalidation)
    ]


def only_lists(exchange: ScriptedExchange) -> Callable[[str], httpx.Response]:
    """No REST request is answered but the first."""
    return lambda path: exchange.usual_answer(path) if path == "/list" else httpx.Response(404)


def change(exchange: ScriptedExchange, **values: float) -> None:
    exchange.settings = msgspec.structs.replace(exchange.settings, **values)


def test_it_lists_connects_subscribes_and_is_in_step(exchange: ScriptedExchange) -> None:
    def check() -> None:
        health = exchange.feed.health()
        assert (health.state, health.connects, health.pauses) == ("in step", 1, 0)
        assert health.age_ms == 400, "the last heartbeat came at 9.5 s"

    exchange.follow(9.9, check)
    assert exchange.asked == [(0, "/list"), (0, "subscribe")]
    assert exchange.told(InstrumentMeta) == [0]
    assert doubts(exchange) == [(9.9, InvalidationReason.SHUTDOWN)]
    assert exchange.transports[0].calls == ["close 1000", "disconnect", "waited"]
    assert exchange.feed.health().age_ms is None


def test_without_a_snapshot_it_is_not_in_step(exchange: ScriptedExchange) -> None:
    exchange.symbols = ("A", "B")
    exchange.script = lambda number: [(0, b"whole A"), (3, b"whole B"), (6, b"odd A")]
    exchange.answer = only_lists(exchange)
    states = []
    for seconds in (2.9, 3.3, 6.3):
        exchange.follow(seconds, lambda: states.append(exchange.feed.state))
    assert states == ["synchronising", "in step", "synchronising"]


class Talkative(Plain):
    def subscriptions(self) -> list[Request]:
        return [Send("subscribe")] * 6


def test_messages_go_out_no_faster_than_is_allowed(exchange: ScriptedExchange) -> None:
    """Two a second: two at once, then one every half second."""
    exchange.adapter_class = Talkative
    exchange.follow(5)
    assert exchange.times("subscribe") == [0, 0, 0.5, 1, 1.5, 2]


class Asking(Plain):
    def subscriptions(self) -> list[Request]:
        weights = (30, 20, 10, 30)
        return [*(Fetch(f"/{n}", "A", "snapshot", n) for n in weights), Send("subscribe")]


def test_rest_requests_weigh_no_more_than_is_allowed(exchange: ScriptedExchange) -> None:
    """60 a minute; the list costs 1. What is asked next waits for its turn too."""
    exchange.adapter_class = Asking
    exchange.script = lambda number: []
    exchange.follow(100)
    assert exchange.times("/30") == [0, 31]
    assert exchange.times("/20") == [0]
    assert exchange.times("/10") == [1]
    assert exchange.times("subscribe") == [31]


def test_an_exchange_that_only_speaks_when_asked_is_asked_once_a_heartbeat(
    exchange: ScriptedExchange,
) -> None:
    class Silent(Plain):
        heartbeat_seconds = 10
        question = "are you there?"

    exchange.adapter_class = Silent
    exchange.follow(48)
    assert exchange.times("are you there?") == pytest.approx([10, 20, 30, 40], abs=0.1)
    exchange.asked.clear()
    change(exchange, keepalive=4)
    exchange.follow(19)
    assert exchange.times("are you there?") == pytest.approx([4, 8, 12, 16], abs=0.1)


def test_who_speaks_unasked_is_not_asked(exchange: ScriptedExchange) -> None:
    exchange.follow(30)
    assert [text for _, text in exchange.asked] == ["/list", "subscribe"]


@pytest.mark.parametrize(
    ("is_in_step", "silence", "expected"),
    [(True, None, 5), (False, None, 15), (True, 2.0, 2), (False, 2.0, 12)],
)
def test_silence_ends_a_connection(
    exchange: ScriptedExchange, is_in_step: bool, silence: float | None, expected: float
) -> None:
    """Three heartbeats and two seconds; ten more until all books are in step."""
    exchange.beat = 0
    exchange.settings = msgspec.structs.replace(exchange.settings, silence=silence)
    if not is_in_step:
        exchange.script = lambda number: []
        exchange.policy = msgspec.structs.replace(exchange.policy, patience=100)
    exchange.follow(expected + 0.9)
    first, second = exchange.connections
    assert first == 0
    assert expected < second - 0.25 <= expected + 0.26, "and a quarter of a second's delay"
    if is_in_step:
        assert doubts(exchange)[0][1] is InvalidationReason.SILENT
    assert exchange.adapter.last_doubt.startswith(("shutdown", "silent"))


def test_one_message_now_and_then_is_enough(exchange: ScriptedExchange) -> None:
    exchange.beat = 4.9
    exchange.follow(60)
    assert exchange.connections == [0]


def test_verified_books_are_told_again_for_late_readers(exchange: ScriptedExchange) -> None:
    exchange.settings = FeedSettings(audit=0)
    exchange.follow(100)
    assert exchange.told(L2Snapshot) == [0, 30, 60, 90]
    assert exchange.told(InstrumentMeta) == [0, 30, 60, 90]
    change(exchange, repeat=7)
    exchange.follow(20)
    assert exchange.told(L2Snapshot) == [0, 7, 14]


def test_the_list_is_read_again_once_an_hour(exchange: ScriptedExchange) -> None:
    exchange.settings = FeedSettings(audit=0, repeat=1000, tick=10)
    exchange.beat = 4
    exchange.follow(8500)
    assert exchange.times("/list") == [0, 4000, 8000]
    assert exchange.told(InstrumentMeta)[:5] == [0, 1000, 2000, 3000, 4000]


def test_a_list_that_cannot_be_read_later_stays_as_it_was(exchange: ScriptedExchange) -> None:
    change(exchange, repeat=10, relist=20)
    texts = iter(("A", "?", "A", "A"))

    def answer(path: str) -> httpx.Response:
        text = next(texts)
        return httpx.Response(500 if text == "" else 200, text=text)

    exchange.answer = answer
    exchange.follow(65)
    assert exchange.times("/list") == [0, 20, 40, 60]
    assert doubts(exchange) == [(65, InvalidationReason.SHUTDOWN)]


def test_what_is_not_listed_any_more_is_followed_no_more(exchange: ScriptedExchange) -> None:
    exchange.symbols = ("A", "B")
    change(exchange, repeat=10, relist=20)
    texts = iter(("A B", "A"))
    exchange.answer = lambda path: httpx.Response(200, text=next(texts))
    exchange.follow(25, lambda: list_is(exchange, "A"))
    assert doubts(exchange)[0] == (20, InvalidationReason.HALTED)


def list_is(exchange: ScriptedExchange, *symbols: str) -> None:
    assert tuple(exchange.adapter.books) == symbols


class Piecemeal(Plain):
    def listing_paths(self) -> list[str]:
        return [f"/list/{symbol}" for symbol in self._wanted]


def test_of_several_lists_one_may_be_missing(exchange: ScriptedExchange) -> None:
    exchange.adapter_class, exchange.symbols = Piecemeal, ("A", "B")
    exchange.script = lambda number: [(0, b"whole A")]
    exchange.answer = lambda path: httpx.Response(404 if path.endswith("B") else 200, text="A")
    exchange.follow(5, lambda: list_is(exchange, "A"))
    assert [text for _, text in exchange.asked] == ["/list/A", "/list/B", "subscribe"]
    assert list(exchange.adapter.unlisted) == ["B"]
    assert exchange.connections == [0]


def test_without_its_only_list_it_does_not_begin(exchange: ScriptedExchange) -> None:
    exchange.answer = lambda path: httpx.Response(404)
    exchange.follow(1.5)
    assert exchange.times("/list") == [0, 0.25, 0.75]
    assert exchange.connections == []
    exchange.asked.clear()
    exchange.symbols, exchange.adapter_class = ("A",), Piecemeal
    exchange.follow(1.5)
    assert exchange.connections == []


def test_a_list_that_makes_no_sense_is_read_again(exchange: ScriptedExchange) -> None:
    texts = iter(("?", "A"))
    exchange.answer = lambda path: httpx.Response(200, text=next(texts))
    seen = []
    exchange.follow(0.2, lambda: seen.append(exchange.adapter.last_doubt))
    assert seen == ["disconnected: the list of instruments cannot be read: KeyError: '?'"]
    texts = iter(("?", "A"))
    exchange.asked.clear()
    exchange.follow(5)
    assert exchange.times("/list") == [0, 0.25]


def test_a_connection_that_breaks_off_is_made_again(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (2, b"end")]
    exchange.follow(10)
    assert exchange.connections == [0, 2.25, 4.5, 6.75, 9], "in step each time: no longer delays"
    assert exchange.times("/list") == [0], "listed already"
    assert [at for at, reason in doubts(exchange) if reason.name == "DISCONNECTED"] == [
        2, 4.25, 6.5, 8.75,
    ]  # fmt: skip


def test_delays_double_until_it_is_in_step(exchange: ScriptedExchange) -> None:
    exchange.breaker = CircuitBreaker(failures=100)
    exchange.script = lambda number: (
        [(0, b"whole A"), (1, b"end")] if number == 5 else [(0, b"end")]
    )
    exchange.follow(7.9)
    assert exchange.connections == [0, 0.25, 0.75, 1.75, 3.75, 5, 5.5, 6.5]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (OSError("no route"), "disconnected: OSError: no route"),
        (WSError("odd"), "disconnected: WSError: odd"),
        (
            WSHandshakeError("status 500"),
            "disconnected: the exchange refused the connection: status 500",
        ),
        (TimeoutError(), "silent: nothing was heard for too long"),
    ],
)
def test_what_keeps_it_from_connecting_is_said(
    exchange: ScriptedExchange, error: Exception, detail: str
) -> None:
    exchange.refusals = [error]
    exchange.follow(0.2, lambda: said(exchange, detail))
    exchange.connections.clear()
    exchange.refusals = [error]
    exchange.follow(5)
    assert exchange.connections == [0, 0.25]


def said(exchange: ScriptedExchange, detail: str) -> None:
    assert exchange.adapter.last_doubt == detail
    assert exchange.feed.state == "waiting"


def test_after_eight_failures_in_a_row_it_rests(exchange: ScriptedExchange) -> None:
    """Fifteen seconds; one failure more, and again."""
    exchange.refusals = [OSError("no")] * 9
    exchange.follow(120)
    *_, eighth, ninth, tenth = exchange.connections
    assert len(exchange.connections) == 10
    assert ninth - eighth == 30, "the delay has grown beyond it"
    assert tenth - ninth == 30
    assert exchange.breaker.trips == 2
    exchange.connections.clear()
    exchange.breaker = CircuitBreaker(failures=2, open_seconds=50)
    exchange.refusals = [OSError("no")] * 3
    exchange.follow(150)
    assert exchange.connections == [0, 0.25, 50.25, 100.25]


class Status(msgspec.Struct):
    status: int


@pytest.mark.parametrize(("status", "expected"), [(418, 60), (429, 60), (503, 0.25)])
def test_who_is_told_of_too_many_connections_waits_a_minute(
    exchange: ScriptedExchange, status: int, expected: float
) -> None:
    response = Status(status)
    exchange.refusals = [WSHandshakeError("no", None, None, response)]  # type: ignore[arg-type]
    exchange.follow(70)
    assert exchange.connections == [0, expected]


@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        (429, "7", 7), (418, "7", 7), (429, "", 60), (429, "soon", 60), (429, "²", 60),
        (503, "7", 0.25),
    ],
)  # fmt: skip
def test_the_list_s_refusal_is_heeded(
    exchange: ScriptedExchange, status: int, asked: str, expected: float
) -> None:
    headers = [(b"Retry-After", asked.encode())] if asked else []
    answers = iter((httpx.Response(status, headers=headers), httpx.Response(200, text="A")))
    exchange.answer = lambda path: next(answers)
    exchange.follow(70)
    assert exchange.times("/list") == [0, expected]
    assert exchange.breaker.trips == (0 if status == 503 else 1)


def test_a_refused_request_stops_all_requests_for_as_long(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (1, b"odd A"), (2, b"slower 0")]

    def answer(path: str) -> httpx.Response:
        if path == "/whole/A" and len(exchange.times(path)) == 1:
            return httpx.Response(429, headers={"Retry-After": "20"})
        return exchange.usual_answer(path)

    exchange.answer = answer
    seen: list[str] = []
    exchange.follow(1.9, lambda: seen.append(exchange.adapter.last_doubt))
    assert seen == ["A: HTTP 429"]
    exchange.asked.clear()
    exchange.breaker = CircuitBreaker()
    exchange.follow(30)
    first, second = exchange.times("/whole/A")
    assert first == pytest.approx(1, abs=0.3)
    assert second == pytest.approx(first + 20, abs=0.3)
    assert exchange.connections[-1:] == [0], "the connection goes on"


def test_while_nothing_can_be_asked_for_nothing_piles_up(exchange: ScriptedExchange) -> None:
    """In a pause of a minute, patience for four requests would run out."""
    exchange.script = lambda number: [(0, b"whole A"), (1, b"slower 60"), (2, b"odd A")]
    exchange.follow(70, lambda: is_in_step(exchange))
    assert exchange.times("/whole/A") == pytest.approx([61], abs=0.6)
    assert exchange.connections == [0]


def test_a_pause_asked_for_over_the_connection_is_kept(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (1, b"slower 12"), (2, b"odd A")]
    exchange.follow(30)
    assert exchange.times("/whole/A") == pytest.approx([13], abs=0.3)
    assert exchange.breaker.trips == 1
    assert exchange.adapter.pause_seconds == 0
    assert exchange.connections == [0]


@pytest.mark.parametrize("kind", ["status", "network"])
def test_a_request_that_fails_is_made_again(exchange: ScriptedExchange, kind: str) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (1, b"odd A")]

    def answer(path: str) -> httpx.Response:
        if path == "/whole/A" and len(exchange.times(path)) == 1:
            if kind == "network":
                raise httpx.ConnectError("no route")
            return httpx.Response(500)
        return exchange.usual_answer(path)

    exchange.answer = answer
    exchange.follow(10, lambda: is_in_step(exchange))
    first, second = exchange.times("/whole/A")
    assert second == pytest.approx(first + 0.5, abs=0.3), "not only when patience is over"
    assert exchange.breaker.trips == 0


def is_in_step(exchange: ScriptedExchange) -> None:
    assert exchange.feed.state == "in step"


def test_what_went_wrong_with_a_request_is_said(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (1, b"odd A")]

    def answer(path: str) -> httpx.Response:
        if path == "/whole/A":
            raise httpx.ConnectError("no route")
        return exchange.usual_answer(path)

    exchange.answer = answer
    seen: list[str] = []
    exchange.follow(1.4, lambda: seen.append(exchange.adapter.last_doubt))
    assert seen == ["A: ConnectError: no route"]


def test_a_connection_that_never_answers_is_given_up(exchange: ScriptedExchange) -> None:
    """Ten seconds of patience, then delays of 5, 10 and 20: a fourth request is hopeless."""
    exchange.script = lambda number: []
    exchange.answer = only_lists(exchange)
    exchange.policy = msgspec.structs.replace(exchange.policy, first=5)
    exchange.follow(60)
    assert exchange.times("/whole/A")[:3] == pytest.approx([10, 15, 25], abs=0.8)
    assert exchange.connections[1] == pytest.approx(45, abs=1.2)


def test_books_are_compared_in_turn_one_at_a_time(exchange: ScriptedExchange) -> None:
    exchange.symbols = ("A", "B")
    change(exchange, audit=20, settle=3)
    exchange.follow(35)
    assert exchange.times("/audit/A") == pytest.approx([0, 20], abs=0.8)
    assert exchange.times("/audit/B") == pytest.approx([10, 30], abs=0.8)
    assert exchange.adapter.counters.audits == 4
    assert {reason for _, reason in doubts(exchange)} == {InvalidationReason.SHUTDOWN}


def test_the_verdict_comes_a_moment_after_the_answer(exchange: ScriptedExchange) -> None:
    change(exchange, audit=20)
    exchange.answer = lambda path: (
        exchange.usual_answer(path) if "audit" not in path else httpx.Response(200, text="2")
    )
    exchange.follow(4)
    at, reason = doubts(exchange)[0]
    assert reason is InvalidationReason.AUDIT
    assert at == pytest.approx(exchange.times("/audit/A")[0] + 1, abs=0.1)
    assert exchange.times("/whole/A") == pytest.approx([at], abs=0.1), "asked for at once"


def test_an_audit_that_takes_long_delays_the_next(exchange: ScriptedExchange) -> None:
    change(exchange, audit=2, settle=5)
    exchange.follow(13)
    assert exchange.times("/audit/A") == pytest.approx([0, 5.25, 10.5], abs=0.6)


def test_an_exchange_whose_feed_proves_itself_is_not_compared(exchange: ScriptedExchange) -> None:
    exchange.settings = FeedSettings(repeat=10_000)
    exchange.follow(400)
    assert exchange.times("/audit/A") == []

    class Doubtful(Plain):
        audit_seconds = 100

    exchange.adapter_class = Doubtful
    exchange.asked.clear()
    exchange.follow(250)
    assert exchange.times("/audit/A") == pytest.approx([0, 100, 200], abs=0.6)


def test_a_fault_of_ours_ends_the_feed_and_says_so(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (1, b"bug")]
    with pytest.raises(RuntimeError, match="a bug"):
        exchange.follow(30)
    assert doubts(exchange) == [(1, InvalidationReason.SHUTDOWN)]
    assert exchange.connections == [0]


def test_nothing_is_compared_during_a_pause(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A"), (7.2, b"slower 60")]
    change(exchange, audit=5)
    exchange.follow(80)
    assert exchange.times("/audit/A") == [0, 5, 67.25, 72.25, 77.25]


def test_a_comparison_that_is_refused_is_not_made_again_before_it_may_be(
    exchange: ScriptedExchange,
) -> None:
    exchange.script = lambda number: [(0, b"whole A")]
    exchange.answer = lambda path: (
        httpx.Response(429, headers={"Retry-After": "60"})
        if path == "/audit/A"
        else exchange.usual_answer(path)
    )
    change(exchange, audit=5)
    exchange.follow(80)
    assert exchange.times("/audit/A") == [0, 60]


class _AskingForMuch(Plain):
    def subscriptions(self) -> list[Request]:
        wanted = [Fetch(f"/{name}", "A", "snapshot", 30) for name in "abcde"]
        return [Send("subscribe"), *wanted]


def test_who_has_waited_for_weight_waits_for_a_pause_that_began_meanwhile(
    exchange: ScriptedExchange,
) -> None:
    exchange.adapter_class = _AskingForMuch
    exchange.script = lambda number: [(0, b"whole A"), (10, b"slower 300"), (200, b"slower 200")]
    exchange.follow(450)
    times = [round(exchange.times(f"/{name}")[0]) for name in "abcde"]
    assert times == [0, 1, 400, 400, 400]


class _SilentUnlessAsked(Plain):
    heartbeat_seconds = 10
    question = "are you there?"


def test_a_pause_does_not_keep_it_from_asking_who_is_there(exchange: ScriptedExchange) -> None:
    exchange.adapter_class = _SilentUnlessAsked
    exchange.script = lambda number: [(0, b"whole A"), (5, b"slower 60")]
    exchange.follow(65)
    assert exchange.times("are you there?") == [10, 20, 30, 40, 50, 60]


def test_a_refusal_of_the_list_read_again_is_heeded(exchange: ScriptedExchange) -> None:
    exchange.script = lambda number: [(0, b"whole A")]
    exchange.answer = lambda path: (
        httpx.Response(429, headers={"Retry-After": "60"})
        if len(exchange.times("/list")) > 1
        else exchange.usual_answer(path)
    )
    change(exchange, relist=20, repeat=5)
    exchange.follow(100)
    assert exchange.times("/list") == [0, 20, 80]
    assert exchange.breaker.trips == 2


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("3600", 3600),
        ("3601", 3600),
        ("1767225600", 3600),
        ("9" * 18, 3600),
        ("9" * 400, 3600),
        ("9" * 5000, 3600),
        ("-1", 60),
        ("\u0663", 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
    ],
)
def test_no_pause_is_longer_than_an_hour(
    asked: str, seconds: int, exchange: ScriptedExchange
) -> None:
    headers = [(b"Retry-After", asked.encode())]
    exchange.answer = lambda path: httpx.Response(429, headers=headers)
    exchange.follow(3700)
    assert exchange.times("/list")[:2] == [0, seconds]


def test_the_limits_are_the_adapter_s(exchange: ScriptedExchange) -> None:
    class Slow(Talkative):
        limits = VenueLimits(messages_per_second=1, weight_per_minute=60)

    exchange.adapter_class = Slow
    exchange.follow(4.5)
    assert exchange.times("subscribe") == [0, 1, 2, 3, 4]
