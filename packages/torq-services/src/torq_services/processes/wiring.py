"""What all processes share: how they reach a relay to publish, and how they leave it."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from torq_relays import AsyncPublisher
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_types import Domain, TransportError

__all__ = [
    "MILLION",
    "RELAY_PATIENCE_SECONDS",
    "first_id",
    "last_flush",
    "publisher_for",
    "venues_answer",
]

MILLION: Final = 1_000_000
"""Nanoseconds in a millisecond."""
RELAY_PATIENCE_SECONDS: Final = 60.0
"""A relay that crashed is back sooner; without one there is nothing that a process could do."""
_LAST_FLUSH_SECONDS = 2.0
_LOOK_SECONDS = 0.05


async def publisher_for(
    domain: Domain, source: int, name: str, instance: Instance
) -> AsyncPublisher:
    """Connected to the instance's relay of ``domain`` as ``source``."""
    return await AsyncPublisher.connect(
        domain,
        source=source,
        runtime_dir=instance.runtime_dir,
        name=name,
        timeout=RELAY_PATIENCE_SECONDS,
    )


async def venues_answer(config: Config) -> None:
    """In sample mode, wait until the loopback venues are there: all processes start at once.

    When they do not come, the adapters say so, as they would of an exchange.
    """
    deadline = asyncio.get_running_loop().time() + RELAY_PATIENCE_SECONDS
    while config.is_sample and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", config.sample_port)
        except OSError:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            writer.close()
            return


async def last_flush(publisher: AsyncPublisher) -> None:
    """Before stopping: a relay that is gone already must not hold the stop up."""
    try:
        await publisher.flush(timeout=_LAST_FLUSH_SECONDS)
    except TransportError as error:
        structlog.get_logger().warning("stopping with messages unsent", reason=str(error))


def first_id(now_ns: int) -> int:
    """Ids that a restarted process cannot give out a second time: a million a second.

    ``now_ns`` is not before the last message of the process before; see ``run_node``.
    """
    return now_ns // 1000
