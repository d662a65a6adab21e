"""``up``, ``down``, ``restart``, ``status``."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from torq_relays import prepare, socket_path
from torq_services.adapters import FeedHealth
from torq_services.cli.options import RuntimeDir, instance_at, printer
from torq_services.instance import config as configuration
from torq_services.instance.config import CONFIG_NAME, Config
from torq_services.instance.folder import Instance
from torq_services.instance.lock import WAIT_SECONDS, locked
from torq_services.instance.status import InstanceStatus, full_status, instance_status
from torq_services.instance.supervisor import Supervisor
from torq_types import ConfigError, Domain, TorqError

__all__ = ["down", "restart", "status", "up"]

_HEALTHY_SECONDS = 120


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay attached; Ctrl-C stops everything.")
    ] = False,
    speed: Annotated[str, typer.Option(help="Sample data: times recorded speed, e.g. 2.5.")] = "1",
    port: Annotated[int | None, typer.Option(help="The console's port. Default: 8700.")] = None,
    config: Annotated[
        Path | None, typer.Option(help=f"Configuration file. Default: ./{CONFIG_NAME}, if any.")
    ] = None,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Start everything: relays, adapters, strategy, paper execution, console."""
    instance = instance_at(runtime_dir)
    prepare(instance.runtime_dir)
    supervisor = Supervisor(instance)
    with ExitStack() as alone:
        alone.enter_context(locked(instance, create=True))
        if supervisor.is_up():
            console = f"http://127.0.0.1:{instance.config().console.port}/"
            raise TorqError(
                f"already up in {instance.runtime_dir}, console at {console};"
                " 'torq restart' restarts it, 'torq down' stops it"
            )
        if supervisor.pid() is not None:
            raise TorqError(
                f"already up in {instance.runtime_dir}, but out of reach; 'torq down' stops it"
            )
        supervisor.end_orphans()
        settings = _settings(config, speed, port)
        _require_console()
        _require_free(settings.console.port)
        for domain in Domain:
            socket_path(domain, instance.runtime_dir)
        instance.prepare(settings)
        supervisor.write_config(settings)
        if foreground:
            _announce(settings)
            sys.stdout.flush()
            supervisor.run(alone.close)
            return
        supervisor.start()
    try:
        status = _wait_until_healthy(instance)
    except TorqError:
        if not supervisor.is_stopping():
            raise
        raise TorqError(
            f"Torq in {instance.runtime_dir} was stopped while it started;"
            " 'torq up' starts it again"
        ) from None
    if not status.healthy:
        _print_status(status)
        raise TorqError("not everything is up; 'torq logs' tells why")
    _announce(settings)


def down(runtime_dir: RuntimeDir = None) -> None:
    """Stop everything, in order; logs and recorded data stay."""
    instance = instance_at(runtime_dir)
    with locked(instance, seconds=WAIT_SECONDS):
        was_up = Supervisor(instance).stop()
    if was_up:
        printer.print(f"Torq in {instance.runtime_dir} is down.")
    else:
        printer.print(f"Nothing was up in {instance.runtime_dir}.")


