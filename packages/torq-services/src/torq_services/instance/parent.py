"""A supervised process ends with its supervisor; it says so before it imports anything slow."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

__all__ = ["die_with_parent", "signal_with_parent"]

_PR_SET_PDEATHSIG = 1
_SERVER = "SUPERVISOR_SERVER_URL"
"""supervisord tells its children under this name which socket is its own."""


def die_with_parent() -> None:
    """Ask the kernel to stop this process when its supervisor dies, however it dies.

    Nobody would tell of a supervisor that died before this: then the process ends here. One that
    was started by hand has none.
    """
    before = os.getppid()
    folder = Path(sys.argv[-1])
    if os.environ.get(_SERVER) != f"unix://{folder / 'supervisor.sock'}":
        return
    signal_with_parent()
    if os.getppid() != before or not _is_supervisor(before, folder):
        sys.exit("the supervisor has ended; this process does, too")


def signal_with_parent() -> None:
    """Only ask the kernel: SIGTERM when the parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _is_supervisor(parent: int, folder: Path) -> bool:
    """Whether ``parent`` may be the supervisord of ``folder``."""
    try:
        return parent == int((folder / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return parent != 1
