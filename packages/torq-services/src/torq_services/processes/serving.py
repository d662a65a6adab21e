"""uvicorn inside a service, where signals are the service's business."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

__all__ = ["ServiceServer"]


class ServiceServer(uvicorn.Server):
    """Serves until the task that runs it is cancelled, then closes what is open."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def serve_until_cancelled(self) -> None:
        """Serve; an orderly end, in about a second, when cancelled."""
        serving = asyncio.create_task(self.serve())
        try:
            await asyncio.shield(serving)
        finally:
            self.should_exit = True
            await serving
