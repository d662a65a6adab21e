"""The asyncio shell's side of a connection: it does what steps ask, and lets others run."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final, TypeVar

from torq_relays.client.steps import HangUp, Open, Pause, Read, Received, Step, Steps, Write
from torq_relays.transports import unix
from torq_types import ConnectionLostError, TransportError

__all__ = ["AsyncWire"]

T = TypeVar("T")

_RECEIVE: Final = 1 << 18
_LONGEST_SECONDS: Final = 86_400.0
"""Timers know no infinity; whoever wants to wait longer asks again."""
_OPEN_SECONDS: Final = 5.0
"""Opening a Unix socket never waits for long: the backlog is the relay's."""


class AsyncWire:
    """A socket, and the loop over steps."""

    def __init__(self, path: Path, *, descriptors: int = 0) -> None:
        """``descriptors`` is how many may come with what the relay says; no others are taken."""
        self.socket: socket.socket | None = None
        self._path = path
        self._descriptors = descriptors
        self._ready: asyncio.Future[None] | None = None

    async def perform(self, steps: Steps[T]) -> T:
        """Do what ``steps`` ask until they end; their result."""
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            done: T = end.value
            return done
        finally:
            steps.close()  # cancellation ends them, too

    def hang_up(self) -> None:
        """Close the socket; a task that waits for it learns that it is lost."""
        connection, self.socket = self.socket, None
        if connection is None:
            return
        if self._ready is not None:
            # Before the number of the descriptor can mean another one.
            self._ready.get_loop().remove_reader(connection)
            if not self._ready.done():
                self._ready.set_result(None)
        connection.close()

    def release(self) -> socket.socket:
        """Hand the socket over to whoever serves it from now on."""
        connection, self.socket = self._connected(), None
        return connection

    async def _do(self, step: Step) -> Received | None:
        if isinstance(step, Read):
            return await self._read(step.seconds)
        if isinstance(step, Write):
            await self._write(step.data)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Open):
            self.socket = unix.connect(self._path, _OPEN_SECONDS)
            self.socket.setblocking(False)
        elif isinstance(step, HangUp):
            self.hang_up()
        return None

    async def _write(self, data: bytes | memoryview) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._connected(), data)
        except OSError as error:
            raise self._lost(error) from error

    async def _read(self, seconds: float) -> Received | None:
        connection = self._connected()
        try:
            async with asyncio.timeout(min(seconds, _LONGEST_SECONDS)):
                await self._readable(connection)
            chunk, descriptors, _, _ = socket.recv_fds(connection, _RECEIVE, self._descriptors)
        except (BlockingIOError, TimeoutError):
            return None
        except OSError as error:
            raise self._lost(error) from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        return chunk, list(descriptors)

    def _connected(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionLostError(f"no relay answers on {self._path}")
        return self.socket

    def _lost(self, error: OSError) -> ConnectionLostError:
        return ConnectionLostError(f"lost the relay at {self._path}: {error}")

    async def _readable(self, connection: socket.socket) -> None:
        """Wait until ``connection`` has something to read, or is not ours any more."""
        loop = asyncio.get_running_loop()
        ready = self._ready = loop.create_future()
        loop.add_reader(connection, _settle, ready)
        try:
            await ready
        finally:
            self._ready = None
            if self.socket is connection:
                loop.remove_reader(connection)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
