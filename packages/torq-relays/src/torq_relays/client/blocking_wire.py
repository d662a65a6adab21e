"""The blocking shell's side of a connection: it does what steps ask, and waits."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from pathlib import Path
from typing import Final, TypeVar

from torq_relays.client.steps import HangUp, Open, Pause, Read, Received, Step, Steps, Write
from torq_relays.transports import unix
from torq_types import ConnectionLostError, TransportError

__all__ = ["BlockingWire"]

T = TypeVar("T")

_RECEIVE: Final = 1 << 18
"""Bytes taken from the socket at a time."""
_LEAST_SECONDS: Final = 1.0
"""For the relay to take what is written: who has no patience to search has that much."""
_LONGEST_SECONDS: Final = 86_400.0
"""The kernel counts milliseconds in 31 bits; whoever wants to wait longer asks again."""


class BlockingWire:
    """A socket, and the loop over steps."""

    def __init__(self, path: Path, timeout: float, *, descriptors: int = 0) -> None:
        """``timeout``: a relay that takes nothing for so many seconds is gone.

        ``descriptors`` is how many may come with what it says; more are closed by the kernel.
        """
        self.socket: socket.socket | None = None
        self.is_torn = False
        """A write was begun and has not ended: nobody knows how much of it was written."""
        self._path = path
        self._timeout = max(timeout, _LEAST_SECONDS)
        self._descriptors = descriptors

    def perform(self, steps: Steps[T]) -> T:
        """Do what ``steps`` ask until they end; their result."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            done: T = end.value
            return done
        except TransportError:
            raise
        except BaseException:  # a signal handler's, in the middle of whatever it was
            self.hang_up()
            raise
        finally:
            steps.close()

    def hang_up(self, *, wake: bool = False) -> None:
        """Close the socket; with ``wake``, so that another thread's wait for it ends first."""
        connection, self.socket = self.socket, None
        self.is_torn = False
        if connection is None:
            return
        if wake:
            with contextlib.suppress(OSError):  # the relay may have left before us
                connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def write(self, data: bytes | memoryview) -> None:
        """Raises :class:`ConnectionLostError`."""
        try:
            connection = self._connected()
            self.is_torn = True
            connection.sendall(data)
            self.is_torn = False
        except TimeoutError as error:  # part of it may be written: nothing goes behind that
            self.hang_up()
            raise self._lost(error) from error
        except OSError as error:
            raise self._lost(error) from error

    def read(self, seconds: float) -> Received | None:
        """What the relay says within ``seconds``. Raises :class:`ConnectionLostError`."""
        connection = self._connected()
        try:
            if seconds > 0:
                # Not select(), which knows the first 1,024 descriptors only.
                waiting = select.poll()
                waiting.register(connection, select.POLLIN)
                if not waiting.poll(min(seconds, _LONGEST_SECONDS) * 1000):
                    return None
            chunk, descriptors, _, _ = socket.recv_fds(
                connection, _RECEIVE, self._descriptors, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return None
        except (OSError, ValueError) as error:  # ValueError: closed by another thread
            raise self._lost(error) from error
        if not chunk:
            raise ConnectionLostError(f"the relay at {self._path} hung up")
        return chunk, list(descriptors)

    def _do(self, step: Step) -> Received | None:
        if isinstance(step, Read):
            return self.read(step.seconds)
        if isinstance(step, Write):
            self.write(step.data)
        elif isinstance(step, Pause):
            time.sleep(step.seconds)
        elif isinstance(step, Open):
            self.socket = unix.connect(self._path, self._timeout)
        elif isinstance(step, HangUp):
            self.hang_up()
        return None

    def _connected(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionLostError(f"no relay answers on {self._path}")
        return self.socket

    def _lost(self, error: Exception) -> ConnectionLostError:
        return ConnectionLostError(f"lost the relay at {self._path}: {error}")