def restart(
    service: Annotated[str | None, typer.Argument(help="One service; all without it.")] = None,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Restart one service, or all."""
    instance = instance_at(runtime_dir)
    Supervisor(instance).restart(service)
    status = _wait_until_healthy(instance)
    if not status.healthy:
        _print_status(status)
        raise TorqError("not everything is up again; 'torq logs' tells why")
    printer.print(f"{service or 'Everything'} is up again.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    runtime_dir: RuntimeDir = None,
) -> None:
    """What runs, and how it does. Exit status 1 when something is not healthy."""
    instance = instance_at(runtime_dir)
    found = asyncio.run(full_status(instance))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        sys.stdout.flush()
    else:
        _print_status(found)
    if not found.healthy:
        raise typer.Exit(1)


def _settings(path: Path | None, speed: str, port: int | None) -> Config:
    if port is not None and not 1 <= port <= 65_535:
        raise ConfigError(f"--port is {port}; expected 1 to 65535, the port of the console")
    chosen = path or Path(CONFIG_NAME)
    if path is not None or chosen.exists():
        settings = configuration.load(chosen)
        if speed != "1":
            raise ConfigError(f"--speed is for sample data; {chosen} goes live")
        if port is None:
            return settings
        console = msgspec.structs.replace(settings.console, port=port)
        return msgspec.structs.replace(settings, console=console)
    return configuration.sample(speed=speed, port=port or 8700, venue_port=_free_port())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port {port} is not free for the console ({error}); choose another with --port,"
                " or set console.port in torq.toml"
            ) from error


def _require_console() -> None:
    if importlib.util.find_spec("torq_web") is None:
        raise ConfigError("the console is not installed; run 'pip install torq-web'")


def _wait_until_healthy(instance: Instance) -> InstanceStatus:
    deadline = time.monotonic() + _HEALTHY_SECONDS
    while True:
        found = asyncio.run(instance_status(instance))
        is_over = time.monotonic() > deadline or any(s.state == "fatal" for s in found.services)
        if (found.healthy and _console_answers(instance)) or is_over:
            return found
        time.sleep(0.1)


def _console_answers(instance: Instance) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", instance.config().console.port)) == 0


def _announce(settings: Config) -> None:
    address = f"http://127.0.0.1:{settings.console.port}/"
    if settings.is_sample:
        printer.print(
            "[yellow]Sample data[/yellow]: recorded Coinbase and Gemini sessions, looped;"
            " top-tier taker fees (5 and 3 basis points); execution on paper.",
            markup=True,
        )
        printer.print("'torq init' writes a torq.toml that goes live.")
    else:
        printer.print("Live public feeds; execution on paper.")
    printer.print(
        f"Console: [bold]{address}[/bold]   ('torq status', 'torq logs -f', 'torq down')",
        markup=True,
    )


def _print_status(found: InstanceStatus) -> None:
    title = "sample data" if found.is_sample else "live feeds"
    table = Table(
        box=None,
        pad_edge=False,
        title=f"Torq in {found.runtime_dir} ({title})",
        title_justify="left",
    )
    table.add_column("service", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("pid", "up (s)", "restarts", "msg/s", "lag (B)", "faults"):
        table.add_column(heading, justify="right", no_wrap=True)
    for service in found.services:
        colour = "green" if service.state == "running" else "red"
        table.add_row(
            service.name,
            Text(service.state, colour),
            str(service.pid or ""),
            str(service.uptime_seconds),
            str(service.restarts),
            str(service.rate),
            str(service.lag),
            str(service.faults),
        )
    printer.print(table)
    if found.feeds:
        printer.print(feeds_table(found.feeds))
        printer.print(books_table(found.feeds))
    printer.print(f"Console: {found.console}")


def feeds_table(feeds: list[FeedHealth]) -> Table:
    """Every exchange's connection."""
    table = Table(box=None, pad_edge=False, title="Feeds", title_justify="left")
    table.add_column("exchange", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("msg/s", "age (ms)", "reconnects", "resyncs", "errors", "unknown"):
        table.add_column(heading, justify="right", no_wrap=True)
    for feed in feeds:
        colour = "green" if feed.state == "in step" else "red"
        counts = (feed.reconnects, feed.resyncs, feed.errors, feed.counters.unknown_messages)
        table.add_row(
            feed.venue,
            Text(feed.state, colour),
            str(feed.rate),
            "-" if feed.age_ms is None else str(feed.age_ms),
            *map(str, counts),
        )
    return table


def books_table(feeds: list[FeedHealth]) -> Table:
    """Every book: how it stands, and what has happened to it."""
    table = Table(box=None, pad_edge=False, title="Books", title_justify="left")
    table.add_column("instrument", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("upd/s", "age (ms)", "delay (ms)", "gaps", "sums", "resyncs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for feed in feeds:
        for symbol, book in feed.books.items():
            colour = "green" if book.status == "verified" else "red"
            counts = (book.gaps, book.checksum_failures, book.resyncs)
            table.add_row(
                f"{feed.venue}:{symbol}",
                Text(book.status, colour),
                str(book.rate),
                *("-" if ms is None else str(ms) for ms in (book.age_ms, book.latency_ms)),
                *map(str, counts),
            )
        for symbol in feed.unlisted:
            table.add_row(f"{feed.venue}:{symbol}", Text("not listed", "red"))
    return table
