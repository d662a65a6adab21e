"""A simulated exchange: its own wire format, its own REST answers, a market that nobody doubts.

Real sockets, real WebSocket frames; a :class:`FaultLine` stands between it and its clients.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from torq_services.venues.simulated.faults import (
    Abort,
    Action,
    Close,
    FaultLine,
    Fragments,
    Stall,
    Text,
    Wait,
)
from torq_services.venues.simulated.market import Change, Market

__all__ = ["Client", "RestAnswer", "SimulatedVenue", "rfc3339"]

RestAnswer = tuple[int, str]
"""HTTP status and body."""
_HEARTBEAT_SECONDS = 0.2


class Client(ABC):
    """One client's view: what it subscribed to, and the messages that it therefore gets."""

    @abstractmethod
    def received(self, text: str) -> list[str]:
        """Answers to a message of the client's."""

    @abstractmethod
    def changed(self, change: Change) -> list[str]:
        """What a change of the market means for this client."""

    @abstractmethod
    def heartbeat(self) -> list[str]:
        """What is sent however quiet the market is."""


class SimulatedVenue(ABC):
    """Serves its market until the context is left."""

    rest_prefixes: tuple[str, ...]
    """Paths that are answered over REST; any other is a WebSocket."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.faults = FaultLine({}, self, 0)
        self.connections = 0
        self.requests: list[str] = []
        """Every message and REST path received."""
        self.refuse_rest = 0
        """So many REST requests are answered with "too many requests"."""
        self.clock: Callable[[], int] = time.time_ns
        """Where the times in its messages come from."""
        self.port = 0
        self._connections: set[ServerConnection] = set()
        self._queues: dict[Client, asyncio.Queue[list[str]]] = {}

    # What each exchange says.

    @abstractmethod
    def open(self) -> Client:
        """A new client."""

    @abstractmethod
    def rest(self, path: str, query: dict[str, str]) -> RestAnswer | None:
        """The body of a REST answer, None for a path that is not there."""

    @abstractmethod
    def is_snapshot(self, text: str) -> bool:
        """Whether this is a whole book."""

    @abstractmethod
    def rate_limit(self) -> str:
        """What it says to those who ask too often."""

    @abstractmethod
    def unknown(self) -> str | None:
        """A message of a kind that nobody has heard of; None where it will come by itself."""

    @abstractmethod
    def with_quantity(self, text: str, quantity: str) -> str | None:
        """The same with another quantity in its first level; None where there is none."""

    def with_wrong_checksum(self, text: str) -> str | None:
        """Most send no checksum."""
        return None

    def with_sequence_jump(self, text: str) -> str | None:
        """Some number nothing."""
        return None

    def maintenance(self) -> str | None:
        """Most just close connections."""
        return None

    @property
    def proves_digits(self) -> bool:
        """Whether a changed digit can be seen."""
        return False

    # The server.

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[Server]:
        """Accept clients on loopback."""
        async with serve(
            self._client, "127.0.0.1", port, process_request=self._process,
            compression=None, ping_interval=None, close_timeout=1,
        ) as server:  # fmt: skip
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield server

    def step(self) -> Change:
        """The market changes once, and every client is told."""
        change = self.market.step()
        for client, queue in self._queues.items():
            queue.put_nowait(client.changed(change))
        return change

    async def disconnect_all(self) -> None:
        """Every connection breaks off."""
        for connection in list(self._connections):
            connection.transport.abort()
            await connection.wait_closed()

    async def trade(self, steps: int, *, per_second: int) -> None:
        """So many changes, spread over time in small bursts."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for done in range(1, steps + 1):
            self.step()
            ahead = start + done / per_second - loop.time()
            if ahead > 1 / 1000:
                await asyncio.sleep(ahead)
            elif not done % 64:
                await asyncio.sleep(0)

    async def _client(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.faults.new_connection()
        client = self.open()
        queue: asyncio.Queue[list[str]] = asyncio.Queue()
        self._queues[client] = queue
        self._connections.add(connection)
        sending = asyncio.create_task(self._send(connection, client, queue))
        try:
            async for text in connection:
                self.requests.append(str(text))
                queue.put_nowait(client.received(str(text)))
        except ConnectionClosed:
            return
        finally:
            del self._queues[client]
            self._connections.discard(connection)
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _send(
        self, connection: ServerConnection, client: Client, queue: asyncio.Queue[list[str]]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    texts = await queue.get()
            except TimeoutError:
                texts = client.heartbeat()
            for text in texts:
                for action in self.faults.actions(text):
                    await self._act(connection, action)

    @staticmethod
    async def _act(connection: ServerConnection, action: Action) -> None:
        if isinstance(action, Text):
            await connection.send(action.text)
        elif isinstance(action, Fragments):
            await connection.send(action.parts)
        elif isinstance(action, Wait):
            await asyncio.sleep(action.seconds)
        elif isinstance(action, Close):
            await connection.close(action.code, action.reason)
        elif isinstance(action, Stall):
            await connection.wait_closed()
        elif isinstance(action, Abort):
            payload = action.beginning.encode()
            # The head of a text frame of 64 KiB, of which only the beginning ever comes.
            connection.transport.write(b"\x81\x7f" + (1 << 16).to_bytes(8, "big") + payload)
            await asyncio.sleep(0)
            connection.transport.abort()

    async def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        if not path.startswith(self.rest_prefixes):
            return None
        self.requests.append(request.path)
        if self.refuse_rest:
            self.refuse_rest -= 1
            return _response(429, '{"error":"too many requests"}', [("Retry-After", "1")])
        pairs = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
        status, body = self.rest(path, pairs) or (404, '{"error":"no such path"}')
        return _response(status, body)


def rfc3339(time_ns: int) -> str:
    """``2026-08-09T21:05:48.228568804Z``."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def _response(status: int, body: str, headers: list[tuple[str, str]] | None = None) -> Response:
    payload = body.encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(payload))),
              ("Connection", "close"), *(headers or [])]  # fmt: skip
    return Response(status, HTTPStatus(status).phrase, Headers(fields), payload)
