"""Checks over the documentation: links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["broken_links"]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def broken_links(root: Path) -> Iterator[str]:
    """Relative links in the Markdown files of ``root`` whose file or heading does not exist."""
    for path in sorted(root.rglob("*.md")):
        if any(part.startswith(".") or part in _SKIPPED for part in path.parts[len(root.parts) :]):
            continue
        for target in _LINK.findall(_FENCE.sub("", path.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            linked = (path.parent / name) if name else path
            if not linked.exists():
                yield f"{path.relative_to(root)}: the link to {target} leads nowhere"
            elif anchor and linked.suffix == ".md" and anchor not in _anchors(linked):
                yield f"{path.relative_to(root)}: {name or path.name} has no heading #{anchor}"


_SKIPPED = {"node_modules", "vendor", "build", "dist"}


def _anchors(path: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
