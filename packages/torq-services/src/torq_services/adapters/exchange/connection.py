"""One WebSocket connection: whole messages to a callback, as they come.

picows hands over frames; a message may come in several, and is put together here. Why picows:
docs/performance.md compares it with websockets and aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from torq_types import ConnectionLostError

__all__ = ["Connection", "open_connection"]

_MAX_MESSAGE = 64 * 1024 * 1024
_OPEN_SECONDS = 10


class Connection(WSListener):
    """A client's end. ``receive`` gets each message; ``wake`` is called after each batch."""

    def __init__(self, receive: Callable[[bytes], None], wake: Callable[[], None]) -> None:
        super().__init__()
        self._receive = receive
        self._wake = wake
        self._parts: list[bytes] = []
        self._size = 0
        self._transport: WSTransport | None = None
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        """When the last message came, by the loop's clock."""
        self.ended = ""
        """Why the connection is over; empty while it is not."""
        self.failure: Exception | None = None
        """What went wrong here, not there: whoever runs the connection raises it."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come; anything but the last part of a message waits."""
        if self.ended:
            return
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self.heard_at = self._loop.time()
            payload = frame.get_payload_as_bytes()
            if self._parts or not frame.fin:
                whole = self._join(payload, is_last=frame.fin)
                if whole is None:
                    return
                payload = whole
            try:
                self._receive(payload)
            except Exception as error:  # noqa: BLE001 - raised again by the feed
                self.failure = error
                self._end(f"{type(error).__name__}: {error}")
            if frame.last_in_buffer:
                self._wake()
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            reason = (frame.get_close_message() or b"").decode(errors="replace")
            self._end(f"the exchange closed the connection ({code} {reason})".replace(" )", ")"))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, whoever ended it."""
        self.ended = self.ended or "the connection broke off"
        self._wake()

    def age(self) -> float:
        """Seconds since the last message came, or since the connection was made."""
        return self._loop.time() - self.heard_at

    def send(self, text: str) -> None:
        """Send a message; one to a connection that is over goes nowhere."""
        if self._transport is not None and not self.ended:
            self._transport.send(WSMsgType.TEXT, text.encode())

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        if self._transport is None:
            return
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect(graceful=False)
        await self._transport.wait_disconnected()

    def _join(self, payload: bytes, *, is_last: bool) -> bytes | None:
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > _MAX_MESSAGE:
            self._end(f"a message of more than {_MAX_MESSAGE} bytes")
            return None
        if not is_last:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return whole

    def _end(self, reason: str) -> None:
        self.ended = reason
        if self._transport is not None:
            self._transport.disconnect(graceful=False)


async def open_connection(
    url: str, receive: Callable[[bytes], None], wake: Callable[[], None]
) -> Connection:
    """Connect. Raises OSError, TimeoutError or :class:`picows.WSError`."""
    async with asyncio.timeout(2 * _OPEN_SECONDS):
        _, connection = await ws_connect(
            lambda: Connection(receive, wake),
            url,
            websocket_handshake_timeout=_OPEN_SECONDS,
            max_frame_size=_MAX_MESSAGE,
        )
    if not isinstance(connection, Connection):
        raise ConnectionLostError(f"{url}: no connection")
    return connection
