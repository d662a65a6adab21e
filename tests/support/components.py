"""What a test needs beside Python: found, or named with the command that brings it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["SKIPPED", "missing", "reason"]

SKIPPED = "is missing; it comes with: "
"""Between a component and its command, in what a skipped test says; the summary reads it."""


def reason(component: str, command: str) -> str:
    """What to say of a test that needs ``component``."""
    return f"{component} {SKIPPED}{command}"


def missing(component: str, command: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there (``TORQ_REQUIRE_ALL=1``)."""
    said = reason(component, command)
    if os.environ.get("TORQ_REQUIRE_ALL") == "1":
        pytest.fail(said)
    pytest.skip(said)
