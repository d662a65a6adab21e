"""The command line: ``torq WORD``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run a command. Ctrl-C is no mistake, not even while the commands are imported."""
    try:
        from torq_services.cli.commands import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
