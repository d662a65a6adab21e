"""Where everything must be replayable: the same messages at the same times give the same bytes.

Nodes, strategies, execution and state, the rules and the data below them are told the time, and
open nothing. What that means for a single text is :mod:`torq_services.checks.purity`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from torq_services.checks.purity import check_cython, check_header, check_python

__all__ = ["EXCEPTIONS", "ROOMS", "Allowed", "check_rooms"]

_SERVICES: Final = "packages/torq-services/src/torq_services"
_KERNEL: Final = "packages/torq-codec/src/torq_codec/kernel"
ROOMS: Final = (
    "packages/torq-types/src",
    "packages/torq-codec/src",
    "packages/torq-amm/src",
    f"{_SERVICES}/state",
    f"{_SERVICES}/strategies",
    f"{_SERVICES}/execution",
    f"{_SERVICES}/nodes",
)
"""Relative to the workspace's root."""


class Allowed(msgspec.Struct, frozen=True):
    """Something impure that a file may use."""

    path: str
    """Relative to the workspace's root."""
    name: str
    """As a finding names it."""
    reason: str


EXCEPTIONS: Final[tuple[Allowed, ...]] = (
    Allowed(
        f"{_KERNEL}/__init__.py",
        "os.environ",
        "TORQ_PURE_PYTHON picks the kernel once, at import; both give the same bytes",
    ),
    Allowed(
        f"{_KERNEL}/_pure/streams.py",
        "mmap.mmap",
        "a type of the buffers that it is handed; nothing is mapped here",
    ),
    Allowed(
        f"{_KERNEL}/_pure/blocks.py",
        "exec",
        "runs source that it has written itself from the TLVs' annotations, once, at import",
    ),
)
_CHECKS: Final = {
    ".py": check_python,
    ".pyx": check_cython,
    ".pxi": check_cython,
    ".pxd": check_cython,
    ".h": check_header,
}


def check_rooms(root: Path) -> Iterator[str]:
    """Every finding below ``root``, and every exception that nothing needs any more."""
    wanted = {(allowed.path, allowed.name) for allowed in EXCEPTIONS}
    used: set[tuple[str, str]] = set()
    for room in ROOMS:
        folder = root / room
        if not folder.is_dir():
            yield f"{room}: no such folder; name the room that took its place in replayable.py"
        for file in sorted(folder.rglob("*")):
            check = _CHECKS.get(file.suffix)
            if check is None:
                continue
            path = str(file.relative_to(root))
            for finding in check(file.read_text(), path):
                if (path, finding.name) in wanted:
                    used.add((path, finding.name))
                else:
                    yield str(finding)
    for path, name in sorted(wanted - used):
        yield f"{path}: the exception for {name} is not needed any more; take it out"
