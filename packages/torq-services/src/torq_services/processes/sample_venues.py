"""The loopback exchanges and the EVM node of sample mode."""

from __future__ import annotations

import uvicorn

from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.processes.serving import ServiceServer
from torq_services.venues import sample_app

__all__ = ["run_sample_venues"]


async def run_sample_venues(name: str, config: Config, instance: Instance) -> None:
    """Serve them until cancelled."""
    server = ServiceServer(
        uvicorn.Config(
            sample_app(config.sample_speed),
            host="127.0.0.1",
            port=config.sample_port,
            log_config=None,
            ws="websockets-sansio",
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
        )
    )
    await server.serve_until_cancelled()
