"""What runs and how it does: supervisord's processes joined with the relays' own accounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec

from torq_relays import AsyncSubscriber, RelayStatus
from torq_services.adapters import FeedHealth
from torq_services.instance.folder import RELAY_DOMAINS, Instance
from torq_services.instance.supervisor import Supervisor
from torq_types import Domain, Role, SystemHealth, TransportError

__all__ = [
    "InstanceStatus",
    "ServiceStatus",
    "feed_health",
    "full_status",
    "instance_status",
    "relay_status",
]

_ANSWER_SECONDS = 2.0
_REPORT_NS = 1_500_000_000
"""Adapters report every second: an older report is not the last one."""


class ServiceStatus(msgspec.Struct, frozen=True):
    """One service in ``torq status``."""

    name: str
    state: str
    pid: int
    uptime_seconds: int
    restarts: int
    rate: int
    """Messages a second that it published (a relay: appended) in the last full second."""
    lag: int
    """Bytes that it has still to read, over all its subscriptions."""
    faults: int
    """What its relay, or it as a relay, refused or found missing."""


class InstanceStatus(msgspec.Struct, frozen=True):
    """A whole instance."""

    runtime_dir: str
    console: str
    is_sample: bool
    healthy: bool
    """Every service runs, and every relay answers."""
    services: list[ServiceStatus]
    relays: list[RelayStatus]
    feeds: list[FeedHealth] = []
    """What each exchange's adapter reported last; those that are silent are missing."""


async def relay_status(domain: Domain, instance: Instance) -> RelayStatus | None:
    """A relay's own account, or None when it does not answer."""
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            await AsyncSubscriber.connect(
                domain,
                runtime_dir=instance.runtime_dir,
                name="status",
                role=Role.MONITOR,
                timeout=0,
            ) as monitor,
        ):
            async for message in monitor:
                return msgspec.json.decode(message[SystemHealth].counters, type=RelayStatus)
    except (TransportError, TimeoutError):
        return None
    return None


async def full_status(instance: Instance) -> InstanceStatus:
    """What ``torq status`` shows: the instance with its feeds. Raises as the former does."""
    found, feeds = await asyncio.gather(instance_status(instance), feed_health(instance))
    return msgspec.structs.replace(found, feeds=feeds)


async def instance_status(instance: Instance) -> InstanceStatus:
    """Services and relays. Raises :class:`ConfigError` or :class:`TorqError` when none are up."""
    config = instance.config()
    processes = Supervisor(instance).processes()
    answers = await asyncio.gather(*(relay_status(domain, instance) for domain in Domain))
    relays = [answer for answer in answers if answer is not None]
    by_name = {f"relay-{relay.domain}": relay for relay in relays}
    services = []
    for process in processes:
        rate, lag, faults = _traffic(process.name, by_name)
        services.append(
            ServiceStatus(
                name=process.name,
                state=process.state,
                pid=process.pid,
                uptime_seconds=process.uptime_seconds,
                restarts=process.restarts,
                rate=rate,
                lag=lag,
                faults=faults,
            )
        )
    order = [spec.name for spec in instance.services(config)]
    services.sort(key=lambda service: order.index(service.name))
    return InstanceStatus(
        runtime_dir=str(instance.runtime_dir),
        console=f"http://127.0.0.1:{config.console.port}/",
        is_sample=config.is_sample,
        healthy=len(relays) == len(RELAY_DOMAINS)
        and all(service.state == "running" for service in services),
        services=services,
        relays=relays,
    )


async def feed_health(instance: Instance) -> list[FeedHealth]:
    """The last report of every adapter. Those that say nothing for two seconds are left out."""
    waiting = {f"adapter-{name}" for name in instance.config().venues}
    now_ns = time.time_ns()
    found: dict[str, FeedHealth] = {}
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            await AsyncSubscriber.connect(
                Domain.MARKET_DATA, types=[SystemHealth], start="earliest",
                runtime_dir=instance.runtime_dir, name="status", timeout=0,
            ) as reports,
        ):  # fmt: skip
            if not waiting:
                return []
            async for message in reports:
                is_last = message.header.timestamp_ns > now_ns - _REPORT_NS
                health = message.get(SystemHealth) if is_last else None
                if health is not None and health.service.startswith("adapter-"):
                    found[health.service] = msgspec.json.decode(health.counters, type=FeedHealth)
                    waiting.discard(health.service)
                if not waiting:
                    break
    except (TransportError, TimeoutError):
        pass  # an incomplete list says itself who is missing
    return [found[name] for name in sorted(found)]


def _traffic(name: str, relays: Mapping[str, RelayStatus]) -> tuple[int, int, int]:
    """Rate, lag and faults of a service, from what the relays say of it."""
    own = relays.get(name)
    if own is not None:
        return own.rate, 0, sum(own.faults.values()) + own.log_errors
    publishers = [p for relay in relays.values() for p in relay.publishers if p.name == name]
    subscribers = [s for relay in relays.values() for s in relay.subscribers if s.name == name]
    return (
        sum(publisher.rate for publisher in publishers),
        sum(subscriber.lag for subscriber in subscribers),
        sum(p.holes + p.repeats for p in publishers)
        + sum(s.gaps + s.holes + s.repeats for s in subscribers),
    )
