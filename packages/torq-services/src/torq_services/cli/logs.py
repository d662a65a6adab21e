"""``logs``: the services' structured logs, for a person."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
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
"""So much is read at first; more when it holds too few lines."""
_OWN_TIME = re.compile(r'"timestamp": ?"([^"]+)"')
_SUPERVISORS_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")
"""supervisord's own log is in the machine's time."""


def logs(
    service: Annotated[str | None, typer.Argument(help="One service; all without it.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for more.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Lines of the past.")] = 50,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Show what the services log, in order of time."""
    folder = instance_at(runtime_dir).logs
    by_name = {path.stem: path for path in sorted(folder.glob("*.log"))}
    paths = [by_name[service]] if service in by_name else [] if service else [*by_name.values()]
    if not paths:
        wanted = f"log of {service!r}" if service else "log"
        raise ConfigError(f"no {wanted} in {folder}; there are: {', '.join(by_name) or 'none'}")
    offsets = {path: path.stat().st_size for path in paths}
    past = [
        timed for path in paths for timed in _timed(_tail(path, lines), path.stat().st_mtime_ns)
    ]
    past.sort(key=lambda timed: timed[0])
    for _, line in past[max(0, len(past) - lines) :]:
        printer.print(render(line), markup=True)
    while follow:
        time.sleep(0.2)
        for path in paths:
            for line in _new_lines(path, offsets):
                printer.print(render(line), markup=True)


def render(line: str) -> str:
    """A log line as words: time, level, service, event, and the rest as key=value."""
    try:
        entry = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return escape(line)
    level = str(entry.pop("level", ""))
    colour = _COLOURS.get(level, "white")
    when = str(entry.pop("timestamp", ""))[11:23]
    service, event = entry.pop("service", ""), entry.pop("event", "")
    trace = entry.pop("exception", None)
    rest = " ".join(f"{key}={value}" for key, value in entry.items())
    text = f"{escape(when)} [{colour}]{escape(f'{level:<7}')}[/{colour}]"
    text += f" [cyan]{escape(str(service))}[/cyan] {escape(str(event))}"
    text += f" {escape(rest)}" if rest else ""
    return text + (f"\n{escape(str(trace))}" if trace else "")


def _timed(lines: list[str], changed_ns: int) -> Iterator[tuple[str, str]]:
    """Each line behind its time; one without a time, as of a traceback, has that of the one before.

    The first ones have that of the one behind them, or without any that of ``changed_ns``, when
    the file last changed.
    """
    changed = datetime.fromtimestamp(changed_ns // 1_000_000_000, UTC).isoformat()
    when = next(filter(None, map(_time, lines)), changed)
    for line in lines:
        when = _time(line) or when
        yield when, line


def _time(line: str) -> str:
    """In UTC, so that it can be sorted; empty without any, and for one that never was."""
    own = _OWN_TIME.search(line)
    if own is not None:
        return own[1]
    supervisors = _SUPERVISORS_TIME.match(line)
    if supervisors is None:
        return ""
    try:
        local = datetime.strptime(supervisors[1], "%Y-%m-%d %H:%M:%S").astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return f"{local:%Y-%m-%dT%H:%M:%S}.{supervisors[2]}"


def _tail(path: Path, lines: int) -> list[str]:
    """The last lines, all of them whole: ``lines`` or more, or as many as there are."""
    with path.open("rb") as file:
        size, length = file.seek(0, 2), _LAST_BYTES
        while True:
            start = max(0, size - length)
            file.seek(start)
            raw = file.read(size - start)
            if not start or raw.count(b"\n") > lines:
                break
            length *= 4
    whole = raw[raw.find(b"\n") + 1 :] if start else raw
    return whole.decode(errors="replace").splitlines()


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
