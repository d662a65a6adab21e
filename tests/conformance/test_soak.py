"""Four venues, 20,000 updates a second together, a fault every three seconds in each."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest
from soak import Report

from torq_services.venues.simulated.trial import EXCHANGES

_SUPPORT = Path(__file__).parents[1] / "support"
_SECONDS = 600
_PER_SECOND = 5400
"""In each venue. The pauses in which books are compared take some of it: 20,000 are left."""
_SEED = 20
_GROWTH_MIB = 16


async def soaked(name: str, seconds: int, per_second: int) -> Report:
    """One venue and its feed in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_SUPPORT / "soak.py"), name, str(seconds), str(per_second), str(_SEED),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_SUPPORT)},
    )  # fmt: skip
    try:
        out, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{name}: {problems.decode()[-2000:]}"
    return msgspec.json.decode(out, type=Report)


def judge(report: Report) -> None:
    """Nothing was silently wrong, nothing is left over, and it did happen."""
    assert report.wrong == []
    assert sum(report.faults.values()) > 0
    assert report.stale > 0
    before, after = report.tasks
    assert after <= before


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("long_run")
async def test_ten_minutes_of_four_venues_under_faults() -> None:
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(soaked(name, _SECONDS, _PER_SECOND)) for name in EXCHANGES]
    for report in [run.result() for run in runs]:
        judge(report)
        # What is remembered of the market fills up in the first minute.
        calm = report.resident_mib[len(report.resident_mib) // 4 :]
        assert calm[-1] - calm[0] <= _GROWTH_MIB, report.resident_mib
        sys.stdout.write(
            f"{report.name}: {report.updates / report.seconds:,.0f} updates/s,"
            f" {sum(report.faults.values())} faults, {report.stale} times stale,"
            f" {report.connects} connections, {calm[0]} to {calm[-1]} MiB\n"
        )


async def test_a_short_soak_of_one_venue() -> None:
    judge(await soaked("gemini", 6, 500))
