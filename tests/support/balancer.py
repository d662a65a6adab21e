"""Balancer V2's Vault and weighted pools from their published bytecode."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from evm import Chain, Contract, artifact, selector
from uniswap import FOREVER, SUPPLY

_TASKS = "@balancer-labs/v2-deployments/dist/tasks/20210418-{}/bytecode/{}.json"
_POOL_CREATED = "0x" + keccak(text="PoolCreated(address)").hex()


class BalancerV2:
    """A Vault, its authorizer, and a factory of weighted pools."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.authorizer = self._deployed(
            "authorizer", "Authorizer", encode(["address"], [chain.sender])
        )
        weth = chain.deploy(artifact("@uniswap/v2-periphery/build/WETH9.json"))
        vault = encode(
            ["address", "address", "uint256", "uint256"], [self.authorizer.address, weth, 0, 0]
        )
        self.vault = self._deployed("vault", "Vault", vault)
        self.factory = self._deployed(
            "weighted-pool", "WeightedPoolFactory", encode(["address"], [self.vault.address])
        )
        self.collector = Contract(chain, self.vault.call("getProtocolFeesCollector()", "address"))

    def create(
        self, tokens: list[Contract], weights: list[int], swap_fee: int
    ) -> tuple[Contract, bytes]:
        """A pool and its 32-byte id; its tokens may be taken by the Vault."""
        receipt = self.factory.send(
            "create(string,string,address[],uint256[],uint256,address)",
            "pool", "POOL", [token.address for token in tokens], weights, swap_fee,
            self.chain.sender,
        )  # fmt: skip
        created = next(log for log in receipt["logs"] if log["topics"][0] == _POOL_CREATED)
        pool = Contract(self.chain, "0x" + created["topics"][1][-40:])
        for token in tokens:
            token.send("approve(address,uint256)", self.vault.address, SUPPLY)
        return pool, pool.call("getPoolId()", "bytes32")

    def join(
        self, pool_id: bytes, tokens: list[Contract], amounts: list[int], *, first: bool = False
    ) -> dict[str, Any]:
        """Pay exactly ``amounts`` in."""
        if first:
            wish = encode(["uint256", "uint256[]"], [0, amounts])
        else:
            wish = encode(["uint256", "uint256[]", "uint256"], [1, amounts, 0])
        return self._request("joinPool", pool_id, tokens, [SUPPLY] * len(tokens), wish)

    def exit(self, pool_id: bytes, tokens: list[Contract], shares: int) -> dict[str, Any]:
        """Give ``shares`` back for a part of every token."""
        wish = encode(["uint256", "uint256"], [1, shares])
        return self._request("exitPool", pool_id, tokens, [0] * len(tokens), wish)

    def exit_one(
        self, pool_id: bytes, tokens: list[Contract], shares: int, index: int
    ) -> dict[str, Any]:
        """Give ``shares`` back for one token."""
        wish = encode(["uint256", "uint256", "uint256"], [0, shares, index])
        return self._request("exitPool", pool_id, tokens, [0] * len(tokens), wish)

    def swap(
        self, pool_id: bytes, token_in: Contract, token_out: Contract, amount: int,
        *, exact_out: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Swap through the Vault."""
        sender = self.chain.sender
        return self.vault.send(
            "swap((bytes32,uint8,address,address,uint256,bytes),"
            "(address,bool,address,bool),uint256,uint256)",
            (pool_id, int(exact_out), token_in.address, token_out.address, amount, b""),
            (sender, False, sender, False),
            SUPPLY if exact_out else 0,
            FOREVER,
        )

    def charge(self, fee: int) -> None:
        """The protocol's part of swap fees, times 1e18; pools pay it when liquidity changes."""
        signature = "setSwapFeePercentage(uint256)"
        action = self.collector.call("getActionId(bytes4)", "bytes32", selector(signature))
        self.authorizer.send("grantRole(bytes32,address)", action, self.chain.sender)
        self.collector.send(signature, fee)

    def _request(
        self, name: str, pool_id: bytes, tokens: list[Contract], limits: list[int], wish: bytes
    ) -> dict[str, Any]:
        sender = self.chain.sender
        return self.vault.send(
            f"{name}(bytes32,address,address,(address[],uint256[],bytes,bool))",
            pool_id, sender, sender, ([token.address for token in tokens], limits, wish, False),
        )  # fmt: skip

    def _deployed(self, task: str, name: str, arguments: bytes) -> Contract:
        code = artifact(_TASKS.format(task, name))
        return Contract(self.chain, self.chain.deploy(code, arguments))
