"""Every command, and what becomes of a mistake."""

from __future__ import annotations

import sys

import typer

from torq_services.cli import demonstrate, develop, lifecycle, logs, setup
from torq_services.cli.options import print_error
from torq_types import TorqError

__all__ = ["app", "run"]

app = typer.Typer(
    help="Torq: exchange feeds and pools to arbitrage signals, through three relays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _command in (
    lifecycle.up,
    lifecycle.down,
    lifecycle.restart,
    lifecycle.status,
    logs.logs,
    setup.init,
    setup.doctor,
    develop.validate,
    develop.bench,
):
    app.command()(_command)
app.command("test", context_settings={"ignore_unknown_options": True})(develop.run_tests)
app.add_typer(demonstrate.app, name="demo")


def run() -> None:
    """Run a command; a user's mistake is one line on standard error and exit status 1."""
    try:
        app()
    except TorqError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:  # a file or a folder that no command has words of its own for
        place = f"{error.filename}: " if error.filename is not None else ""
        print_error(f"{place}{error.strerror or error}; check the folder, its disk and its owner")
        sys.exit(1)
