"""One exchange under faults for as long as asked; prints what became of it as JSON.

By hand: ``PYTHONPATH=tests/support uv run python tests/support/soak.py kraken 60 5000 1``: name,
seconds, updates a second, seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections import Counter

import msgspec
import psutil
import structlog
import uvloop

from torq_services.venues.simulated import fault_plan
from torq_services.venues.simulated.trial import EXCHANGES, QUICK, UNSEEN, Trial, possible_faults

__all__ = ["Report"]

_SECONDS_PER_FAULT = 3
_SECONDS_PER_SAMPLE = 10
_STATES = 20_000
_PATIENCE = 120
"""Seconds: whoever asks too often waits for the exchange's limits."""


class Report(msgspec.Struct):
    """What a soak has seen."""

    name: str
    seconds: float = 0
    updates: int = 0
    faults: dict[str, int] = {}
    wrong: list[str] = []
    stale: int = 0
    connects: int = 0
    resyncs: int = 0
    resident_mib: list[int] = []
    """At the beginning and every few seconds, whenever the market rests."""
    tasks: list[int] = []


async def soak(name: str, seconds: int, per_second: int, seed: int) -> Report:
    """Trade, break, recover."""
    kinds = set(possible_faults(name)) - UNSEEN.get(name, set())
    plan = fault_plan(seed, kinds, seconds * per_second, seconds // _SECONDS_PER_FAULT)
    trial = Trial(EXCHANGES[name], seed, plan, remembers=_STATES)
    report, loop = Report(name), asyncio.get_running_loop()
    async with trial.running(msgspec.structs.replace(QUICK, repeat=5)):
        tasks = len(asyncio.all_tasks())
        start = loop.time()
        while loop.time() < start + seconds:
            sample = loop.time() + min(_SECONDS_PER_SAMPLE, seconds / 2)
            while loop.time() < min(sample, start + seconds):
                await trial.venue.trade(per_second // 20, per_second=per_second)
                report.updates += per_second // 20
            await trial.settled(_PATIENCE)
            gc.collect()
            report.resident_mib.append(psutil.Process().memory_info().rss >> 20)
        report.seconds = loop.time() - start
        trial.venue.faults.call_off()
        await trial.settled(_PATIENCE)
        await trial.until(lambda: len(asyncio.all_tasks()) <= tasks, "tasks that end")
        report.tasks = [tasks, len(asyncio.all_tasks())]
    report.faults = dict(Counter(fault.value for _, fault in trial.venue.faults.done))
    report.wrong, report.stale = trial.witness.wrong[:5], trial.witness.stale
    report.connects, report.resyncs = trial.feed.connects, trial.adapter.resync.requests
    return report


def main() -> None:
    """Run one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    name, *numbers = sys.argv[1:]
    report = uvloop.run(soak(name, *map(int, numbers)))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
