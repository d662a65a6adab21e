"""An opportunity's life by the clock: what is announced when, with which numbers and cause."""

from __future__ import annotations

from markets import Source

from torq_relays import CollectingSink
from torq_services.strategies import Opportunities, Stage
from torq_types import (
    TLV,
    CloseReason,
    Domain,
    Header,
    SignalIdentity,
    SignalStatus,
    StateReference,
)

IDENTITY = SignalIdentity(7, "test", "3")
OPENED, UPDATED, CLOSED = SignalStatus.OPENED, SignalStatus.UPDATED, SignalStatus.CLOSED


class Told:
    """Opportunities of texts that are worth an integer, a time to live of 100, updates every 10."""

    def __init__(self, first_id: int = 1) -> None:
        self.sink = CollectingSink()
        self.stages: list[tuple[str, int, Stage]] = []
        self.all = Opportunities[str, int](
            self.sink, IDENTITY, self._describe, first_id=first_id, time_to_live_ns=100,
            update_interval_ns=10,
        )  # fmt: skip
        self.source = Source(5)

    def _describe(self, key: str, value: int, stage: Stage) -> tuple[TLV, ...]:
        self.stages.append((key, value, stage))
        return ()

    def cause(self, now_ns: int = 0) -> Header:
        """The header of the next message."""
        self.source.now_ns = now_ns
        return self.source.message().header

    @property
    def lives(self) -> list[tuple[str, int, SignalStatus]]:
        return [(key, value, stage.status) for key, value, stage in self.stages]

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.all.opened, self.all.updated, self.all.closed


def test_every_number_of_a_life() -> None:
    told = Told(first_id=40)
    told.all.found("a", 5, told.cause(990), 1000)
    told.all.found("b", 6, told.cause(995), 1001)
    told.all.found("a", 7, told.cause(1015), 1020)
    told.all.ended("a", CloseReason.VANISHED, told.cause(1030), 1035)
    assert [stage for _, _, stage in told.stages] == [
        Stage(40, 1000, 1100, 0, OPENED, CloseReason.NONE),
        Stage(41, 1001, 1101, 0, OPENED, CloseReason.NONE),
        Stage(40, 1000, 1120, 20, UPDATED, CloseReason.NONE),
        Stage(40, 1000, 1035, 35, CLOSED, CloseReason.VANISHED),
    ]
    assert told.sink.messages == [
        (StateReference(1, 990, 5, Domain.MARKET_DATA), IDENTITY),
        (StateReference(2, 995, 5, Domain.MARKET_DATA), IDENTITY),
        (StateReference(3, 1015, 5, Domain.MARKET_DATA), IDENTITY),
        (StateReference(4, 1030, 5, Domain.MARKET_DATA), IDENTITY),
    ]
    assert told.counts == (2, 1, 1)
    told.all.found("a", 5, told.cause(), 1050)
    assert told.stages[-1][2].opportunity_id == 42


def test_an_update_waits_for_its_interval_and_is_told_as_it_is_then() -> None:
    told = Told()
    told.all.found("a", 5, told.cause(), 1000)
    told.all.found("a", 6, told.cause(), 1009)
    told.all.found("a", 7, told.cause(), 1009)
    told.all.time_passed(1009)
    assert told.lives == [("a", 5, OPENED)]
    assert told.all.open_values == (("a", 7),)
    told.all.time_passed(1010)
    assert told.lives[1:] == [("a", 7, UPDATED)]
    assert told.sink.messages[-1][0] == StateReference(3, 0, 5, Domain.MARKET_DATA)
    # The next interval begins with what was announced.
    told.all.found("a", 8, told.cause(), 1019)
    assert len(told.stages) == 2
    told.all.found("a", 9, told.cause(), 1020)
    assert told.lives[2:] == [("a", 9, UPDATED)]
    told.all.time_passed(5000)
    assert told.counts == (1, 2, 0)


def test_what_stands_still_is_told_once() -> None:
    told = Told()
    for now_ns in (1000, 1500, 2000):
        told.all.found("a", 5, told.cause(), now_ns)
        told.all.time_passed(now_ns + 100)
    assert told.lives == [("a", 5, OPENED)]
    # There and back within the interval is nothing to tell.
    told.all.time_passed(2100)
    told.all.found("a", 6, told.cause(), 2100)
    assert told.counts == (1, 1, 0)
    told.all.found("a", 7, told.cause(), 2101)
    told.all.found("a", 6, told.cause(), 2102)
    told.all.time_passed(9000)
    assert told.counts == (1, 1, 0)


def test_an_end_that_no_message_caused_names_the_last_one() -> None:
    told = Told()
    told.all.found("a", 5, told.cause(), 1000)
    told.all.found("a", 6, told.cause(), 1001)
    told.all.ended("a", CloseReason.EXPIRED, None, 1002)
    assert told.lives == [("a", 5, OPENED), ("a", 6, CLOSED)]
    assert told.stages[-1][2].close_reason is CloseReason.EXPIRED
    assert told.sink.messages[-1][0] == StateReference(2, 0, 5, Domain.MARKET_DATA)


def test_what_is_not_open_does_not_end() -> None:
    told = Told()
    told.all.ended("a", CloseReason.STALE, None, 1000)
    assert (told.stages, told.counts) == ([], (0, 0, 0))
    told.all.found("b", 1, told.cause(), 1000)
    told.all.found("a", 2, told.cause(), 1000)
    assert list(told.all.open_keys) == ["b", "a"]
    told.all.ended("b", CloseReason.STALE, None, 1001)
    told.all.ended("b", CloseReason.STALE, None, 1002)
    assert list(told.all.open_keys) == ["a"]
    assert told.counts == (2, 0, 1)
