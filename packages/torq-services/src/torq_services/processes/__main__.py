"""The entry point of every supervised process: ``python -m torq_services.processes NAME``."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import importlib
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvloop

from torq_services.instance.folder import RELAY_DOMAINS, Instance
from torq_services.observability import configure_logs
from torq_services.processes import (
    cross_exchange,
    exchange,
    flash_arbitrage,
    paper_execution,
    relay,
    sample_venues,
)
from torq_types import TorqError

__all__ = ["arguments", "die_with_parent", "main", "run_until_signalled"]

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to stop this process when its supervisor dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def arguments(description: str) -> tuple[str, Instance]:
    """Service name and instance from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name")
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parsed = parser.parse_args()
    return parsed.name, Instance(parsed.runtime_dir)


def run_until_signalled(service: Coroutine[Any, Any, None]) -> None:
    """Run ``service``, and cancel it in an orderly way on SIGTERM or SIGINT."""

    async def supervise() -> None:
        task = asyncio.ensure_future(service)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            structlog.get_logger().info("stopped")

    uvloop.run(supervise())


def main() -> int:
    """Run one service until it is told to stop; returns the exit status."""
    name, instance = arguments(__doc__ or "")
    configure_logs(name)
    die_with_parent()
    log = structlog.get_logger()
    try:
        config = instance.config()
        if name in RELAY_DOMAINS:
            relay.run_relay(RELAY_DOMAINS[name], config, instance)
            return 0
        run: Callable[..., Coroutine[Any, Any, None]]
        if name == "sample-venues":
            run = sample_venues.run_sample_venues
        elif name.startswith("adapter-"):
            run = exchange.run_adapter
        elif name.startswith("chain-"):
            # Only this service pays for importing web3.
            run = importlib.import_module("torq_services.processes.chain").run_chain
        elif name == "strategy-cross-exchange":
            run = cross_exchange.run_cross_exchange
        elif name == "strategy-flash-arbitrage":
            run = flash_arbitrage.run_flash_arbitrage
        elif name == "execution-paper":
            run = paper_execution.run_paper_execution
        else:
            log.error("unknown service", name=name)
            return 2
        log.info("starting")
        run_until_signalled(run(name, config, instance))
    except TorqError as error:
        log.error("cannot go on", reason=str(error))
        return 1
    except BaseExceptionGroup as group:  # what failed in one of the service's tasks
        for failure in group.exceptions:
            log.error("cannot go on", reason=str(failure), exc_info=failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
