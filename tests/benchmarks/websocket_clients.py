"""WebSocket clients as receivers of a flood: the bytes of each message, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import multiprocessing
import socket
import struct
import time
from collections.abc import Awaitable, Callable

import aiohttp
import picows
import pyperf
import uvloop
from websockets.asyncio.client import connect

__all__ = ["frame_of", "main", "shake_hands"]

_COUNT = 50_000
_PAYLOAD = b'{"channel":"l2_data","events":"' + b"x" * 147 + b'"}'
"""180 bytes, as most updates are."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def main(runner: pyperf.Runner) -> None:
    """One benchmark a client."""
    for name, client in (("picows", _picows), ("aiohttp", _aiohttp), ("websockets", _websockets)):
        runner.bench_time_func(f"websocket client, {name}", _timed(client), inner_loops=_COUNT)


def _timed(client: Callable[[str, int], Awaitable[float]]) -> Callable[[int], float]:
    def once() -> float:
        ready: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=_serve, args=(ready,), daemon=True)
        server.start()

        async def received() -> float:
            return await client(f"ws://127.0.0.1:{ready.get()}/", _COUNT)

        try:
            return uvloop.run(received())
        finally:
            server.kill()
            server.join()

    return lambda loops: sum(once() for _ in range(loops))


def frame_of(payload: bytes) -> bytes:
    """A server's text frame."""
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 1 << 16:
        return bytes([0x81, 126]) + struct.pack(">H", size) + payload
    return bytes([0x81, 127]) + struct.pack(">Q", size) + payload


def shake_hands(ready: multiprocessing.Queue[int]) -> socket.socket:
    """Tell a port, and accept one WebSocket on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready.put(listening.getsockname()[1])
        client, _ = listening.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    fields = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:-2])
    key = {name.lower(): value for name, value in fields.items()}[b"sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return client


def _serve(ready: multiprocessing.Queue[int]) -> None:
    """Messages as fast as the kernel takes them, encoded beforehand."""
    chunk = frame_of(_PAYLOAD) * 250
    with shake_hands(ready) as client:
        for _ in range(_COUNT // 250):
            client.sendall(chunk)
        client.recv(1)


async def _picows(url: str, count: int) -> float:
    done = asyncio.get_running_loop().create_future()

    class Listener(picows.WSListener):
        seen = 0

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            frame.get_payload_as_bytes()
            self.seen += 1
            if self.seen == count:
                done.set_result(None)

    begin = time.perf_counter()
    transport, _ = await picows.ws_connect(Listener, url)
    await done
    taken = time.perf_counter() - begin
    transport.disconnect()
    return taken


async def _websockets(url: str, count: int) -> float:
    async with connect(url, compression=None, max_size=None) as client:
        begin = time.perf_counter()
        for _ in range(count):
            await client.recv(decode=False)
        return time.perf_counter() - begin


async def _aiohttp(url: str, count: int) -> float:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
        begin = time.perf_counter()
        for _ in range(count):
            await client.receive()
        return time.perf_counter() - begin
