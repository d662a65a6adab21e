"""A loopback venue: an exchange's own wire format, from a recorded session."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from torq_services.venues.session import Frame, Session

__all__ = ["LoopbackVenue", "VenueConnection"]

_SETTLE_SECONDS = 0.05
"""Clients send their subscriptions one by one; the replay begins when they are in."""
_SEAM_US = 1_000_000


class VenueConnection(ABC):
    """One client's view: what it subscribed to, and the frames it therefore gets."""

    @abstractmethod
    def subscribe(self, text: str) -> bool:
        """Take a subscription message; returns whether it asks for snapshots once more.

        Raises ValueError for one that the exchange would refuse.
        """

    @abstractmethod
    def render(self, frame: Frame) -> str | None:
        """The frame as this connection gets it, or None when it did not subscribe to it."""


class LoopbackVenue(ABC):
    """Replays a session, looped, to every client from its beginning."""

    prefix: str
    websocket_path: str

    def __init__(self, session: Session, speed: int, speed_scale: int = 1) -> None:
        """``speed / speed_scale`` times as fast as recorded."""
        self.session = session
        self.connections: list[VenueConnection] = []
        """Those that are open, the oldest first."""
        self._speed = speed
        self._speed_scale = speed_scale

    @abstractmethod
    def open(self) -> VenueConnection:
        """A new client's connection."""

    @abstractmethod
    def refusal(self, detail: str) -> str:
        """The exchange's own form of an error message."""

    def answer(self, path: str) -> str | None:
        """The body for a REST path; None for one that was not recorded."""
        return self.session.answers.get(path)

    def routes(self) -> list[BaseRoute]:
        """REST and WebSocket under this venue's prefix."""
        return [
            WebSocketRoute(self.prefix + self.websocket_path, self._serve),
            Route(self.prefix + "/{path:path}", self._answer),
        ]

    async def _answer(self, request: Request) -> Response:
        body = self.answer("/" + request.path_params["path"])
        if body is None:
            return Response('{"error":"not in the recorded session"}', 404)
        return Response(body, media_type="application/json")

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        connection = self.open()
        self.connections.append(connection)
        replay: asyncio.Task[None] | None = None
        try:
            while True:
                text = await websocket.receive_text()
                try:
                    begins_anew = connection.subscribe(text)
                except ValueError as error:
                    await websocket.send_text(self.refusal(str(error)))
                    continue
                if replay is not None and begins_anew:
                    # The only whole books in a recording are those at its beginning.
                    replay.cancel()
                    replay = None
                if replay is None:
                    replay = asyncio.create_task(self._replay(websocket, connection))
        except WebSocketDisconnect:
            return
        finally:
            self.connections.remove(connection)
            if replay is not None:
                replay.cancel()

    async def _replay(self, websocket: WebSocket, connection: VenueConnection) -> None:
        await asyncio.sleep(_SETTLE_SECONDS)
        async for frame in self._looped():
            text = connection.render(frame)
            if text is not None:
                try:
                    await websocket.send_text(text)
                except (WebSocketDisconnect, RuntimeError):
                    return

    async def _looped(self) -> AsyncIterator[Frame]:
        """Every frame when it is due, over and over."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        base_us = 0
        while True:
            for frame in self.session.frames:
                due_us = (base_us + frame.offset_us) * self._speed_scale // self._speed
                delay = start + due_us / 1_000_000 - loop.time()
                await asyncio.sleep(max(0, delay))
                yield frame
            base_us += self.session.frames[-1].offset_us + _SEAM_US
