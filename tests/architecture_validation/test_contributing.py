"""Follows CONTRIBUTING.md word for word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT, copy_to, run_in

_BLOCK = re.compile(r"^```(diff|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("walk", ["Add an exchange adapter", "Add a TLV type"])
def test_the_walk_leads_where_it_says(walk: str, tmp_path: Path) -> None:
    tree = copy_to(tmp_path)
    text = (ROOT / "CONTRIBUTING.md").read_text().partition(f"\n## {walk}\n")[2]
    commands = 0
    for kind, body in _BLOCK.findall(text.partition("\n## ")[0]):
        if kind == "diff":
            # Hunk headers say where; git finds the place by its context.
            command = ["git", "apply", "--unidiff-zero", "--recount", "-C1", "-"]
            done = subprocess.run(
                command, cwd=tree, input=body, text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr
        elif kind == "python":
            path = re.match(r"# file: (\S+)\n", body)
            assert path is not None
            (tree / path[1]).write_text(body)
        else:
            for line in body.splitlines():
                words = line.split()
                assert words[:2] == ["uv", "run"]
                module = ["-m", *words[2:], "-p", "no:cacheprovider"]
                result = run_in(tree, *(words[3:] if words[2] == "python" else module))
                assert result.returncode == 0, result.stdout + result.stderr
                commands += 1
    assert commands
