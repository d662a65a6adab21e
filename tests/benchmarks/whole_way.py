"""From an exchange's socket to the relay's acknowledgement: every part that runs in production."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pyperf
import uvloop
from bench_relay import folder, relay_of
from rivals import Torq
from sessions import SESSIONS, Session
from websocket_clients import frame_of, shake_hands

from torq_relays import AsyncPublisher, DirectSink
from torq_services.adapters import ADAPTERS
from torq_services.adapters.exchange.connection import open_connection
from torq_services.adapters.exchange.requests import Fetch
from torq_types import Domain

__all__ = ["main"]

_GO = "go"


def main(runner: pyperf.Runner) -> None:
    """One benchmark an exchange."""
    for session in SESSIONS:
        runner.bench_time_func(
            f"whole way {session.name}, torq", _timed(session), inner_loops=len(session.frames)
        )


def _timed(session: Session) -> Callable[[int], float]:
    return lambda loops: sum(_once(session) for _ in range(loops))


def _once(session: Session) -> float:
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    exchange = multiprocessing.Process(target=_serve, args=(ready, session), daemon=True)
    exchange.start()
    try:
        with folder() as path, relay_of(Torq(path)):
            return uvloop.run(_follow(session, ready.get(), path))
    finally:
        exchange.kill()
        exchange.join()


def _serve(ready: multiprocessing.Queue[int], session: Session) -> None:
    """What comes before the books are in step, and, when told to go on, the rest at once."""
    opening = b"".join(map(frame_of, session.opening))
    rest = b"".join(map(frame_of, session.frames))
    client = shake_hands(ready)
    client.sendall(opening)
    client.recv(64)
    client.sendall(rest)
    client.recv(64)


async def _follow(session: Session, port: int, path: Path) -> float:
    done = asyncio.get_running_loop().create_future()
    expected = len(session.opening) + len(session.frames)
    async with await AsyncPublisher.connect(
        Domain.MARKET_DATA, source=1, runtime_dir=path, timeout=5
    ) as publisher:
        adapter = ADAPTERS[session.adapter](session.symbols, DirectSink(publisher))
        adapter.connected()

        def wake() -> None:
            if adapter.counters.frames >= expected and not done.done():
                done.set_result(None)

        connection = await open_connection(f"ws://127.0.0.1:{port}/", adapter.receive, wake)
        while adapter.counters.frames < len(session.opening):
            await asyncio.sleep(0.001)
        for request in list(adapter.requests):
            if isinstance(request, Fetch):
                adapter.answer(request, session.snapshots[request.symbol])
        assert adapter.is_in_step, adapter.last_doubt
        await publisher.flush()
        begin = time.perf_counter()
        connection.send(_GO)
        await done
        await publisher.flush()
        taken = time.perf_counter() - begin
        assert adapter.is_in_step, adapter.last_doubt
        assert connection.failure is None
        await connection.close()
    return taken
