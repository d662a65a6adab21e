"""Every fault on every exchange: stale before anything wrong is published, and true in the end."""

from __future__ import annotations

import asyncio

import pytest

from torq_services.venues.simulated import Fault, FaultLine, fault_plan
from torq_services.venues.simulated.trial import EXCHANGES, UNSEEN, possible_faults, trial

AT_ONCE = 6


async def survive(name: str, seed: int, kinds: set[Fault], count: int) -> None:
    attempt = trial(name, seed, kinds, count=count)
    async with attempt.running():
        await attempt.trade_through_faults()
    done = {fault for _, fault in attempt.venue.faults.done}
    if not done & UNSEEN.get(name, set()):
        assert not attempt.witness.wrong, (name, seed, done, attempt.witness.wrong[:3])


@pytest.mark.parametrize("name", EXCHANGES)
async def test_each_fault_alone(name: str) -> None:
    faults = possible_faults(name)
    for first in range(0, len(faults), AT_ONCE):
        async with asyncio.TaskGroup() as runs:
            for seed, fault in enumerate(faults[first : first + AT_ONCE], first):
                runs.create_task(survive(name, seed, {fault}, 1))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", EXCHANGES)
async def test_seeded_scripts_of_faults(name: str, request: pytest.FixtureRequest) -> None:
    """50 scripts over the four exchanges; with ``--long`` a thousand."""
    scripts = 250 if request.config.getoption("--long") else 13
    faults = set(possible_faults(name))
    for first in range(0, scripts, AT_ONCE):
        batch = range(first, min(first + AT_ONCE, scripts))
        async with asyncio.TaskGroup() as runs:
            for seed in batch:
                runs.create_task(survive(name, 1000 + seed, faults, 4))


async def test_the_same_seed_is_the_same_script() -> None:
    scripts = [fault_plan(7, possible_faults("kraken"), 200, 6) for _ in range(2)]
    assert scripts[0] == scripts[1] != fault_plan(8, possible_faults("kraken"), 200, 6)
    done = []
    for _ in range(2):
        line = FaultLine(dict(scripts[0]), trial("kraken", 7, [Fault.DROP], count=1).venue, 7)
        done.append([line.actions('{"channel":"heartbeat"}') for _ in range(300)])
    assert done[0] == done[1]


async def test_a_book_that_is_wrong_is_seen_by_the_witness() -> None:
    """The judge of all these tests can say no."""
    attempt = trial("gemini", 3, {Fault.DELAY}, count=1)
    async with attempt.running():
        symbol = attempt.exchange.symbols[0]
        book = attempt.adapter.books[symbol]
        best = book.book.best_bid
        assert best is not None
        book.delta((best.removal,), ())
        assert "a book that never was" in attempt.witness.wrong[0]
