"""What the commands share: the instance they speak of, and how they report a user's mistake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from torq_relays import default_runtime_dir
from torq_services.instance.folder import Instance

__all__ = ["RuntimeDir", "instance_at", "print_error", "printer", "workspace_root"]

RuntimeDir = Annotated[
    Path | None,
    typer.Option(
        "--runtime-dir",
        help="Folder of the instance: sockets, logs, data. Default: $XDG_RUNTIME_DIR/torq.",
    ),
]

printer = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""It shows a text as it stands, in tables too: what is coloured is a Text, or says markup=True."""
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_error(problem: str) -> None:
    """One line on standard error."""
    _errors.print(Text.assemble(("torq:", "red"), f" {problem}"))


def instance_at(runtime_dir: Path | None) -> Instance:
    """The instance in ``runtime_dir`` or in the default place, the same by each of its names."""
    return Instance(Path(os.path.realpath(runtime_dir or default_runtime_dir())))


def workspace_root() -> Path | None:
    """The folder of Torq's own source, when the command is run inside it."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "uv.lock").exists() and (folder / "packages" / "torq-types").is_dir():
            return folder
    return None
