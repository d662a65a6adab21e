"""When a snapshot is asked for: at once, after a delay that doubles, or when patience is over.

Without jitter, so that the times can be written down: each delay is the longest it can be.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from scripted_exchange import Highest

from torq_services.adapters import Resynchroniser, ResyncPolicy


class Asked:
    """What is due, on a clock that is set by hand."""

    def __init__(self, chance: random.Random | None = None, **policy: float) -> None:
        self.now = 0.0
        values = {"first": 1.0, "most": 8.0, "patience": 10.0, "calm": 60.0} | policy
        self.resync = Resynchroniser(
            ResyncPolicy(**values),  # type: ignore[arg-type]
            lambda: self.now,
            chance or Highest(),
        )

    def until(self, end: float, step: float = 0.5) -> list[float]:
        """When something was due, looking every half second."""
        found = []
        while self.now <= end:
            if self.resync.due():
                found.append(self.now)
            self.now += step
        return found


def test_the_defaults() -> None:
    policy = ResyncPolicy()
    assert (policy.first, policy.most, policy.patience, policy.calm, policy.unanswered) == (
        0.5, 60, 10, 60, 3,
    )  # fmt: skip


def test_the_first_doubt_is_due_at_once_and_then_patience_begins() -> None:
    asked = Asked()
    assert asked.resync.next_due() is None
    asked.now = 5
    asked.resync.doubted("A")
    assert asked.resync.next_due() == 0
    assert asked.resync.due() == ["A"]
    assert asked.resync.due() == []
    assert asked.resync.next_due() == 10
    asked.now = 7
    assert asked.resync.next_due() == 8
    asked.now = 30
    assert asked.resync.next_due() == 0, "not below"


def test_snapshots_that_do_not_help_are_asked_for_less_and_less() -> None:
    """1, 2, 4, 8 seconds, and no more than that."""
    asked, found = Asked(), []
    for _ in range(7):
        asked.resync.doubted("A")
        while not asked.resync.due():
            asked.now += 0.5
        found.append(asked.now)
        asked.resync.verified("A")
    assert found == [0, 1, 3, 7, 15, 23, 31]
    assert asked.resync.requests == 7


def test_jitter_shortens_a_delay_to_a_half_at_most() -> None:
    chance = random.Random(3)
    gaps = set()
    for _ in range(50):
        asked = Asked(chance)
        for _ in range(2):
            asked.resync.doubted("A")
            started = asked.now
            while not asked.resync.due():
                asked.now += 0.01
            asked.resync.verified("A")
        gaps.add(round(asked.now - started, 1))
    assert min(gaps) >= 0.5
    assert max(gaps) <= 1.0
    assert len(gaps) > 4


def test_an_answer_that_was_no_good_is_asked_for_again_after_the_delay() -> None:
    """Not only when patience is over."""
    asked = Asked()
    asked.resync.doubted("A")
    assert asked.resync.due() == ["A"]
    asked.resync.doubted("A")
    assert asked.until(5) == [1]
    asked.now = 3
    asked.resync.doubted("A")  # the second attempt: 2 seconds from when it was asked for
    assert asked.until(9) == [3]


def test_what_is_on_its_way_is_asked_for_again_when_patience_is_over() -> None:
    asked = Asked(most=60)
    asked.resync.subscribed(["A", "B"])
    asked.resync.verified("B")
    assert asked.until(45) == [10, 20, 30, 40]
    asked = Asked(first=15, most=100)
    asked.resync.subscribed(["A"])
    assert asked.until(100) == [10, 25, 55], "a delay longer than patience counts"


def test_a_doubt_while_it_is_on_its_way_makes_it_no_later() -> None:
    asked = Asked(patience=3, first=100, most=100)
    asked.resync.subscribed(["A"])
    asked.resync.doubted("A")
    assert asked.until(5) == [3]


def test_a_doubt_while_it_is_on_its_way_begins_with_the_shortest_delay() -> None:
    asked = Asked()
    asked.now = 2
    asked.resync.subscribed(["A"])
    asked.resync.doubted("A")
    assert asked.until(8) == [3]


@pytest.mark.parametrize(("calm", "expected"), [(59.5, 4), (60, 0)])
def test_a_book_that_stayed_verified_begins_anew(calm: float, expected: float) -> None:
    asked = Asked(most=64)
    for _ in range(3):
        asked.resync.doubted("A")
        while not asked.resync.due():
            asked.now += 0.5
        asked.resync.verified("A")
    asked.now += calm
    asked.resync.doubted("A")
    # The third attempt was long ago: only what counts as an attempt shows the difference.
    assert asked.resync.due() == ["A"]
    asked.resync.verified("A")
    asked.resync.doubted("A")
    assert asked.resync.next_due() == (8 if expected else 1)


def test_instruments_do_not_wait_for_one_another() -> None:
    asked = Asked()
    for symbol in ("A", "B"):
        asked.resync.doubted(symbol)
    assert asked.resync.due() == ["A", "B"]
    asked.resync.verified("A")
    asked.resync.verified("B")
    asked.resync.doubted("B")
    asked.now = 1
    assert asked.resync.due() == ["B"]
    assert asked.resync.next_due() == 10
    asked.resync.doubted("C")
    assert asked.resync.next_due() == 0


def test_a_connection_that_never_answers_is_hopeless() -> None:
    """Three requests in a row without a snapshot are allowed."""
    asked = Asked()
    asked.resync.subscribed(["A", "B"])
    asked.resync.verified("B")
    for number in range(4):
        assert asked.resync.is_hopeless is False, number
        asked.now += 30
        assert asked.resync.due() == ["A"]
    assert asked.resync.is_hopeless
    asked.resync.verified("A")
    assert not asked.resync.is_hopeless
    asked.resync.doubted("A")
    asked.now += 100
    asked.resync.due()
    assert not asked.resync.is_hopeless, "a snapshot came: counted from the beginning"


def test_a_new_connection_has_all_its_patience() -> None:
    asked = Asked()
    asked.resync.doubted("A")
    for _ in range(4):
        asked.now += 30
        asked.resync.due()
    assert asked.resync.is_hopeless
    asked.resync.subscribed(["A"])
    assert not asked.resync.is_hopeless
    assert asked.resync.next_due() == 10


def test_gaps_never_exceed_the_longest_however_often_it_fails() -> None:
    asked, found = Asked(first=0.5, most=60), []
    for _ in range(40):
        asked.resync.doubted("A")
        while not asked.resync.due():
            asked.now += 0.5
        found.append(asked.now)
        asked.resync.verified("A")
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert gaps[:8] == [0.5, 1, 2, 4, 8, 16, 32, 60]
    assert set(gaps[8:]) == {60}


def test_the_clock_is_a_monotonic_one() -> None:
    resync = Resynchroniser(ResyncPolicy())
    resync.doubted("A")
    assert resync.due() == ["A"]
    due = resync.next_due()
    assert due is not None
    assert 9 < due <= 10
