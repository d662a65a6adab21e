"""One node for each test process; every test deploys contracts of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from evm import Chain, any_chain


@pytest.fixture(scope="session")
def chain() -> Iterator[Chain]:
    """A real EVM."""
    with any_chain() as found:
        yield found
