"""One connection's frames to messages, without a network."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from picows import WSMsgType
from scripted_exchange import Frame, Transport
from virtual_time import in_virtual_time

from torq_services.adapters.exchange import connection as connection_module
from torq_services.adapters.exchange.connection import Connection, open_connection
from torq_types import ConnectionLostError


class Received:
    """A connection, and what came of it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.woken = 0
        self.sent: list[str] = []
        self.error: Exception | None = None
        self.transport = Transport(self.sent.append)
        self.connection: Any = Connection(self._receive, self._wake)
        self.transport.connection = self.connection
        self.connection.on_ws_connected(cast(Any, self.transport))

    def _receive(self, payload: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(payload)

    def _wake(self) -> None:
        self.woken += 1

    def frame(self, payload: bytes, kind: WSMsgType = WSMsgType.TEXT, **values: Any) -> None:
        self.connection.on_ws_frame(self.transport, Frame(payload, kind, **values))


def test_each_message_is_handed_over_and_each_batch_wakes_once() -> None:
    async def main() -> None:
        got = Received()
        got.frame(b"a", last_in_buffer=False)
        assert got.woken == 0
        got.frame(b"b", WSMsgType.BINARY)
        got.frame(b"c", WSMsgType.PING)
        got.frame(b"d", WSMsgType.PONG)
        assert (got.messages, got.woken, got.connection.ended) == ([b"a", b"b"], 1, "")

    in_virtual_time(main())


def test_a_message_in_parts_is_put_together() -> None:
    async def main() -> None:
        got = Received()
        for text in (b"one", b"two"):
            got.frame(text[:1], fin=False)
            got.frame(text[1:2], WSMsgType.CONTINUATION, fin=False)
            assert text not in got.messages
            got.frame(text[2:], WSMsgType.CONTINUATION)
        got.frame(b"three")
        assert got.messages == [b"one", b"two", b"three"]

    in_virtual_time(main())


def test_a_message_without_end_ends_the_connection(monkeypatch: Any) -> None:
    monkeypatch.setattr(connection_module, "_MAX_MESSAGE", 6)

    async def main() -> None:
        got = Received()
        for _ in range(2):
            got.frame(b"123", fin=False)
            got.frame(b"456", WSMsgType.CONTINUATION)
        assert got.messages == [b"123456"] * 2
        got.frame(b"1234", fin=False)
        got.frame(b"567", WSMsgType.CONTINUATION, fin=False)
        assert got.connection.ended == "a message of more than 6 bytes"
        assert got.transport.calls == ["disconnect"]
        got.frame(b"x")
        assert got.messages == [b"123456"] * 2
        got = Received()
        got.frame(b"1234567", fin=False)
        assert got.transport.is_disconnected

    in_virtual_time(main())


def test_a_fault_of_ours_is_kept_for_whoever_runs_it() -> None:
    async def main() -> None:
        got = Received()
        got.error = KeyError("bug")
        got.frame(b"a")
        assert got.connection.failure is got.error
        assert got.connection.ended == "KeyError: 'bug'"
        assert got.transport.is_disconnected

    in_virtual_time(main())


def test_what_the_exchange_says_in_parting_is_kept() -> None:
    async def main() -> None:
        for message, expected in (
            (b"maintenance", "the exchange closed the connection (1012 maintenance)"),
            (None, "the exchange closed the connection (1012)"),
        ):
            got = Received()
            got.frame(b"", WSMsgType.CLOSE, code=1012, message=message)
            assert got.connection.ended == expected
            assert got.transport.is_disconnected
            assert got.woken == 1
            got.connection.send("too late")
            assert got.sent == []

    in_virtual_time(main())


def test_a_connection_may_just_break_off() -> None:
    async def main() -> None:
        got = Received()
        got.connection.send("hello")
        got.connection.on_ws_disconnected(got.transport)
        assert (got.connection.ended, got.woken) == ("the connection broke off", 1)
        got.connection.on_ws_disconnected(got.transport)
        assert got.sent == ["hello"]

    in_virtual_time(main())


def test_age_is_since_the_last_message() -> None:
    async def main() -> None:
        got = Received()
        assert got.connection.age() == 0
        await asyncio.sleep(3)
        assert got.connection.age() == 3
        got.frame(b"", WSMsgType.PING)
        assert got.connection.age() == 3, "an answer of the network's, not of the exchange's"
        got.frame(b"a", fin=False)
        await asyncio.sleep(2)
        assert got.connection.age() == 2

    in_virtual_time(main())


def test_it_says_goodbye_once() -> None:
    async def main() -> None:
        got = Received()
        await got.connection.close()
        assert got.transport.calls == ["close 1000", "disconnect", "waited"]
        await got.connection.close()
        assert got.transport.calls[3:] == ["waited"]
        never: Any = Connection(lambda payload: None, lambda: None)
        never.send("nowhere")
        await never.close()

    in_virtual_time(main())


def test_it_is_opened_with_limits(monkeypatch: Any) -> None:
    """Ten seconds for the handshake, twenty for all of it; 64 MiB for a message."""
    asked: list[tuple[str, dict[str, Any]]] = []
    found: list[Any] = []

    async def connect(factory: Any, url: str, **options: Any) -> tuple[Any, Any]:
        asked.append((url, options))
        if url == "ws://slow":
            await asyncio.sleep(1000)
        found.append(factory())
        return None, found[-1] if url == "ws://x" else object()

    monkeypatch.setattr(connection_module, "ws_connect", connect)

    async def main() -> None:
        got: list[bytes] = []
        woken: list[None] = []
        connection: Any = await open_connection("ws://x", got.append, lambda: woken.append(None))
        assert connection is found[0]
        connection.on_ws_frame(None, Frame(b"a"))
        assert (got, woken) == ([b"a"], [None])
        assert asked == [("ws://x", {"websocket_handshake_timeout": 10, "max_frame_size": 2**26})]
        with pytest.raises(ConnectionLostError, match="ws://odd: no connection"):
            await open_connection("ws://odd", got.append, lambda: None)
        with pytest.raises(TimeoutError):
            await open_connection("ws://slow", got.append, lambda: None)
        assert asyncio.get_running_loop().time() == 20

    in_virtual_time(main())
