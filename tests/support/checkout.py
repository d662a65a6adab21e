"""A copy of the working tree, for tests that change or break the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", "build", "dist", "node_modules", "data"
)
_SOURCES = [*(f"packages/{p.name}/src" for p in (ROOT / "packages").iterdir()), "web/src"]


def copy_to(folder: Path) -> Path:
    """The tree, tracked or not, without what tools leave behind."""
    return Path(shutil.copytree(ROOT, folder / "torq", ignore=_LEFT_OUT))


def run_in(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with ``command`` on the copy's sources instead of the installed ones."""
    paths = os.pathsep.join(str(tree / source) for source in sorted(_SOURCES))
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
