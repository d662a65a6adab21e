"""A real EVM node and the published contracts, for tests that compare with what a chain does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from components import missing
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from running import free_port

from torq_types import InstrumentId, Venue

EVM = Path(__file__).parents[1] / "evm"
MODULES = EVM / "node_modules"
INSTALL = "npm ci --prefix tests/evm"
CHAIN_ID = 31337
ZERO = "0x" + "00" * 20


class RevertedError(Exception):
    """The contract reverted."""


def anvil_path() -> Path | None:
    """The anvil of tests/evm, or the one on the PATH."""
    for candidate in sorted(MODULES.glob("@foundry-rs/anvil-*/bin/anvil*")):
        return candidate
    found = shutil.which("anvil")
    return Path(found) if found else None


class Anvil:
    """An anvil process on a port of its own, which can be killed and started again."""

    def __init__(self, *arguments: str, port: int | None = None) -> None:
        path = anvil_path()
        if path is None:
            missing("anvil", INSTALL)
        self.command = [str(path), *arguments]
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers.

        It keeps every block's state below the home directory, gigabytes of them, and removes them
        only when it ends politely: it gets a home of its own, which goes with it.
        """
        self._home = tempfile.TemporaryDirectory(prefix="torq-anvil-", ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [*self.command, "--port", str(self.port), "--host", "127.0.0.1"],
            env=os.environ | {"HOME": self._home.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                httpx.post(self.http, json=_request("eth_chainId"), timeout=5).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("anvil did not answer within 120 s")

    def stop(self, kill: bool = False) -> None:
        """End it: politely, so that it saves its state, or at once."""
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(30)
        self.process = None
        if self._home is not None:
            self._home.cleanup()


class Chain:
    """JSON-RPC to a node whose accounts are unlocked."""

    def __init__(self, request: Callable[[str, Sequence[Any]], Any], has_anvil: bool) -> None:
        self.rpc = request
        self.has_anvil = has_anvil
        self.accounts: list[str] = request("eth_accounts", [])
        self.sender = self.accounts[0]

    def send(
        self,
        to: str | None,
        payload: bytes,
        value: int = 0,
        sender: str | None = None,
        gas: int = 12_000_000,
    ) -> dict[str, Any]:
        """Send a transaction, mined at once; its receipt. Raises :class:`RevertedError`."""
        transaction: dict[str, Any] = {
            "from": sender or self.sender,
            "data": "0x" + payload.hex(),
            "gas": hex(gas),
            "value": hex(value),
        }
        if to is not None:
            transaction["to"] = to
        transaction_hash = self.rpc("eth_sendTransaction", [transaction])
        receipt = self.receipt(transaction_hash)
        if _number(receipt["status"]) != 1:
            raise RevertedError(payload[:4].hex())
        return receipt

    def receipt(self, transaction_hash: str) -> dict[str, Any]:
        """A transaction's receipt, as soon as it is in a block."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            receipt: dict[str, Any] | None = self.rpc(
                "eth_getTransactionReceipt", [transaction_hash]
            )
            if receipt is not None and receipt.get("blockHash") is not None:
                return receipt
            time.sleep(0.0005)
        raise TimeoutError(f"{transaction_hash} was in no block within 120 s")

    def submit(self, to: str, payload: bytes) -> str:
        """Send a transaction without waiting for its block; its hash."""
        transaction = {
            "from": self.sender,
            "to": to,
            "data": "0x" + payload.hex(),
            "gas": hex(3_000_000),
        }
        transaction_hash: str = self.rpc("eth_sendTransaction", [transaction])
        return transaction_hash

    def call(self, to: str, payload: bytes, block: str = "latest") -> bytes:
        """``eth_call``: what the contract returns."""
        answer: str = self.rpc(
            "eth_call", [{"from": self.sender, "to": to, "data": "0x" + payload.hex()}, block]
        )
        return bytes.fromhex(answer[2:])

    def deploy(self, bytecode: bytes, arguments: bytes = b"") -> str:
        """Deploy a contract; its address."""
        receipt = self.send(None, bytecode + arguments)
        address: str = receipt["contractAddress"]
        return address


class Contract:
    """A contract, spoken to by function signatures: ``pool("swap(uint256)", 3)``."""

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain = chain
        self.address = address

    @property
    def raw(self) -> bytes:
        """The address as 20 bytes."""
        return bytes.fromhex(self.address[2:])

    def send(self, signature: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Transact, and wait for the receipt."""
        return self.chain.send(self.address, calldata(signature, *arguments), **options)

    def submit(self, signature: str, *arguments: Any) -> str:
        """Transact, and do not wait."""
        return self.chain.submit(self.address, calldata(signature, *arguments))

    def call(self, signature: str, returns: str, *arguments: Any, block: str = "latest") -> Any:
        """What a view function returns: a value, or a tuple of several."""
        answer = self.chain.call(self.address, calldata(signature, *arguments), block)
        values = decode(returns.split(","), answer)
        return values[0] if len(values) == 1 else values


@lru_cache(maxsize=1024)
def selector(signature: str) -> bytes:
    """The four bytes that call a function."""
    return bytes(keccak(text=signature))[:4]


@lru_cache(maxsize=1024)
def _types(signature: str) -> tuple[str, ...]:
    inner, depth, part, parts = signature[signature.index("(") + 1 : -1], 0, "", []
    for letter in inner:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return (*parts, part) if part else ()


def calldata(signature: str, *arguments: Any) -> bytes:
    """A call's bytes."""
    return selector(signature) + encode(_types(signature), arguments)


def artifact(path: str) -> bytes:
    """The creation bytecode of a published contract, by its path below node_modules."""
    file = MODULES / path
    if not file.exists():
        missing(path, INSTALL)
    content = json.loads(file.read_text())
    code = content.get("bytecode") or content.get("evm", {}).get("bytecode") or content
    for key in ("object", "creationCode"):
        code = code[key] if isinstance(code, dict) and key in code else code
    text: str = code["bytecode"] if isinstance(code, dict) else code
    return bytes.fromhex(text.removeprefix("0x"))


@contextmanager
def running_anvil(*arguments: str) -> Iterator[Anvil]:
    """An anvil that is ended afterwards."""
    node = Anvil(*arguments)
    node.start()
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def connected(node: Anvil) -> Iterator[Chain]:
    """A chain over an anvil's HTTP.

    The standard library's client: thousands of small requests a test are made in a tenth of what
    a client with more to offer takes for them.
    """
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)

    def post(body: str) -> bytes:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return connection.getresponse().read()

    def request(method: str, parameters: Sequence[Any]) -> Any:
        body = json.dumps(_request(method, parameters))
        try:
            answer = json.loads(post(body))
        except (ConnectionError, http.client.HTTPException):  # the node was started anew
            connection.close()
            answer = json.loads(post(body))
        if "error" in answer:
            raise RevertedError(answer["error"])
        return answer["result"]

    with contextlib.closing(connection):
        yield Chain(request, has_anvil=True)


@contextmanager
def any_chain() -> Iterator[Chain]:
    """A chain on anvil, or on py-evm where there is no anvil."""
    if anvil_path() is not None and os.environ.get("TORQ_TEST_EVM") != "py-evm":
        with running_anvil("--silent", "--gas-limit", "60000000") as node, connected(node) as chain:
            yield chain
        return
    from web3 import EthereumTesterProvider

    provider = EthereumTesterProvider()

    def request(method: str, parameters: Sequence[Any]) -> Any:
        if method == "eth_sendTransaction":
            sent = parameters[0]
            numbers = {key: int(sent[key], 16) for key in ("gas", "value") if key in sent}
            parameters = [{**sent, **numbers}]
        answer: Any = provider.make_request(method, list(parameters))  # type: ignore[arg-type]
        if answer.get("error"):
            raise RevertedError(answer["error"])
        return _plain(answer["result"])

    yield Chain(request, has_anvil=False)


def token_id(contract: Contract) -> InstrumentId:
    """A token of the test chain."""
    return InstrumentId.token(CHAIN_ID, contract.raw)


def pool_id(venue: Venue, contract: Contract) -> InstrumentId:
    """A pool of the test chain."""
    return InstrumentId.pool(venue, CHAIN_ID, contract.raw)


def logs_of(receipt: dict[str, Any], address: str) -> list[dict[str, Any]]:
    """The logs that one contract wrote."""
    return [log for log in receipt["logs"] if log["address"].lower() == address.lower()]


def _request(method: str, parameters: Sequence[Any] = ()) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def _plain(value: Any) -> Any:
    """eth-tester's Python values as JSON-RPC would print them."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {_camel(key): _plain(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
