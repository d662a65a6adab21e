"""A domain's relay."""

from __future__ import annotations

import signal

import structlog

from torq_relays import LogOptions, Relay, RelayLimits, open_log, socket_path
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_types import Domain

__all__ = ["run_relay"]


def run_relay(domain: Domain, config: Config, instance: Instance) -> None:
    """A domain's relay, until SIGTERM."""
    settings = config.relays
    options = LogOptions(
        ring_bytes=settings.ring_mib << 20,
        fsync=settings.execution_fsync if domain is Domain.EXECUTION else settings.signal_fsync,
        fsync_interval_ms=settings.fsync_interval_ms,
        keep_bytes=settings.keep_mib << 20,
        keep_days=settings.keep_days,
    )
    limits = RelayLimits(
        connections=settings.connections, max_payload=settings.max_message_mib << 20
    )
    log = open_log(domain, instance.data, options)
    path = socket_path(domain, instance.runtime_dir)
    relay = Relay(domain, log, path, limits=limits, busy_poll=settings.busy_poll)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    structlog.get_logger().info("serving", socket=str(relay.path), position=log.tail)
    relay.run()
    structlog.get_logger().info("stopped", position=log.tail)
