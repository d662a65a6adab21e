#!/usr/bin/env python3
"""Finds float arithmetic on money: detect_precision_violations.py PATH...

Prints file:line, why, and what to use instead; exit status 1 on findings, 2 on a wrong call.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torq_services.checks.precision import check_paths


def main(arguments: list[str]) -> int:
    """Check every path; returns the exit status."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        findings = list(check_paths(map(Path, arguments)))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
