"""From the relays to the board, and from the board to the browsers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from torq_codec import Message
from torq_relays import AsyncSubscriber, RelayStatus
from torq_services.adapters import FeedHealth
from torq_services.adapters.chain.health import EvmHealth
from torq_services.processes.wiring import RELAY_PATIENCE_SECONDS
from torq_types import (
    TLV,
    ArbitrageSignal,
    Domain,
    Economics,
    ExecutionReport,
    ProtocolError,
    Role,
    SwapPath,
    SystemHealth,
    TransportError,
)
from torq_web.board import SECTIONS, Board, Section
from torq_web.pages import Pages

__all__ = ["Feeds", "stream_to"]

_RETRY_SECONDS = 0.5
_PUSH_SECONDS = 0.25
"""A browser gets at most four updates a second, each with all that changed since the last."""


class Feeds:
    """Follows the three relays; only reads."""

    def __init__(self, runtime_dir: Path, board: Board) -> None:
        self._runtime_dir = runtime_dir
        self._board = board

    async def run(self) -> None:
        """Follow everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for domain in Domain:
                tasks.create_task(self._monitor(domain))
            tasks.create_task(self._follow(Domain.MARKET_DATA, (SystemHealth,), self._on_health))
            tasks.create_task(
                self._follow(Domain.SIGNAL, (ArbitrageSignal, SystemHealth), self._on_signal)
            )
            tasks.create_task(
                self._follow(Domain.EXECUTION, (ExecutionReport, SystemHealth), self._on_execution)
            )
            tasks.create_task(self._watch_silence())

    async def _monitor(self, domain: Domain) -> None:
        def take(message: Message) -> None:
            health = message.get(SystemHealth)
            if health is not None:
                status = msgspec.json.decode(health.counters, type=RelayStatus)
                self._board.relay(domain.slug, status)

        def lose() -> None:
            self._board.relay(domain.slug, None)

        await self._follow(domain, (), take, role=Role.MONITOR, on_lost=lose)

    async def _follow(
        self,
        domain: Domain,
        types: tuple[type[TLV], ...],
        take: Callable[[Message], None],
        *,
        role: Role = Role.SUBSCRIBER,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        log = structlog.get_logger().bind(domain=domain.slug)
        # All processes start at once: a relay that was never there is given time to come.
        is_missed_from = asyncio.get_running_loop().time() + RELAY_PATIENCE_SECONDS
        while True:
            try:
                async with await AsyncSubscriber.connect(
                    domain,
                    types=types,
                    runtime_dir=self._runtime_dir,
                    name="console",
                    timeout=0,
                    role=role,
                ) as subscriber:
                    is_missed_from = 0.0
                    async for message in subscriber:
                        try:
                            take(message)
                        except (ProtocolError, msgspec.DecodeError) as error:
                            log.warning("message not shown", reason=str(error))
            except TransportError as error:
                if asyncio.get_running_loop().time() >= is_missed_from:
                    log.warning("relay lost", reason=str(error))
                on_lost()
            await asyncio.sleep(_RETRY_SECONDS)

    def _on_health(self, message: Message) -> None:
        health = message.get(SystemHealth)
        if health is None:
            return
        if health.service.startswith("chain-"):
            chain = msgspec.json.decode(health.counters, type=EvmHealth)
            self._board.chain(chain, time.time_ns())
        elif health.service.startswith("adapter-"):
            feed = msgspec.json.decode(health.counters, type=FeedHealth)
            self._board.venue(feed, time.time_ns())

    def _on_signal(self, message: Message) -> None:
        signal, health = message.get(ArbitrageSignal), message.get(SystemHealth)
        header = message.header
        if signal is not None:
            key = f"{header.source}-{header.timestamp_ns}-{header.sequence}"
            economics, path = message.get(Economics), message.get(SwapPath)
            self._board.signal(signal, economics, path, key, header.timestamp_ns)
        elif health is not None:
            counters = msgspec.json.decode(health.counters, type=dict[str, int])
            self._board.strategy(health.service, counters)

    def _on_execution(self, message: Message) -> None:
        report, health = message.get(ExecutionReport), message.get(SystemHealth)
        if report is not None:
            self._board.report(report)
        elif health is not None:
            self._board.executor = msgspec.json.decode(health.counters, type=dict[str, int])
            self._board.versions["execution"] += 1

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._board.check_silence(time.time_ns())


async def stream_to(websocket: WebSocket, board: Board, pages: Pages) -> None:
    """Send what changes until the browser leaves. A slow browser gets fewer, never a backlog."""
    await websocket.accept()
    leaving = asyncio.create_task(_until_left(websocket))
    sent: dict[Section, int] = {}
    try:
        while not leaving.done():
            changed = [name for name in SECTIONS if sent.get(name) != board.versions[name]]
            if changed:
                sent.update({name: board.versions[name] for name in changed})
                await websocket.send_text(pages.fragments(changed))
            await asyncio.wait({leaving}, timeout=_PUSH_SECONDS)
    except (WebSocketDisconnect, RuntimeError) as error:
        structlog.get_logger().info("browser left", reason=type(error).__name__)
    finally:
        leaving.cancel()


async def _until_left(websocket: WebSocket) -> None:
    """The page sends nothing; reading notices that it is closed."""
    try:
        while True:
            await websocket.receive_text()
    except (WebSocketDisconnect, KeyError):
        return
