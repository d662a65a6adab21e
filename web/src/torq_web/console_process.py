"""The console as a process."""

from __future__ import annotations

import structlog
import uvicorn

from torq_services.observability import configure_logs
from torq_services.processes.running import arguments, run_until_signalled
from torq_services.processes.serving import ServiceServer
from torq_types import TorqError
from torq_web.app import create_app


def main() -> int:
    """Serve the console on loopback until told to stop; returns the exit status."""
    name, instance = arguments("The console of an instance.")
    configure_logs(name)
    log = structlog.get_logger()
    try:
        config = instance.config()
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
    except TorqError as error:
        log.error("cannot go on", reason=str(error))
        return 1
    except Exception as error:
        log.error("cannot go on", reason=str(error) or repr(error), exc_info=error)
        return 1
    return 0
