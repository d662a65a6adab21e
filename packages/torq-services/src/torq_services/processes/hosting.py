"""A node as a process: joined to relays and clocks, its account published, stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from torq_relays import AsyncSubscriber, DirectSink, MessageSink
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.nodes import Node, Subscription
from torq_services.observability import HealthReporter
from torq_services.processes.wiring import RELAY_PATIENCE_SECONDS, last_flush, publisher_for
from torq_types import Domain

__all__ = ["run_node"]

_TICK_SECONDS: Final = 0.1
_TURN_SECONDS: Final = 0.02
"""So long messages of one domain are handed over before it is others' turn."""


async def run_node(
    name: str,
    config: Config,
    instance: Instance,
    *,
    kind: type[Node],
    source: int,
    build: Callable[[Config, MessageSink, int], Node],
) -> None:
    """Run a node of ``kind`` until cancelled.

    ``build`` makes it of the configuration, of the sink to its relay, once that answers, and of a
    time in UTC nanoseconds: the present, or that of the last message of its predecessor when the
    clock has gone back since then. It is called as :class:`Node` promises: this is one event loop.
    """
    async with AsyncExitStack() as open_connections:
        publisher = await open_connections.enter_async_context(
            await publisher_for(kind.publishes, source, name, instance)
        )
        subscribers = [
            (each.domain, await open_connections.enter_async_context(
                await _subscriber(each, name, instance)))
            for each in kind.subscriptions
        ]  # fmt: skip
        sink = DirectSink(publisher)
        node = build(config, sink, max(time.time_ns(), publisher.last_timestamp_ns))
        health = HealthReporter(name, sink, node.account, time.time_ns)
        failures: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_endless(health.run))
                for domain, subscriber in subscribers:
                    tasks.create_task(_endless(_follow, node, domain, subscriber))
                tasks.create_task(_endless(_tick, node))
        except Exception as error:  # noqa: BLE001 - raised below, with what comes at the end
            failures.append(error)
        finally:
            try:
                node.stop(time.time_ns())
            except Exception as error:  # noqa: BLE001 - as above
                failures.append(error)
            try:
                await last_flush(publisher)
            finally:
                if failures:
                    raise ExceptionGroup(f"{name} failed", failures)


async def _subscriber(wanted: Subscription, name: str, instance: Instance) -> AsyncSubscriber:
    return await AsyncSubscriber.connect(
        wanted.domain,
        types=wanted.types,
        start=wanted.start,
        runtime_dir=instance.runtime_dir,
        name=name,
        timeout=RELAY_PATIENCE_SECONDS,
    )


async def _endless(work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """``work`` does not end but by being cancelled from outside; any other end is a failure."""
    try:
        await work(*arguments)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise RuntimeError("a node was cancelled from within; it waits for nothing") from error
        raise
    raise RuntimeError("what a node lives by has ended by itself")


async def _follow(node: Node, domain: Domain, subscriber: AsyncSubscriber) -> None:
    since = time.monotonic()
    async for message in subscriber:
        node.on_message(domain, message, time.time_ns())
        # Who catches up has thousands at hand: the clock, the other domains and a stop must get in.
        if time.monotonic() - since > _TURN_SECONDS:
            await asyncio.sleep(0)
            since = time.monotonic()


async def _tick(node: Node) -> None:
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        node.on_time(time.time_ns())
