"""A pytest plugin that writes how long each test took: ``--durations-file FILE``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to."""
    parser.addoption("--durations-file", type=Path)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Setup, call and teardown."""
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write them."""
    session.config.getoption("--durations-file").write_bytes(msgspec.json.encode(_seconds))
