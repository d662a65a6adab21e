"""``logs``: the services' structured logs, for a person."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from torq_services.cli.options import RuntimeDir, instance_at, printer
from torq_types import ConfigError

__all__ = ["logs", "render"]

_COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "info": "green"}
_LAST_BYTES = 64 * 1024


def logs(
    service: Annotated[str | None, typer.Argument(help="One service; all without it.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for more.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="Lines of the past.")] = 50,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Show what the services log, in order of time."""
    folder = instance_at(runtime_dir).logs
    pattern = f"{service}.log" if service else "*.log"
    paths = sorted(folder.glob(pattern))
    if not paths:
        names = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none"
        raise ConfigError(f"no log {pattern} in {folder}; there are: {names}")
    offsets = {path: path.stat().st_size for path in paths}
    past = [line for path in paths for line in _tail(path)]
    past.sort(key=_time)
    for line in past[-lines:]:
        printer.print(render(line))
    while follow:
        time.sleep(0.2)
        for path in paths:
            for line in _new_lines(path, offsets):
                printer.print(render(line))


def render(line: str) -> str:
    """A log line as words: time, level, service, event, and the rest as key=value."""
    try:
        entry = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return escape(line)
    level = str(entry.pop("level", ""))
    colour = _COLOURS.get(level, "white")
    when = str(entry.pop("timestamp", ""))[11:23]
    service, event = entry.pop("service", ""), entry.pop("event", "")
    trace = entry.pop("exception", None)
    rest = " ".join(f"{key}={value}" for key, value in entry.items())
    text = f"{when} [{colour}]{level:<7}[/{colour}] [cyan]{service}[/cyan] {escape(str(event))}"
    text += f" {escape(rest)}" if rest else ""
    return text + (f"\n{escape(str(trace))}" if trace else "")


def _time(line: str) -> str:
    start = line.find('"timestamp":')
    return line[start + 12 : start + 45].strip(' "') if start >= 0 else ""


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LAST_BYTES))
        text = file.read().decode(errors="replace").splitlines()
    return text if size <= _LAST_BYTES else text[1:]


def _new_lines(path: Path, offsets: dict[Path, int]) -> list[str]:
    try:
        size = path.stat().st_size
    except FileNotFoundError:  # between the two steps of a rotation
        return []
    if size < offsets[path]:
        offsets[path] = 0
    with path.open("rb") as file:
        file.seek(offsets[path])
        raw = file.read()
    whole = raw[: raw.rfind(b"\n") + 1]
    offsets[path] += len(whole)
    return whole.decode(errors="replace").splitlines()
