"""The console's process: ``python -m torq_web console --runtime-dir DIR``."""

from __future__ import annotations

import sys

import structlog
import uvicorn

from torq_services.observability import configure_logs
from torq_services.processes.running import arguments, die_with_parent, run_until_signalled
from torq_services.processes.serving import ServiceServer
from torq_types import TorqError
from torq_web.app import create_app


def main() -> int:
    """Serve the console on loopback until told to stop; returns the exit status."""
    name, instance = arguments(__doc__ or "")
    configure_logs(name)
    die_with_parent()
    log = structlog.get_logger()
    try:
        config = instance.config()
    except TorqError as error:
        log.error("cannot go on", reason=str(error))
        return 1
    port = config.console.port
    server = ServiceServer(
        uvicorn.Config(
            create_app(config, instance),
            host="127.0.0.1",
            port=port,
            log_config=None,
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
    )
    log.info("serving", address=f"http://127.0.0.1:{port}/")
    run_until_signalled(server.serve_until_cancelled())
    return 0


if __name__ == "__main__":
    sys.exit(main())
