"""What runs under which name, and what becomes of its failures."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from torq_services.instance.config import Config
from torq_services.instance.folder import RELAY_DOMAINS, Instance
from torq_services.observability import configure_logs
from torq_services.processes.running import arguments, run_until_signalled
from torq_types import TorqError

__all__ = ["main"]

_Run = Callable[[str, Config, Instance], Coroutine[Any, Any, None]]


def main() -> int:
    """Run one process until it is told to stop; returns the exit status."""
    name, instance = arguments("One process of an instance.")
    configure_logs(name)
    log = structlog.get_logger()
    try:
        config = instance.config()
        if name in RELAY_DOMAINS:
            from torq_services.processes.relay import run_relay

            run_relay(RELAY_DOMAINS[name], config, instance)
            return 0
        run = _coroutine(name)
        if run is None:
            log.error("unknown service", name=name)
            return 2
        log.info("starting")
        run_until_signalled(run(name, config, instance))
    except TorqError as error:
        log.error("cannot go on", reason=str(error))
        return 1
    except Exception as error:
        for failure in _failures(error):
            log.error("cannot go on", reason=str(failure) or repr(failure), exc_info=failure)
        return 1
    return 0


def _failures(error: Exception) -> Iterator[Exception]:
    """Each by itself of those that came together, as in the tasks of a process."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _failures(each)
    else:
        yield error


def _coroutine(name: str) -> _Run | None:
    """What runs under a name. Only that is imported: web3 and numpy take a second."""
    if name == "sample-venues":
        from torq_services.processes.sample_venues import run_sample_venues

        return run_sample_venues
    if name.startswith("adapter-"):
        from torq_services.processes.exchange import run_exchange

        return run_exchange
    if name.startswith("chain-"):
        from torq_services.processes.chain import run_chain

        return run_chain
    if name == "strategy-cross-exchange":
        from torq_services.processes.cross_exchange import run_cross_exchange

        return run_cross_exchange
    if name == "strategy-flash-arbitrage":
        from torq_services.processes.flash_arbitrage import run_flash_arbitrage

        return run_flash_arbitrage
    if name == "execution-paper":
        from torq_services.processes.paper_execution import run_paper_execution

        return run_paper_execution
    return None
