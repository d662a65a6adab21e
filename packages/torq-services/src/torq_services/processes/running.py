"""What every supervised process does at its start and at its end."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvloop

from torq_services.instance.folder import Instance

__all__ = ["arguments", "run_until_signalled"]


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
