#!/usr/bin/env python3
"""Writes the tables of docs/protocol.md anew from the registry; --check only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from torq_services.checks.protocol_tables import insert

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"


def main(arguments: list[str]) -> int:
    """Returns the exit status: 1 when --check finds the document out of step."""
    old = DOCUMENT.read_text()
    new = insert(old)
    if "--check" in arguments:
        return int(new != old)
    DOCUMENT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
