"""JSON-RPC to EVM nodes over WebSockets: several endpoints, one at a time, within a rate."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware
from websockets.exceptions import WebSocketException

from torq_types import TorqError

__all__ = ["CallError", "Endpoint", "RateLimit", "RpcError", "open_endpoint"]

_TIMEOUT_SECONDS = 20
_RETRIES = 4
_LIMIT_CODES = {429, -32005, -32029}
_MAX_BATCH = 400


class RpcError(TorqError):
    """A node did not answer, or answered with an error."""


class CallError(RpcError):
    """The node answered, and the answer is that the call fails."""


class RateLimit:
    """A token bucket: at most ``per_second`` requests a second, in bursts of as many."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = per_second * 1_000_000
        self._filled_us = time.monotonic_ns() // 1000

    async def take(self, count: int = 1) -> None:
        """Wait until ``count`` more requests are within the rate."""
        self._fill()
        self._left -= count * 1_000_000
        if self._left < 0:
            await asyncio.sleep(-self._left / self._per_second / 1_000_000)

    def _fill(self) -> None:
        now_us = time.monotonic_ns() // 1000
        gained = (now_us - self._filled_us) * self._per_second
        self._left = min(self._per_second * 1_000_000, self._left + gained)
        self._filled_us = now_us


class Endpoint:
    """One connection to one node."""

    def __init__(
        self, web3: AsyncWeb3[WebSocketProvider], url: str, limit: RateLimit, faults: Counter[str]
    ) -> None:
        self._web3 = web3
        self._limit = limit
        self._faults = faults
        self.url = url
        self.requests = 0

    async def request(self, method: str, *parameters: Any) -> Any:
        """One call. Raises :class:`RpcError`."""
        return (await self.batch([(method, parameters)]))[0]

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Many calls in few frames, in order. Raises :class:`RpcError` when one of them fails."""
        results: list[Any] = []
        for start in range(0, len(calls), _MAX_BATCH):
            results += await self._chunk(calls[start : start + _MAX_BATCH])
        return results

    async def subscribe(self, *parameters: Any) -> str:
        """``eth_subscribe``; the subscription's id."""
        try:
            number = str(await self._web3.eth.subscribe(*parameters))
        except (Web3Exception, OSError, TimeoutError, WebSocketException) as error:
            raise RpcError(f"eth_subscribe: {error}") from error
        _heed_cancellation()
        return number

    async def notifications(self) -> AsyncIterator[tuple[str, Any]]:
        """What the subscriptions deliver. Raises :class:`RpcError` when the connection ends."""
        try:
            async for message in self._web3.socket.process_subscriptions():
                yield str(message["subscription"]), message["result"]
        except (Web3Exception, OSError, TimeoutError, WebSocketException) as error:
            raise RpcError(f"the connection ended: {type(error).__name__} {error}") from error
        raise RpcError("the connection ended")

    async def _chunk(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        delay = 0.25
        for _ in range(_RETRIES):
            await self._limit.take(len(calls))
            self.requests += len(calls)
            answers = await self._send(calls)
            errors = [answer["error"] for answer in answers if "error" in answer]
            if not errors:
                return [answer["result"] for answer in answers]
            if not any(error.get("code") in _LIMIT_CODES for error in errors):
                raise CallError(f"{calls[0][0]}: {errors[0].get('message', errors[0])}")
            self._faults["rate_limited"] += 1
            await asyncio.sleep(delay)
            delay *= 2
        raise RpcError(f"{calls[0][0]}: the node refuses so many requests; lower the rate")

    async def _send(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        provider = self._web3.provider
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                # A batch even of one: web3's listener ends with the first error that it meets in a
                # plain answer, and a reverted call is nothing to lose the connection for.
                batch = [(method, list(parameters)) for method, parameters in calls]
                answers = await provider.make_batch_request(batch)  # type: ignore[arg-type]
        except (Web3Exception, OSError, TimeoutError, WebSocketException) as error:
            raise RpcError(f"{calls[0][0]}: {type(error).__name__} {error}") from error
        _heed_cancellation()
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise RpcError(f"{calls[0][0]}: {len(calls)} calls were not answered one by one")
        return sorted(answers, key=lambda answer: int(answer["id"]))


def _heed_cancellation() -> None:
    """Stop here if the task was told to: web3 waits with ``asyncio.wait_for``.

    Before Python 3.12 that forgets a cancellation which arrives together with the answer.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@asynccontextmanager
async def open_endpoint(
    url: str, limit: RateLimit, faults: Counter[str]
) -> AsyncIterator[Endpoint]:
    """A connection to the node at ``url``. Raises :class:`RpcError` when there is none."""
    web3 = AsyncWeb3(WebSocketProvider(url, request_timeout=_TIMEOUT_SECONDS))
    # Polygon's headers carry more extra data than Ethereum's.
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await web3.provider.connect()
    except (Web3Exception, OSError, TimeoutError, WebSocketException) as error:
        raise RpcError(f"{url}: {type(error).__name__} {error}") from error
    try:
        _heed_cancellation()
        yield Endpoint(web3, url, limit, faults)
    finally:
        # The listener re-raises here what ended the connection; that has been said already.
        with suppress(Web3Exception, OSError, WebSocketException):
            await web3.provider.disconnect()
