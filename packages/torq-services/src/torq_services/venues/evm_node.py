"""A loopback EVM node: JSON-RPC over a WebSocket, from a recorded scenario.

It answers what the scenario knows, as the node did that it was recorded from, reorganisations
included, and refuses everything else. At the scenario's end it begins again, much higher up and
under other hashes, as a chain that nobody has followed to there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from torq_services.venues.scenario import RecordedBlock, Scenario

__all__ = ["EvmNode", "RpcRefusal"]

_LOOP_BLOCKS = 10_000
"""How much higher each repetition lies."""
_METHOD_NOT_FOUND = -32601
_INVALID = -32602
_NOT_AVAILABLE = -32000


class RpcRefusal(Exception):  # noqa: N818 - a JSON-RPC error is an answer
    """An answer that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Block(msgspec.Struct):
    header: dict[str, Any]
    logs: list[dict[str, Any]]
    gas_price: str
    calls: dict[str, str]
    parent: _Block | None


class EvmNode:
    """One node, the same for all its clients; its chain begins with the first of them."""

    def __init__(self, scenario: Scenario, speed: int = 1, speed_scale: int = 1) -> None:
        """``speed / speed_scale`` times as fast as recorded."""
        self._scenario = scenario
        self._step_us = scenario.header.block_ms * 1000 * speed_scale // speed
        self._rows = self._looped()
        self._by_hash: dict[str, _Block] = {}
        self._canonical: dict[int, _Block] = {}
        self._news: list[_Block] = []
        """Every block since the beginning of the scenario, in the order of its announcement."""
        self._start_us: int | None = None
        self._taken = 0

    def routes(self) -> list[BaseRoute]:
        """The WebSocket."""
        return [WebSocketRoute("/evm", self._serve)]

    def advance(self, now_us: int) -> int:
        """Take in the blocks that are due at ``now_us``; when the next one is."""
        if self._start_us is None:
            self._start_us = now_us
        while self._start_us + self._taken * self._step_us <= now_us:
            self._append(*next(self._rows))
            self._taken += 1
        return self._start_us + self._taken * self._step_us

    @property
    def announced(self) -> int:
        """How many blocks there were so far."""
        return self._taken

    def notices(self, since: int, subscriptions: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What subscriptions are told of the blocks after the first ``since``."""
        fresh = self._news[max(0, len(self._news) - (self._taken - since)) :]
        for block in fresh:
            for number, wanted in subscriptions.items():
                if wanted is None:
                    yield _notice(number, block.header)
                    continue
                for log in block.logs:
                    if _matches(log, wanted):
                        yield _notice(number, log)

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """The result of a call. Raises :class:`RpcRefusal`."""
        if method == "eth_chainId":
            return hex(self._scenario.header.chain_id)
        if method == "eth_blockNumber":
            return self._head.header["number"]
        if method == "eth_gasPrice":
            return self._head.gas_price
        if method == "eth_getBlockByHash":
            block = self._by_hash.get(str(parameters[0]))
            return None if block is None else block.header
        if method == "eth_getBlockByNumber":
            block = self._head if parameters[0] == "latest" else self._numbered(parameters[0])
            return None if block is None else block.header
        if method == "eth_getLogs":
            return self._logs(parameters[0])
        if method == "eth_call":
            return self._call(*parameters)
        raise RpcRefusal(_METHOD_NOT_FOUND, f"the method {method} is not in the recorded scenario")

    @property
    def _head(self) -> _Block:
        return self._news[-1]

    def _numbered(self, number: str) -> _Block | None:
        return self._canonical.get(int(number, 16))

    def _at(self, place: Any) -> _Block:
        if place == "latest":
            return self._head
        block = None
        if isinstance(place, dict):
            block = self._by_hash.get(str(place.get("blockHash")))
        elif isinstance(place, str):
            block = self._numbered(place)
        if block is None:
            raise RpcRefusal(_NOT_AVAILABLE, f"block not found: {place}")
        return block

    def _call(self, call: dict[str, str], place: Any = "latest") -> str:
        block: _Block | None = self._at(place)
        key = f"{call['to']}:{call['data']}".lower()
        while block is not None:
            if key in block.calls:
                return block.calls[key]
            block = block.parent
        raise RpcRefusal(3, "execution reverted: not in the recorded scenario")

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            blocks = [self._at({"blockHash": wanted["blockHash"]})]
        else:
            first = int(str(wanted.get("fromBlock", "0x0")), 16)
            blocks = [block for number, block in sorted(self._canonical.items()) if number >= first]
        return [log for block in blocks for log in block.logs if _matches(log, wanted)]

    def _append(self, recorded: RecordedBlock, loop: int, is_first: bool) -> None:
        if is_first:
            self._by_hash.clear()
            self._canonical.clear()
            self._news.clear()
        header = _relabelled(recorded.header, loop)
        block = _Block(
            header,
            [_relabelled(log, loop) for log in recorded.logs],
            recorded.gas_price,
            recorded.calls,
            self._by_hash.get(header["parentHash"]),
        )
        number = int(header["number"], 16)
        for above in [other for other in self._canonical if other >= number]:
            del self._canonical[above]
        self._canonical[number] = block
        self._by_hash[header["hash"]] = block
        self._news.append(block)

    def _looped(self) -> Iterator[tuple[RecordedBlock, int, bool]]:
        loop = 0
        while True:
            for place, recorded in enumerate(self._scenario.blocks):
                yield recorded, loop, place == 0
            loop += 1

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        clock = asyncio.get_running_loop().time
        self.advance(_microseconds(clock()))
        subscriptions: dict[str, Any] = {}
        announcing = asyncio.create_task(self._announce(websocket, subscriptions))
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                # Clients send JSON in frames of either kind.
                text = message.get("text") or message.get("bytes") or b""
                self.advance(_microseconds(clock()))
                await websocket.send_bytes(self._respond(text, subscriptions))
        except (WebSocketDisconnect, RuntimeError):
            return
        finally:
            announcing.cancel()

    async def _announce(self, websocket: WebSocket, subscriptions: dict[str, Any]) -> None:
        clock = asyncio.get_running_loop().time
        told = self.announced
        while True:
            now_us = _microseconds(clock())
            await asyncio.sleep(max(0, self.advance(now_us) - now_us) / 1_000_000)
            self.advance(_microseconds(clock()))
            notices = list(self.notices(told, subscriptions))
            told = self.announced
            with suppress(WebSocketDisconnect, RuntimeError):  # the reader ends the connection
                for notice in notices:
                    await websocket.send_text(msgspec.json.encode(notice).decode())

    def _respond(self, text: str | bytes, subscriptions: dict[str, Any]) -> bytes:
        try:
            request = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            return msgspec.json.encode(_failure(None, -32700, str(error)))
        if isinstance(request, list):
            return msgspec.json.encode([self._one(entry, subscriptions) for entry in request])
        return msgspec.json.encode(self._one(request, subscriptions))

    def _one(self, request: Any, subscriptions: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(request, dict) or "method" not in request:
            return _failure(None, -32600, "expected a JSON-RPC request")
        number, parameters = request.get("id"), request.get("params") or []
        try:
            if request["method"] == "eth_subscribe":
                result: Any = hex(len(subscriptions) + 1)
                is_logs = parameters[0] == "logs"
                subscriptions[result] = parameters[1] if is_logs else None
            elif request["method"] == "eth_unsubscribe":
                result = subscriptions.pop(parameters[0], "") != ""
            else:
                result = self.answer(request["method"], parameters)
        except RpcRefusal as refusal:
            return _failure(number, refusal.code, str(refusal))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return _failure(number, _INVALID, f"{type(error).__name__}: {error}")
        return {"jsonrpc": "2.0", "id": number, "result": result}


def _relabelled(fields: dict[str, Any], loop: int) -> dict[str, Any]:
    """A header or log as it stands in the repetition of number ``loop``."""
    if not loop:
        return fields
    mask = int.from_bytes(hashlib.sha256(b"loop %d" % loop).digest(), "big")
    changed = dict(fields)
    for key in ("hash", "parentHash", "blockHash", "transactionHash"):
        if key in fields:
            changed[key] = f"0x{int(fields[key], 16) ^ mask:064x}"
    for key in ("number", "blockNumber"):
        if key in fields:
            changed[key] = hex(int(fields[key], 16) + loop * _LOOP_BLOCKS)
    return changed


def _matches(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    addresses = wanted.get("address")
    if isinstance(addresses, str):
        addresses = [addresses]
    if addresses is not None and log["address"] not in {a.lower() for a in addresses}:
        return False
    for topic, choice in zip(log["topics"], wanted.get("topics") or [], strict=False):
        if choice is not None and topic not in ([choice] if isinstance(choice, str) else choice):
            return False
    return len(log["topics"]) >= len(wanted.get("topics") or [])


def _notice(subscription: str, result: Any) -> dict[str, Any]:
    parameters = {"subscription": subscription, "result": result}
    return {"jsonrpc": "2.0", "method": "eth_subscription", "params": parameters}


def _failure(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
