"""Requests to an EVM node: batches, rates, refusals, and what ends a connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from virtual_time import in_virtual_time
from web3.exceptions import Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware

from torq_services.adapters.chain import rpc
from torq_services.adapters.chain.rpc import (
    CallError,
    Endpoint,
    RateLimit,
    RpcError,
    open_endpoint,
)


def limited(code: int = 429) -> dict[str, Any]:
    return {"error": {"code": code, "message": "slow down"}}


class Node:
    """What web3 would be, with the answers of a test."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[Any]]] = []
        self.answer: Callable[[int, str, list[Any]], dict[str, Any]] = lambda number, m, p: {
            "result": f"{m}{p}"
        }
        """By the number of the batch."""
        self.failure: Exception | None = None
        self.turned = False
        self.provider = SimpleNamespace(make_batch_request=self._batch, connect=self._connect,
                                        disconnect=self._disconnect)  # fmt: skip
        self.eth = SimpleNamespace(subscribe=self._subscribe)
        self.socket = SimpleNamespace(process_subscriptions=self._process)
        self.middleware_onion = SimpleNamespace(inject=self._inject)
        self.calls: list[Any] = []
        self.faults: Counter[str] = Counter()

    def endpoint(self, per_second: int = 10**6) -> Endpoint:
        web3: Any = self
        return Endpoint(web3, "ws://x", RateLimit(per_second), self.faults)

    async def _batch(self, calls: Sequence[tuple[str, list[Any]]]) -> Any:
        if self.failure is not None:
            raise self.failure
        number = len(self.batches)
        self.batches.append((asyncio.get_running_loop().time(), list(calls)))
        found = [{"id": n, **self.answer(number, *call)} for n, call in enumerate(calls)]
        return found[::-1] if self.turned else found

    async def _connect(self) -> None:
        self.calls.append("connect")
        if self.failure is not None:
            raise self.failure

    async def _disconnect(self) -> None:
        self.calls.append("disconnect")
        raise Web3Exception("ended already")

    async def _subscribe(self, *parameters: Any) -> str:
        if self.failure is not None:
            raise self.failure
        return f"subscription to {parameters}"

    async def _process(self) -> AsyncIterator[dict[str, Any]]:
        yield {"subscription": 7, "result": "a"}
        if self.failure is not None:
            raise self.failure

    def _inject(self, middleware: Any, layer: int) -> None:
        self.calls.append((middleware, layer))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """The rate limit's clock is the loop's."""
    clock = SimpleNamespace(monotonic_ns=lambda: int(asyncio.get_running_loop().time() * 10**9))
    monkeypatch.setattr(rpc, "time", clock)
    return Node()


def test_answers_come_in_the_order_of_the_calls(node: Node) -> None:
    async def main() -> None:
        endpoint = node.endpoint()
        node.turned = True
        assert await endpoint.batch([("a", (1, 2)), ("b", ()), ("c", ("x",))]) == [
            "a[1, 2]", "b[]", "c['x']",
        ]  # fmt: skip
        assert await endpoint.request("d", 5) == "d[5]"
        assert await endpoint.batch([]) == []
        assert [calls for _, calls in node.batches] == [
            [("a", [1, 2]), ("b", []), ("c", ["x"])], [("d", [5])],
        ]  # fmt: skip
        assert endpoint.requests == 4

    in_virtual_time(main())


def test_a_frame_holds_400_calls(node: Node) -> None:
    async def main() -> None:
        found = await node.endpoint().batch([(str(n), ()) for n in range(801)])
        assert found == [f"{n}[]" for n in range(801)]
        assert [len(calls) for _, calls in node.batches] == [400, 400, 1]

    in_virtual_time(main())


def test_a_call_that_fails_is_named(node: Node) -> None:
    node.answer = lambda number, method, parameters: (
        {"error": {"code": 3, "message": "execution reverted"}} if method == "b" else {"result": 1}
    )

    async def main() -> None:
        with pytest.raises(CallError, match="a: execution reverted"):
            await node.endpoint().batch([("a", ()), ("b", ())])
        assert (len(node.batches), node.faults) == (1, {})
        node.answer = lambda number, method, parameters: {"error": {"code": 3}}
        with pytest.raises(CallError, match=r"a: \{'code': 3\}"):
            await node.endpoint().request("a")

    in_virtual_time(main())


@pytest.mark.parametrize("code", [429, -32005, -32029])
def test_a_node_that_refuses_so_many_is_asked_again_later(node: Node, code: int) -> None:
    node.answer = lambda number, method, parameters: (
        limited(code) if number < 3 and method == "b" else {"result": number}
    )

    async def main() -> None:
        endpoint = node.endpoint()
        assert await endpoint.batch([("a", ()), ("b", ())]) == [3, 3]
        assert [at for at, _ in node.batches] == [0, 0.25, 0.75, 1.75]
        assert (node.faults, endpoint.requests) == ({"rate_limited": 3}, 8)

    in_virtual_time(main())


def test_a_node_that_refuses_for_ever_is_left(node: Node) -> None:
    node.answer = lambda number, method, parameters: limited()

    async def main() -> None:
        with pytest.raises(RpcError, match="a: the node refuses so many requests") as refusal:
            await node.endpoint().request("a")
        assert not isinstance(refusal.value, CallError)
        assert (len(node.batches), node.faults) == (4, {"rate_limited": 4})
        assert asyncio.get_running_loop().time() == 3.75

    in_virtual_time(main())


