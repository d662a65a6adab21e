"""Fixtures for every test in the workspace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A short private folder: pytest's own paths are too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="torq-t-"))
    yield folder
    shutil.rmtree(folder)
