"""``validate``, ``test``, ``bench``: for those who change Torq, or doubt its figures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from torq_services.checks import protocol_tables
from torq_services.checks.docs import broken_links
from torq_services.checks.precision import check_paths
from torq_services.checks.replayable import check_rooms
from torq_services.cli.options import RuntimeDir, printer, workspace_root
from torq_types import ConfigError

__all__ = ["bench", "run_tests", "validate"]

# import-linter has no module to run: 'python -m importlinter.cli' succeeds without checking.
_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
_MONEY_CODE = ("packages", "web/src", "scripts")


def validate(runtime_dir: RuntimeDir = None) -> None:
    """Check the source: ruff, types, layers, precision, replays, documentation."""
    root = _root()
    python = sys.executable
    checks: list[tuple[str, Callable[[], list[str]]]] = [
        ("ruff check", lambda: _run(root, python, "-m", "ruff", "check", ".")),
        ("ruff format", lambda: _run(root, python, "-m", "ruff", "format", "--check", ".")),
        ("mypy --strict", lambda: _run(root, python, "-m", "mypy", *_typed(root))),
        ("import-linter", lambda: _run(root, python, "-c", _LINT_IMPORTS, "--no-cache")),
        ("precision", lambda: _precision(root)),
        ("replayable", lambda: list(check_rooms(root))),
        ("protocol tables", lambda: _tables(root)),
        ("docs links", lambda: list(broken_links(root))),
    ]
    failed = []
    for name, check in checks:
        problems = check()
        mark = Text("✗", "red") if problems else Text("✓", "green")
        printer.print(Text.assemble(mark, f" {name}"))
        for problem in problems:
            printer.print(problem)
        if problems:
            failed.append(name)
    if failed:
        raise typer.Exit(1)


def run_tests(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to pytest.")] = None,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Run the whole test suite, in parallel. The tests make their own instances."""
    # Who is done early takes from what the others have before them.
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal"]
    command += arguments or []
    raise typer.Exit(subprocess.run(command, cwd=_root(), check=False).returncode)


def bench(
    subject: Annotated[str, typer.Argument(help="all, or adapters.")] = "all",
    quick: Annotated[bool, typer.Option("--quick", help="In under five minutes.")] = False,
    update_docs: Annotated[
        bool, typer.Option("--update-docs", help="Rewrite docs/performance.md.")
    ] = False,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Measure Torq beside its rivals; reports go to bench-reports/. The relays are its own."""
    command = [sys.executable, str(_root() / "tests" / "benchmarks" / "report.py"), subject]
    command += ["--quick"] * quick + ["--update-docs"] * update_docs
    raise typer.Exit(subprocess.run(command, cwd=_root(), check=False).returncode)


def _root() -> Path:
    root = workspace_root()
    if root is None:
        raise ConfigError("this command works inside a clone of Torq's source; cd there first")
    return root


def _typed(root: Path) -> list[str]:
    return [name for name in ("packages", "web", "tests", "scripts", "conftest.py")
            if (root / name).exists()]  # fmt: skip


def _run(root: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).strip()]


def _precision(root: Path) -> list[str]:
    sources = [root / name for name in _MONEY_CODE]
    files = [
        p for source in sources for p in sorted(source.rglob("*.py")) if "tests" not in p.parts
    ]
    return [str(finding) for finding in check_paths(files)]


def _tables(root: Path) -> list[str]:
    document = (root / "docs" / "protocol.md").read_text()
    if protocol_tables.insert(document) == document:
        return []
    return ["docs/protocol.md: run 'scripts/lib/python/generate_protocol_tables.py'"]
