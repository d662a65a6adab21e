"""The console's Starlette application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.observability.metrics import EXPOSITION_TYPE, exposition
from torq_web.board import Board
from torq_web.pages import Pages
from torq_web.security import LoopbackOnly
from torq_web.streams import Feeds, stream_to

__all__ = ["create_app"]


def create_app(config: Config, instance: Instance, board: Board | None = None) -> Starlette:
    """The console of ``instance``. It follows the relays for as long as it is served."""
    board = board or Board()
    pages = Pages(board, config)

    async def index(request: Request) -> HTMLResponse:
        return HTMLResponse(pages.page(), headers={"cache-control": "no-store"})

    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        feeds = [card.health for card in board.venues.values() if not card.is_silent]
        relays = [status for status in board.relays.values() if status is not None]
        return Response(exposition(feeds, relays), media_type=EXPOSITION_TYPE)

    async def stream(websocket: WebSocket) -> None:
        await stream_to(websocket, board, pages)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(Feeds(instance.runtime_dir, board).run())
        try:
            yield
        finally:
            following.cancel()

    static = StaticFiles(directory=str(resources.files("torq_web") / "static"))
    return Starlette(
        routes=[
            Route("/", index),
            Route("/healthz", health),
            Route("/metrics", metrics),
            WebSocketRoute("/stream", stream),
            Mount("/static", static),
        ],
        middleware=[Middleware(LoopbackOnly)],
        lifespan=lifespan,
    )
