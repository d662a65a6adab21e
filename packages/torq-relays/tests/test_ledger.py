"""What a message out of order is taken for, and what is counted of it."""

from __future__ import annotations

import pytest

from torq_relays.log.ledger import Ledger, SourceCounts, Verdict


@pytest.mark.parametrize(
    ("sequence", "timestamp_ns", "verdict", "counts"),
    [
        (11, 500, Verdict.HOLE, SourceCounts(holes=1)),
        (12, 1, Verdict.HOLE, SourceCounts(holes=1, missing=1)),
        (20, 1_001, Verdict.HOLE, SourceCounts(holes=1, missing=9)),
        (10, 1_000, Verdict.REPEAT, SourceCounts(repeats=1)),
        (10, 1_001, Verdict.RESTART, SourceCounts(restarts=1)),
        (1, 1_000, Verdict.REPEAT, SourceCounts(repeats=1)),
        (1, 999, Verdict.REPEAT, SourceCounts(repeats=1)),
        (1, 1_001, Verdict.RESTART, SourceCounts(restarts=1)),
        (0, 1_001, Verdict.REPEAT, SourceCounts(repeats=1)),
    ],
)
def test_behind_sequence_10_at_1000(
    sequence: int, timestamp_ns: int, verdict: Verdict, counts: SourceCounts
) -> None:
    ledger = Ledger()
    ledger.tracker.set(7, 10, 1_000)
    assert ledger.judge(7, sequence, timestamp_ns) is verdict
    assert ledger.counts == {7: counts}


def test_totals_are_over_all_sources() -> None:
    ledger = Ledger()
    ledger.counts[1] = SourceCounts(1, 20, 300, 4000)
    ledger.counts[2] = SourceCounts(5, 60, 700, 8000)
    assert ledger.totals() == SourceCounts(6, 80, 1000, 12_000)
