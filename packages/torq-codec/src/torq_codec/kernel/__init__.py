"""One kernel behind one name: compiled where it was built, pure everywhere.

``TORQ_PURE_PYTHON=1`` in the environment forces the pure one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("TORQ_PURE_PYTHON") == "1":
    from torq_codec.kernel import _pure as _chosen
else:
    try:
        from torq_codec.kernel import _native as _chosen
    except ImportError:  # no compiler when this was installed
        from torq_codec.kernel import _pure as _chosen

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

implementation: str = _chosen.implementation
"""``"compiled"`` or ``"pure"``."""
BookSide = _chosen.BookSide
Filter = _chosen.Filter
Message = _chosen.Message
MessageBuilder = _chosen.MessageBuilder
Plan = _chosen.Plan
SequenceTracker = _chosen.SequenceTracker
advance = _chosen.advance
build = _chosen.build
count = _chosen.count
crc32 = _chosen.crc32
decimal = _chosen.decimal
fence = _chosen.fence
find_magic = _chosen.find_magic
gather = _chosen.gather
iter_messages = _chosen.iter_messages
levels = _chosen.levels
load_u64 = _chosen.load_u64
parse_message = _chosen.parse_message
plan_for = _chosen.plan_for
scan = _chosen.scan
sides = _chosen.sides
spin_while = _chosen.spin_while
store_u64 = _chosen.store_u64
walk_messages = _chosen.walk_messages
