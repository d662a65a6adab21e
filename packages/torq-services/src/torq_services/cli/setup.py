"""``init`` and ``doctor``: getting a machine ready."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from torq_codec import kernel
from torq_relays import prepare, socket_path
from torq_services.cli.options import RuntimeDir, instance_at, printer
from torq_services.instance import config as configuration
from torq_services.instance.config import CONFIG_NAME
from torq_services.instance.supervisor import Supervisor
from torq_types import ConfigError, Domain

__all__ = ["Check", "checks", "doctor", "init"]


def init(
    path: Annotated[Path, typer.Argument(help="Where to write.")] = Path(CONFIG_NAME),
    runtime_dir: RuntimeDir = None,
) -> None:
    """Write a commented torq.toml that goes live: public feeds, no keys, execution on paper."""
    example = (resources.files("torq_services.instance") / "torq.example.toml").read_text()
    try:
        with path.open("x") as file:
            file.write(example)
    except FileExistsError:
        raise ConfigError(f"{path} exists already; nothing was changed") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    printer.print(f"Wrote {path}. 'torq up' now follows the live public feeds it names.")


class Check(msgspec.Struct, frozen=True):
    """One line of ``doctor``."""

    name: str
    found: str
    is_good: bool
    mend: str = ""
    """The command that mends it."""
    is_required: bool = True


def doctor(
    port: Annotated[int, typer.Option(help="The console's port.")] = 8700,
    runtime_dir: RuntimeDir = None,
) -> None:
    """What is missing or misconfigured on this machine, and the command that mends it."""
    table = Table(title="Torq on this machine", title_justify="left")
    for heading in ("", "what", "found", "to mend it"):
        table.add_column(heading)
    results = list(checks(instance_at(runtime_dir).runtime_dir, port))
    for check in results:
        bad = Text("✗", "red") if check.is_required else Text("–", "yellow")
        mark = Text("✓", "green") if check.is_good else bad
        table.add_row(mark, check.name, check.found, "" if check.is_good else check.mend)
    printer.print(table)
    if any(check.is_required and not check.is_good for check in results):
        raise typer.Exit(1)


def checks(runtime_dir: Path, port: int) -> Iterator[Check]:
    """Every check, one after the other."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", version, sys.version_info >= (3, 11), "uv python install 3.12")
    yield Check("operating system", sys.platform, sys.platform == "linux", "run Torq on Linux")
    yield Check(
        "codec kernel",
        kernel.implementation,
        kernel.implementation == "compiled",
        "apt-get install gcc python3-dev && uv sync --reinstall-package torq-codec",
        is_required=False,
    )
    has_console = importlib.util.find_spec("torq_web") is not None
    found = "installed" if has_console else "missing"
    yield Check("console", found, has_console, "pip install torq-web")
    yield _runtime_dir(runtime_dir)
    yield _port(port, runtime_dir)
    yield _config()
    for program, purpose, package in (
        ("uv", "to develop", "pip install uv"),
        ("chromium", "for the browser tests", "apt-get install chromium"),
    ):
        where = shutil.which(program)
        yield Check(f"{program} ({purpose})", where or "missing", bool(where), package, False)


def _runtime_dir(runtime_dir: Path) -> Check:
    try:
        prepare(runtime_dir)
        for domain in Domain:
            socket_path(domain, runtime_dir)
    except ConfigError as error:
        return Check("runtime directory", str(error), False, "choose another with --runtime-dir")
    return Check("runtime directory", str(runtime_dir), True)


def _port(port: int, runtime_dir: Path) -> Check:
    name = f"port {port} for the console"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return Check(name, "free", True)
    if Supervisor(instance_at(runtime_dir)).is_up():
        return Check(name, "Torq is up", True)
    return Check(name, "taken by another program", False, "torq up --port N")


def _config() -> Check:
    path = Path(CONFIG_NAME)
    if not path.exists():
        return Check("configuration", f"no {path}: sample data", True)
    try:
        configuration.load(path)
    except ConfigError as error:
        return Check("configuration", str(error), False, "edit it, or write a new one: torq init")
    return Check("configuration", f"{path} is sound", True)