def test_a_batch_that_is_not_answered_one_by_one_is_refused(node: Node) -> None:
    async def main() -> None:
        endpoint = node.endpoint()
        for answer in ([], [{"id": 0, "result": 1}], {"id": 0, "result": 1}):

            async def batch(calls: Any, answer: Any = answer) -> Any:
                return answer

            node.provider.make_batch_request = batch
            with pytest.raises(RpcError, match="a: 2 calls were not answered one by one"):
                await endpoint.batch([("a", ()), ("b", ())])

    in_virtual_time(main())


@pytest.mark.parametrize("failure", [Web3Exception("odd"), OSError("gone"), TimeoutError()])
def test_whatever_goes_wrong_is_one_kind_of_error(node: Node, failure: Exception) -> None:
    async def main() -> None:
        endpoint = node.endpoint()
        node.failure = failure
        with pytest.raises(RpcError, match=f"a: {type(failure).__name__}"):
            await endpoint.request("a")
        with pytest.raises(RpcError, match="eth_subscribe: "):
            await endpoint.subscribe("newHeads")
        notices = endpoint.notifications()
        assert await anext(notices) == ("7", "a")
        with pytest.raises(RpcError, match=f"the connection ended: {type(failure).__name__}"):
            await anext(notices)

    in_virtual_time(main())


def test_notices_that_end_end_the_connection(node: Node) -> None:
    async def main() -> None:
        endpoint = node.endpoint()
        assert await endpoint.subscribe("logs", {}) == "subscription to ('logs', {})"
        notices = endpoint.notifications()
        await anext(notices)
        with pytest.raises(RpcError, match=r"the connection ended$"):
            await anext(notices)

    in_virtual_time(main())


def test_a_node_has_twenty_seconds_to_answer(node: Node) -> None:
    async def main() -> None:
        async def never(calls: Any) -> Any:
            await asyncio.sleep(1000)

        node.provider.make_batch_request = never
        with pytest.raises(RpcError, match="a: TimeoutError"):
            await node.endpoint().request("a")
        assert asyncio.get_running_loop().time() == 20

    in_virtual_time(main())


async def forgetful(*parameters: Any) -> Any:
    """As asyncio.wait_for before Python 3.12: a cancellation that meets the answer is lost."""
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        return [{"id": 0, "result": 1}]
    return [{"id": 0, "result": 1}]


def test_a_cancellation_that_comes_with_the_answer_is_heeded(node: Node) -> None:

    async def main() -> None:
        endpoint = node.endpoint()
        node.provider.make_batch_request = forgetful
        node.eth.subscribe = forgetful
        for call in (endpoint.request("a"), endpoint.subscribe("newHeads")):
            task = asyncio.create_task(call)
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await endpoint.request("a") == 1, "nobody was told to stop"

    in_virtual_time(main())


def test_requests_wait_for_their_rate_to_the_second(node: Node) -> None:
    """Ten a second: ten at once, then one every tenth; what is saved up is ten at most."""

    async def main() -> None:
        await asyncio.sleep(50)
        loop, limit = asyncio.get_running_loop(), RateLimit(10)
        await limit.take(10)
        assert loop.time() == 50
        await limit.take()
        assert loop.time() == pytest.approx(50.1)
        await limit.take(5)
        assert loop.time() == pytest.approx(50.6)
        await asyncio.sleep(100)
        started = loop.time()
        await limit.take(10)
        assert loop.time() == started
        await limit.take(2)
        assert loop.time() == pytest.approx(started + 0.2)

    in_virtual_time(main())


def test_the_rate_counts_calls_not_frames(node: Node) -> None:
    async def main() -> None:
        endpoint = node.endpoint(per_second=10)
        await endpoint.batch([("a", ())] * 10)
        await endpoint.batch([("a", ())] * 10)
        assert [at for at, _ in node.batches] == pytest.approx([0, 1])

    in_virtual_time(main())


def test_a_connection_is_opened_and_closed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[tuple[str, float]] = []
    monkeypatch.setattr(
        rpc, "WebSocketProvider", lambda url, request_timeout: urls.append((url, request_timeout))
    )
    monkeypatch.setattr(rpc, "AsyncWeb3", lambda provider: node)

    async def opened(faults: Counter[str]) -> None:
        async with open_endpoint("ws://x", RateLimit(10), faults):
            raise AssertionError("told to stop")

    async def main() -> None:
        faults: Counter[str] = Counter()
        async with open_endpoint("ws://x", RateLimit(10), faults) as endpoint:
            assert (endpoint.url, endpoint.requests) == ("ws://x", 0)
            assert await endpoint.request("a") == "a[]"
        assert urls == [("ws://x", 20)]
        assert node.calls == [(ExtraDataToPOAMiddleware, 0), "connect", "disconnect"]
        node.provider.connect = forgetful
        task = asyncio.create_task(opened(faults))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert node.calls[-1] == "disconnect"
        node.provider.connect = node._connect
        node.calls.clear()
        node.failure = OSError("no route")
        with pytest.raises(RpcError, match="ws://x: OSError no route"):
            async with open_endpoint("ws://x", RateLimit(10), faults):
                pass
        assert node.calls[-1] == "connect"

    in_virtual_time(main())
