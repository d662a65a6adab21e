"""What differs between the three relays."""

from __future__ import annotations

from pathlib import Path

import msgspec

from torq_relays.log import DiskLog, FsyncPolicy, Log, RingLog
from torq_types import Domain

__all__ = ["POLICIES", "DomainPolicy", "open_log"]


class DomainPolicy(msgspec.Struct, frozen=True):
    """How a domain's messages are kept, and what a publisher's ``flush`` waits for."""

    on_disk: bool
    fsync: FsyncPolicy
    flush_is_durable: bool
    """``flush`` waits for the disk; otherwise for the log."""


POLICIES = {
    Domain.MARKET_DATA: DomainPolicy(on_disk=False, fsync="never", flush_is_durable=False),
    Domain.SIGNAL: DomainPolicy(on_disk=True, fsync="never", flush_is_durable=False),
    Domain.EXECUTION: DomainPolicy(on_disk=True, fsync="always", flush_is_durable=True),
}


def open_log(domain: Domain, folder: Path, *, ring_bytes: int = 64 * 1024 * 1024) -> Log:
    """The log that ``domain`` calls for; those on disk live under ``folder``."""
    policy = POLICIES[domain]
    if policy.on_disk:
        return DiskLog(folder / domain.slug, fsync=policy.fsync)
    return RingLog(ring_bytes)
