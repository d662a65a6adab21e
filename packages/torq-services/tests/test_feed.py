"""The feed against a real WebSocket server: reconnects, watches, starts over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette

from torq_relays import Backoff, CollectingSink
from torq_services.adapters import CoinbaseAdapter, Feed, GeminiAdapter
from torq_services.processes.serving import ServiceServer
from torq_services.venues import sample_app
from torq_services.venues.base import VenueConnection
from torq_services.venues.coinbase import CoinbaseVenue
from torq_services.venues.session import Frame, load_session
from torq_types import InstrumentMeta, InvalidationReason, L2Snapshot, StateInvalidation


@asynccontextmanager
async def serving(app: Starlette, port: int = 0) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = ServiceServer(config)
    task = asyncio.create_task(server.serve_until_cancelled())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def quick() -> Backoff:
    return Backoff(first=0.01, most=0.05, chance=random.Random(1))


async def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_both_feeds_get_in_step_with_the_sample_venues_and_say_when_they_stop() -> None:
    async with serving(sample_app("4")) as port:
        for adapter_class, symbols, path in (
            (CoinbaseAdapter, ("BTC-USD", "ETH-USD"), ("coinbase", "coinbase")),
            (GeminiAdapter, ("BTCUSD", "SOLUSD"), ("gemini/v2/marketdata", "gemini")),
        ):
            sink = CollectingSink()
            adapter = adapter_class(symbols, sink)
            feed = Feed(
                adapter,
                url=f"ws://127.0.0.1:{port}/{path[0]}",
                rest_url=f"http://127.0.0.1:{port}/{path[1]}/",
            )
            task = asyncio.create_task(feed.run())
            await until(lambda feed=feed: feed.state == "in step")  # type: ignore[misc]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            metas = [tlv for tlv in sink.tlvs if isinstance(tlv, InstrumentMeta)]
            assert {meta.instrument.symbol for meta in metas} == set(symbols)
            stale = [tlv for tlv in sink.tlvs if isinstance(tlv, StateInvalidation)]
            assert {tlv.reason for tlv in stale} == {InvalidationReason.SHUTDOWN}
            assert {tlv.instrument.symbol for tlv in stale} == set(symbols)


class _Flaky(CoinbaseVenue):
    """Loses one frame on every first connection."""

    def open(self) -> VenueConnection:
        inner = super().open()
        self.opened = getattr(self, "opened", 0) + 1
        if self.opened > 1:
            return inner
        count = 0

        class Losing(VenueConnection):
            def subscribe(self, text: str) -> bool:
                return inner.subscribe(text)

            def render(self, frame: Frame) -> str | None:
                nonlocal count
                count += 1
                text = inner.render(frame)
                return None if count == 40 else text

        return Losing()


async def test_a_lost_frame_costs_the_books_their_trust_until_the_next_snapshot() -> None:
    venue = _Flaky(load_session("coinbase_advanced_2026-08"), 4)
    async with serving(Starlette(routes=venue.routes())) as port:
        sink = CollectingSink()
        adapter = CoinbaseAdapter(("BTC-USD", "ETH-USD"), sink)
        base = f"127.0.0.1:{port}/coinbase"
        feed = Feed(adapter, url=f"ws://{base}", rest_url=f"http://{base}", backoff=quick())
        task = asyncio.create_task(feed.run())
        await until(lambda: any(isinstance(tlv, StateInvalidation) for tlv in sink.tlvs))
        await until(lambda: adapter.is_in_step)
        assert feed.connects == 1
        kinds = [type(tlv) for tlv in sink.tlvs if isinstance(tlv, L2Snapshot | StateInvalidation)]
        assert kinds == [L2Snapshot] * 2 + [StateInvalidation] * 2 + [L2Snapshot] * 2
        assert adapter.counters.sequence_gaps == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_venue_that_comes_and_goes_is_found_again() -> None:
    sink = CollectingSink()
    adapter = GeminiAdapter(("BTCUSD",), sink)
    async with serving(sample_app("4")) as port:
        base = f"127.0.0.1:{port}/gemini"
        feed = Feed(
            adapter, url=f"ws://{base}/v2/marketdata", rest_url=f"http://{base}", backoff=quick()
        )
        task = asyncio.create_task(feed.run())
        await until(lambda: feed.state == "in step")
    await until(lambda: not adapter.is_in_step)
    assert sum(isinstance(tlv, StateInvalidation) for tlv in sink.tlvs) == 1
    async with serving(sample_app("4"), port):
        await until(lambda: feed.state == "in step")
        assert adapter.is_in_step
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
