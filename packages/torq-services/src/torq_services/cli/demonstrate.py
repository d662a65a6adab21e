"""``demo``: small things to try. What only a demonstration needs, it imports itself."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.table import Table

from torq_services.checks import protocol_tables
from torq_services.cli.options import RuntimeDir, instance_at, printer
from torq_types import REGISTRY, TLV, ConfigError, Domain

__all__ = ["app", "find_type"]

app = typer.Typer(help="Small things to try.", no_args_is_help=True)


@app.command()
def arbitrage(runtime_dir: RuntimeDir = None) -> None:
    """Publish a made-up opportunity, clearly labelled; nothing will act on it."""
    from torq_services.demos.arbitrage import send_demo_arbitrage

    sequence = send_demo_arbitrage(instance_at(runtime_dir).runtime_dir)
    printer.print(f"Published a synthetic opportunity (sequence {sequence}); see the console.")


@app.command("mock-relay")
def mock_relay(
    domain: Annotated[str, typer.Option(help="market-data, signal or execution.")] = "market-data",
    count: Annotated[int, typer.Option(help="End after so many messages; 0 is never.")] = 0,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Run one relay by itself and print every message that it gets."""
    from torq_services.demos import arbitrage as demonstrations

    by_slug = {each.slug: each for each in Domain}
    if domain not in by_slug:
        raise ConfigError(f"no domain {domain!r}; there are {', '.join(by_slug)}")
    demonstrations.mock_relay(by_slug[domain], instance_at(runtime_dir).runtime_dir, limit=count)


@app.command()
def faults(
    exchange: Annotated[str, typer.Argument(help="One of the simulated exchanges.")] = "kraken",
    seed: Annotated[int, typer.Option(help="The same seed is the same script.")] = 1,
    count: Annotated[int, typer.Option(help="How many faults.")] = 8,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Let a simulated exchange misbehave, and watch its books go stale and come back.

    Nothing is written to an instance: exchange, adapter and reader live in this process.
    """
    import structlog

    from torq_services.demos.faults import demonstrate_faults

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if not demonstrate_faults(exchange, seed, count, printer.print):
        raise typer.Exit(1)


@app.command("tlv-info")
def tlv_info(
    tlv_type: Annotated[str | None, typer.Argument(help="Number or name; all without it.")] = None,
    runtime_dir: RuntimeDir = None,
) -> None:
    """Show the protocol's types, or the bytes of one."""
    if tlv_type is None:
        table = Table("type", "name", "range", "version", "purpose")
        for number, cls in sorted(REGISTRY.items()):
            table.add_row(
                str(number),
                cls.__name__,
                protocol_tables.range_name(number),
                str(cls.SCHEMA_VERSION),
                protocol_tables.describe(cls),
            )
        printer.print(table)
        return
    cls = find_type(tlv_type)
    table = Table("offset", "wire type", "field", title=f"{cls.TYPE} {cls.__name__}")
    for row in protocol_tables.rows(cls):
        table.add_row(*row)
    printer.print(protocol_tables.describe(cls))
    printer.print(table)


def find_type(name: str) -> type[TLV]:
    """A type by number or name. Raises :class:`ConfigError` naming what there is."""
    for number, cls in REGISTRY.items():
        if name == str(number) or name.lower() == cls.__name__.lower():
            return cls
    names = ", ".join(f"{number} {cls.__name__}" for number, cls in sorted(REGISTRY.items()))
    raise ConfigError(f"no TLV type {name!r}; there are {names}")
