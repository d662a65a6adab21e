"""What differs between the three relays."""

from __future__ import annotations

from pathlib import Path

import msgspec

from torq_relays.log.base import Log
from torq_relays.log.disk import DiskLog, FsyncPolicy
from torq_relays.log.ring import RingLog
from torq_types import Domain

__all__ = ["POLICIES", "DomainPolicy", "LogOptions", "open_log"]


class DomainPolicy(msgspec.Struct, frozen=True):
    """How a domain's messages are kept, and what a publisher's ``flush`` waits for."""

    on_disk: bool
    fsync: FsyncPolicy
    flush_is_durable: bool
    """``flush`` waits for the disk; otherwise for the log."""


POLICIES = {
    Domain.MARKET_DATA: DomainPolicy(on_disk=False, fsync="never", flush_is_durable=False),
    Domain.SIGNAL: DomainPolicy(on_disk=True, fsync="interval", flush_is_durable=False),
    Domain.EXECUTION: DomainPolicy(on_disk=True, fsync="always", flush_is_durable=True),
}


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may set of a log; the defaults are the domain's own."""

    ring_bytes: int = 64 * 1024 * 1024
    fsync: FsyncPolicy | None = None
    fsync_interval_ms: int = 100
    keep_bytes: int = 0
    """Segments beyond this are deleted, the oldest first; 0 keeps everything."""
    keep_days: int = 0
    """Segments older than this are deleted; 0 keeps everything."""


def open_log(domain: Domain, folder: Path, options: LogOptions | None = None) -> Log:
    """The log that ``domain`` calls for; those on disk live under ``folder``."""
    policy = POLICIES[domain]
    options = options or LogOptions()
    if not policy.on_disk:
        return RingLog(options.ring_bytes)
    return DiskLog(
        folder / domain.slug,
        fsync=options.fsync or policy.fsync,
        interval_ms=options.fsync_interval_ms,
        keep_bytes=options.keep_bytes,
        keep_seconds=options.keep_days * 86_400,
    )
