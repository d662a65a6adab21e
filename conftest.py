"""Fixtures for every test in the workspace."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from components import SKIPPED
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "torq", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("torq")


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A short private folder: pytest's own paths are too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="torq-t-"))
    yield folder
    shutil.rmtree(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long``: the runs that take minutes."""
    parser.addoption("--long", action="store_true", help="also run what takes many minutes")


@pytest.fixture
def long_run(request: pytest.FixtureRequest) -> None:
    """For tests that only ``--long`` asks for."""
    if not request.config.getoption("--long"):
        pytest.skip("takes many minutes; run with --long")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole instances first, for they take longest; the rest fits in beside and behind them."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e"))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say in closing what was not tested for want of a component, and how to get it."""
    wanted: Counter[str] = Counter()
    for report in terminalreporter.getreports("skipped"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if SKIPPED in why:
            wanted[why.removeprefix("Skipped: ")] += 1
    if wanted:
        terminalreporter.section("not tested", yellow=True)
    for why, count in sorted(wanted.items()):
        component, _, command = why.partition(f" {SKIPPED}")
        terminalreporter.line(f"{count} tests need {component}; it comes with:  {command}")
