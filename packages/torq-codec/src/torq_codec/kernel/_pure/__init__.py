"""The kernel in plain Python: what ``_native.pyx`` does, with the same names and results."""

from __future__ import annotations

from torq_codec.kernel._pure.levels import BookSide, decimal, levels, sides
from torq_codec.kernel._pure.messages import (
    Message,
    MessageBuilder,
    build,
    iter_messages,
    parse_message,
    walk_messages,
)
from torq_codec.kernel._pure.plans import Plan, plan_for
from torq_codec.kernel._pure.scanning import crc32, find_magic, scan
from torq_codec.kernel._pure.streams import (
    Filter,
    SequenceTracker,
    advance,
    count,
    fence,
    gather,
    load_u64,
    spin_while,
    store_u64,
)

__all__ = [
    "BookSide",
    "Filter",
    "Message",
    "MessageBuilder",
    "Plan",
    "SequenceTracker",
    "advance",
    "build",
    "count",
    "crc32",
    "decimal",
    "fence",
    "find_magic",
    "gather",
    "implementation",
    "iter_messages",
    "levels",
    "load_u64",
    "parse_message",
    "plan_for",
    "scan",
    "sides",
    "spin_while",
    "store_u64",
    "walk_messages",
]

implementation = "pure"
