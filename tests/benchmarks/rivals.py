"""Every contender in the same roles: a relay process, a publisher, subscribers.

A contender's ``relay`` runs in a process of its own until it is killed. ``publish`` sends the
blocks; ``count`` reads until the last message has come. All carry the same 128-byte messages.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq
from subjects import DOMAIN, END, INSTRUMENTS, SIZE

from torq_relays import Publisher, Relay, RingLog, Subscriber, socket_path
from torq_types import TransportError

__all__ = ["CONTENDERS", "Contender", "Nats", "RawCopy", "Torq", "ZeroMq", "nats_server"]

Ready = Callable[[], None]


class Contender(ABC):
    """What carries messages from one process to others."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def relay(self) -> None:
        """Serve, for ever."""

    @abstractmethod
    def publish(self, blocks: Sequence[bytes]) -> None:
        """Send everything; return when it is on its way."""

    @abstractmethod
    def count(self, ready: Ready, *, filtered: bool) -> int:
        """Subscribe, say ``ready``, read to the end; the messages that came."""

    def wait_for(self, path: Path) -> None:
        """Until the relay listens."""
        deadline = time.monotonic() + 10
        while not path.exists():
            if time.monotonic() > deadline:
                raise TransportError(f"{self.name}: nothing listens on {path}")
            time.sleep(0.005)


class Torq(Contender):
    """A market-data relay with its default ring; mapped readers."""

    name = "torq"
    busy_poll = False

    def relay(self) -> None:
        Relay(DOMAIN, RingLog(), socket_path(DOMAIN, self.folder), busy_poll=self.busy_poll).run()

    def publish(self, blocks: Sequence[bytes]) -> None:
        with Publisher.connect(DOMAIN, source=7, runtime_dir=self.folder) as publisher:
            for block in blocks:
                publisher.send_built(block)

    def count(self, ready: Ready, *, filtered: bool) -> int:
        wanted = INSTRUMENTS[:1] if filtered else ()
        count = 0
        with Subscriber.connect(DOMAIN, instruments=wanted, runtime_dir=self.folder) as subscriber:
            ready()
            for batch in subscriber.batches():
                count += len(batch)
                if batch.messages[-16:-8] == END_WORD:
                    break
            if subscriber.gaps:
                raise TransportError("a subscriber was lapped: the figure would be of less work")
        return count


END_WORD = END.position.to_bytes(8, "little")


class ZeroMq(Contender):
    """libzmq's own proxy in C between XSUB and XPUB, PUB and SUB at the ends; nothing dropped."""

    name = "zeromq"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.front = f"ipc://{folder}/front"
        self.back = f"ipc://{folder}/back"

    def relay(self) -> None:
        context = zmq.Context()
        front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        for side, address in ((front, self.front), (back, self.back)):
            side.set_hwm(0)
            side.bind(address)
        zmq.proxy(front, back)

    def publisher(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        sender = context.socket(zmq.PUB)
        sender.set_hwm(0)
        sender.connect(self.front)
        time.sleep(0.2)  # until the subscription has come through
        return sender

    def subscriber(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        receiver = context.socket(zmq.SUB)
        receiver.set_hwm(0)
        receiver.connect(self.back)
        receiver.subscribe(b"")
        time.sleep(0.2)
        return receiver

    def publish(self, blocks: Sequence[bytes]) -> None:
        context = zmq.Context()
        sender = self.publisher(context)
        for block in blocks:
            for at in range(0, len(block), SIZE):
                sender.send(block[at : at + SIZE])
        sender.close()
        context.term()

    def count(self, ready: Ready, *, filtered: bool) -> int:
        context = zmq.Context()
        receiver = self.subscriber(context)
        ready()
        count = 1
        while len(receiver.recv()) == SIZE:
            count += 1
        receiver.close()
        context.term()
        return count


def nats_server() -> str:
    """The server's path, empty without one. Debian keeps it where only root looks."""
    return shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


class Nats(Contender):
    """A core NATS server and the nats-py client."""

    name = "nats"
    port = 14222

    def relay(self) -> None:
        server = nats_server()
        os.execv(server, [server, "-a", "127.0.0.1", "-p", str(self.port), "-l", "/dev/null"])

    def publish(self, blocks: Sequence[bytes]) -> None:
        async def run() -> None:
            import nats

            client = await nats.connect(f"nats://127.0.0.1:{self.port}", pending_size=1 << 26)
            for block in blocks:
                for at in range(0, len(block), SIZE):
                    await client.publish("trades", block[at : at + SIZE])
            await client.flush(60)
            await client.close()

        asyncio.run(run())

    def count(self, ready: Ready, *, filtered: bool) -> int:
        async def run() -> int:
            import nats

            count = 0

            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            done = asyncio.Event()

            async def take(message: object) -> None:
                nonlocal count
                count += 1
                if len(message.data) != SIZE:  # type: ignore[attr-defined]
                    done.set()

            await client.subscribe("trades", cb=take, pending_msgs_limit=-1, pending_bytes_limit=-1)
            await client.flush()
            ready()
            await done.wait()
            await client.close()
            return count

        return asyncio.run(run())


class RawCopy(Contender):
    """A relay that only copies bytes from one socket to others: what sockets allow at best."""

    name = "raw copy"

    def relay(self) -> None:
        path = self.folder / "raw.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        readers: list[socket.socket] = []
        buffer = memoryview(bytearray(1 << 18))
        while True:
            client = listener.accept()[0]
            if client.recv(1) == b"r":
                client.send(b"!")
                readers.append(client)
                continue
            while size := client.recv_into(buffer):
                for reader in readers:
                    reader.sendall(buffer[:size])

    def connect(self, role: bytes) -> socket.socket:
        self.wait_for(self.folder / "raw.sock")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.folder / "raw.sock"))
        client.send(role)
        return client

    def publish(self, blocks: Sequence[bytes]) -> None:
        client = self.connect(b"p")
        for block in blocks:
            client.sendall(block)
        client.close()

    def count(self, ready: Ready, *, filtered: bool) -> int:
        client = self.connect(b"r")
        client.recv(1)
        ready()
        buffer = bytearray(1 << 18)
        total = 0
        while True:
            size = client.recv_into(buffer)
            total += size
            if total % SIZE and bytes(buffer[size - 16 : size - 8]) == END_WORD:
                return total // SIZE + 1


CONTENDERS: dict[str, type[Contender]] = {kind.name: kind for kind in (Torq, ZeroMq, Nats, RawCopy)}
