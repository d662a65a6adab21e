"""The life of a client's connection, without any connection: time and the relay are the test's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torq_relays import Backoff
from torq_relays.client.link import Event, Link, State
from torq_relays.client.steps import HangUp, Open, Pause, Step, Steps, Write
from torq_types import ConnectionLostError, ErrorCode, RefusedError, TransportError

HELLO = Write(b"hello")
GONE, REFUSED = ConnectionLostError("nobody"), RefusedError(ErrorCode.SOURCE_TAKEN.name)


class World:
    """Performs steps against a script: what each attempt meets; None is a relay that answers."""

    def __init__(self, attempts: list[TransportError | None], timeout: float = 10.0, **how: bool):
        self.now = 1000.0
        self.attempts = attempts
        self.steps: list[Step] = []
        self.link = Link(
            Path("relay.sock"),
            timeout,
            retries_refusals=how.get("retries_refusals", False),
            clock=lambda: self.now,
            backoff=Backoff(first=0.01, most=0.5, chance=random.Random(1)),
        )

    def greet(self) -> Steps[None]:
        yield HELLO

    def connect(self, patience: float | None = None) -> None:
        steps = self.link.connect(self.greet, patience)
        problem: TransportError | None = None
        while True:
            try:
                step = steps.throw(problem) if problem is not None else next(steps)
            except StopIteration:
                return
            self.steps.append(step)
            problem = None
            if isinstance(step, Pause):
                assert step.seconds > 0
                self.now += step.seconds
            elif isinstance(step, Open | Write) and self.attempts:
                # A connection may be refused by the kernel, or by the relay's answer.
                met = self.attempts[0]
                if isinstance(step, Write) or isinstance(met, ConnectionLostError):
                    problem = self.attempts.pop(0)

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]


def test_the_first_attempt_is_made_at_once_and_leaves_nothing_open_before() -> None:
    world = World([None])
    world.connect()
    assert world.steps == [HangUp(), Open(), HELLO]
    assert world.link.is_up
    assert (world.link.connections, world.link.reconnects) == (1, 0)


def test_pauses_grow_while_nobody_answers_and_patience_ends_with_the_last_reason() -> None:
    world = World([GONE] * 1000, timeout=10.0)
    with pytest.raises(ConnectionLostError, match="nobody"):
        world.connect()
    assert world.link.state is State.AWAY
    assert world.link.problem == "nobody"
    assert 10.0 <= world.now - 1000.0 < 10.6
    assert world.pauses[0] <= 0.01
    assert all(0.25 <= pause <= 0.5 for pause in world.pauses[6:])
    # Behind every attempt the socket is closed.
    assert world.steps.count(HangUp()) == world.steps.count(Open()) + 1


def test_a_refusal_ends_a_search_unless_it_may_pass() -> None:
    world = World([REFUSED, None])
    with pytest.raises(RefusedError):
        world.connect()
    assert not world.pauses
    patient = World([REFUSED, REFUSED, None], retries_refusals=True)
    patient.connect()
    assert len(patient.pauses) == 2


def test_a_relay_that_lets_in_and_out_again_is_not_hammered_at() -> None:
    world = World([])
    for _ in range(20):
        world.connect()
        world.now += 0.9  # not long enough to count
    assert world.link.reconnects == 19
    assert len(world.pauses) == 19
    assert min(world.pauses[7:]) >= 0.25
    world.now += 60
    world.connect()
    assert len(world.pauses) == 19  # it lasted: the next attempt is made at once


def test_no_patience_is_one_attempt() -> None:
    world = World([GONE, GONE], timeout=0.0)
    with pytest.raises(ConnectionLostError):
        world.connect()
    assert world.steps == [HangUp(), Open(), HangUp()]
    assert world.link.next_pause() > 0  # whoever goes on searching waits a little


def test_who_leaves_in_the_middle_of_a_search_opens_nothing_more() -> None:
    world = World([GONE, None])
    for stop in (Open, Pause, Write):
        link = World([]).link
        steps = link.connect(world.greet)
        step = next(steps)
        while not isinstance(step, stop):
            step = steps.throw(GONE) if stop is Pause and isinstance(step, Open) else next(steps)
        link.happened(Event.LEFT)
        assert Open() not in list(steps)
        assert link.is_closed
        assert link.connections == 0
        with pytest.raises(ConnectionLostError, match="this publisher is closed"):
            link.require_open("publisher")
        assert set(link.connect(world.greet)) == {HangUp()}


@pytest.mark.parametrize("place", [Open, Write])
def test_a_socket_that_was_opened_for_who_has_left_is_closed(place: type[Step]) -> None:
    world = World([])
    steps = world.link.connect(world.greet)
    while not isinstance(next(steps), place):
        pass
    world.link.happened(Event.LEFT)
    if place is Write:  # what greets finds that it is closed
        assert steps.throw(ConnectionLostError("closed")) == HangUp()
    else:
        assert next(steps) == HangUp()
    assert not list(steps)


@pytest.mark.parametrize("place", [HangUp, Open, Write, Pause])
def test_a_search_within_a_search_is_the_one_that_counts(place: type[Step]) -> None:
    """A signal handler that sends in the middle of a search makes one of its own."""
    world = World([])
    outer = world.link.connect(world.greet)
    step = next(outer)
    while not isinstance(step, place):
        step = outer.throw(GONE) if place is Pause and isinstance(step, Open) else next(outer)
    world.connect()
    assert world.link.is_up
    rest = list(outer)
    assert world.link.is_up
    # Only where a socket was being opened is it uncertain whose it is: then both are closed.
    assert rest.count(Open()) == (1 if place is Open else 0)
    assert rest[:1] == ([HangUp()] if place is Open else [])


def test_a_search_within_a_search_that_fails_leaves_the_outer_one_to_go_on() -> None:
    world = World([GONE] * 100, timeout=60.0)
    outer = world.link.connect(world.greet)
    assert [next(outer), next(outer), next(outer)] == [HangUp(), Open(), HELLO]
    with pytest.raises(ConnectionLostError):
        world.connect(patience=0.1)
    assert outer.throw(GONE) == HangUp()
    assert isinstance(next(outer), Pause)
    assert list(outer)[-2:] == [Open(), HELLO]
    assert world.link.is_up


def test_answers_are_waited_for_no_longer_than_one_is_patient() -> None:
    for timeout, seconds in ((0.3, 0.3), (60.0, 5.0), (0.0, 5.0)):
        world = World([], timeout=timeout)
        world.connect()
        assert world.link.answer_seconds == seconds
    steps = world.link.connect(world.greet, 0.25)
    next(steps)
    assert world.link.answer_seconds == 0.25


@given(st.lists(st.sampled_from(list(Event)), max_size=12))
def test_whatever_happens_a_link_is_up_only_behind_a_greeting_of_an_open_socket(
    events: list[Event],
) -> None:
    link = Link(Path("relay.sock"), 0.0, retries_refusals=False)
    expected: list[Event] = []
    for event in events:
        before = link.state
        try:
            link.happened(event)
        except RuntimeError:
            assert link.state is before
            continue
        expected.append(event)
        if event is Event.LEFT or before is State.CLOSED:
            assert link.state is State.CLOSED
        elif event is Event.LOST:
            assert link.state is State.AWAY
        assert link.is_up == (expected[-2:] == [Event.OPENED, Event.GREETED] and not link.is_closed)
    if Event.LEFT not in expected:
        assert link.connections == expected.count(Event.GREETED)
