"""What is known of each source in a stream: its last sequence, and what was out of order."""

from __future__ import annotations

from collections import defaultdict
from enum import Enum

import msgspec

from torq_codec import kernel

__all__ = ["Ledger", "SourceCounts", "Verdict"]


class Verdict(Enum):
    """What a message that is not its source's next one turns out to be."""

    HOLE = 1
    """Messages before it are missing."""
    REPEAT = 2
    """It was here already."""
    RESTART = 3
    """Its source has begun anew."""


class SourceCounts(msgspec.Struct):
    """How often each happened."""

    holes: int = 0
    missing: int = 0
    """Messages in those holes."""
    repeats: int = 0
    restarts: int = 0


class Ledger:
    """Follows every source's sequence through one stream."""

    def __init__(self) -> None:
        self.tracker = kernel.SequenceTracker()
        self.counts: defaultdict[int, SourceCounts] = defaultdict(SourceCounts)

    def judge(self, source: int, sequence: int, timestamp_ns: int) -> Verdict:
        """What the message is, and count it.

        A source's timestamps never go back, not even over its restarts, so a low sequence with
        a later timestamp is a new session's.
        """
        counts = self.counts[source]
        last = self.tracker.last(source)
        if sequence > last:
            counts.holes += 1
            counts.missing += sequence - last - 1
            return Verdict.HOLE
        if sequence and timestamp_ns > self.tracker.last_timestamp_ns(source):
            counts.restarts += 1
            return Verdict.RESTART
        counts.repeats += 1
        return Verdict.REPEAT

    def totals(self) -> SourceCounts:
        """Over all sources."""
        total = SourceCounts()
        for counts in self.counts.values():
            total.holes += counts.holes
            total.missing += counts.missing
            total.repeats += counts.repeats
            total.restarts += counts.restarts
        return total
