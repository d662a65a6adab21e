"""``torq demo faults``: what a newcomer sees of books that prove themselves."""

from __future__ import annotations

from typing import Any

import pytest

from torq_services.demos import faults as fault_demo
from torq_services.demos.faults import demonstrate_faults
from torq_services.venues.simulated import Fault
from torq_services.venues.simulated.trial import Trial
from torq_types import ConfigError


def test_the_same_seed_tells_the_same_faults() -> None:
    told: list[list[str]] = []
    for _ in range(2):
        said: list[str] = []
        assert demonstrate_faults("coinbase", 4, 2, said.append)
        told.append([line.partition(": ")[2] for line in said if line.startswith("message ")])
        assert "books that never were true: 0" in said[-1]
    assert told[0] == told[1]
    assert len(told[0]) == 2


def test_what_gemini_cannot_show_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_demo, "possible_faults", lambda name: [Fault.DUPLICATE])
    said: list[str] = []
    assert demonstrate_faults("gemini", 4, 1, said.append)
    assert "gemini numbers nothing" in said[-1]


def test_a_wrong_book_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Trial.settled

    async def spoiled(trial: Trial, *seconds: Any) -> None:
        await settled(trial, *seconds)
        trial.witness.wrong.append("for the test")

    monkeypatch.setattr(Trial, "settled", spoiled)
    assert not demonstrate_faults("kraken", 4, 1, lambda line: None)


@pytest.mark.parametrize(("exchange", "faults"), [("nosuch", 1), ("kraken", 0)])
def test_mistakes_are_said(exchange: str, faults: int) -> None:
    with pytest.raises(ConfigError, match=r"there are coinbase|at least 1"):
        demonstrate_faults(exchange, 1, faults, print)
