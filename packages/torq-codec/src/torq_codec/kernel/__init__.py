"""One kernel behind one name: compiled where it was built, pure everywhere.

``TORQ_PURE_PYTHON=1`` in the environment forces the pure one.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from torq_codec.layout import layout_of
from torq_types import TLV

if TYPE_CHECKING or os.environ.get("TORQ_PURE_PYTHON") == "1":
    from torq_codec.kernel import _pure as _chosen
else:
    try:
        from torq_codec.kernel import _native as _chosen
    except ImportError:  # no compiler when this was installed
        from torq_codec.kernel import _pure as _chosen

__all__ = ["Plan", "build", "crc32", "find_magic", "implementation", "plan_for", "scan"]

implementation: str = _chosen.implementation
"""``"compiled"`` or ``"pure"``."""
Plan = _chosen.Plan
build = _chosen.build
crc32 = _chosen.crc32
find_magic = _chosen.find_magic
scan = _chosen.scan


@cache
def plan_for(cls: type[TLV]) -> Plan:
    """The plan of a TLV type, made once."""
    return Plan(layout_of(cls))
