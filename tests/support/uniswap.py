"""Uniswap V2 and V3 from their published bytecode, with pools to trade in."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from evm import CHAIN_ID, Chain, Contract, artifact

from torq_amm import ConcentratedLiquidityPool, ConstantProductPool
from torq_codec.dex import decode_event, parse_log
from torq_types import TLV, InstrumentId, Venue

FOREVER = 1 << 60
SUPPLY = 1 << 255
V3 = "@uniswap/v3-{}/artifacts/contracts/{}.sol/{}.json"


def token(chain: Chain) -> Contract:
    """A plain ERC-20 that belongs to the chain's first account."""
    code = artifact("@uniswap/v2-periphery/build/ERC20.json")
    return Contract(chain, chain.deploy(code, encode(["uint256"], [SUPPLY])))


def tokens(chain: Chain) -> tuple[Contract, Contract]:
    """Two tokens in the order that pools keep them."""
    first, second = sorted((token(chain), token(chain)), key=lambda contract: contract.raw)
    return first, second


def events(receipt: dict[str, Any], pool: InstrumentId) -> list[TLV]:
    """What a pool logged in a transaction."""
    found = [parse_log(log) for log in receipt["logs"]]
    return [
        decode_event(log, pool)
        for log in found
        if log.address == pool.body[:20] and log.topics[0] not in _IGNORED
    ]


class UniswapV2:
    """A factory, a router, and one pair."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        owner = encode(["address"], [chain.sender])
        factory = artifact("@uniswap/v2-core/build/UniswapV2Factory.json")
        self.factory = Contract(chain, chain.deploy(factory, owner))
        self.weth = Contract(
            chain, chain.deploy(artifact("@uniswap/v2-periphery/build/WETH9.json"))
        )
        router = artifact("@uniswap/v2-periphery/build/UniswapV2Router02.json")
        pair = encode(["address", "address"], [self.factory.address, self.weth.address])
        self.router = Contract(chain, chain.deploy(router, pair))

    def pair(self, token0: Contract, token1: Contract) -> Contract:
        """A new pair."""
        self.factory.send("createPair(address,address)", token0.address, token1.address)
        address = self.factory.call(
            "getPair(address,address)", "address", token0.address, token1.address
        )
        return Contract(self.chain, address)


def v2_pool(pair: Contract, token0: Contract, token1: Contract) -> ConstantProductPool:
    """The pair's state, read from the chain."""
    reserve0, reserve1, _ = pair.call("getReserves()", "uint112,uint112,uint32")
    return ConstantProductPool(
        InstrumentId.pool(Venue.UNISWAP_V2, CHAIN_ID, pair.raw),
        InstrumentId.token(CHAIN_ID, token0.raw),
        InstrumentId.token(CHAIN_ID, token1.raw),
        reserve0,
        reserve1,
    )


class UniswapV3:
    """A factory, a router and a position manager."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.factory = self._deployed("core", "UniswapV3Factory")
        weth = chain.deploy(artifact("@uniswap/v2-periphery/build/WETH9.json"))
        core = [self.factory.address, weth]
        self.router = self._deployed("periphery", "SwapRouter", core)
        self.positions = self._deployed(
            "periphery", "NonfungiblePositionManager", [*core, chain.sender]
        )
        self.factory.send("enableFeeAmount(uint24,int24)", 100, 1)

    def create(self, fee: int, sqrt_price_x96: int) -> tuple[Contract, Contract, Contract]:
        """A new pool with a price; its tokens are approved for everything."""
        token0, token1 = tokens(self.chain)
        for contract in (token0, token1):
            for spender in (self.router, self.positions):
                contract.send("approve(address,uint256)", spender.address, SUPPLY)
        self.factory.send("createPool(address,address,uint24)", token0.address, token1.address, fee)
        address = self.factory.call(
            "getPool(address,address,uint24)", "address", token0.address, token1.address, fee
        )
        pool = Contract(self.chain, address)
        pool.send("initialize(uint160)", sqrt_price_x96)
        return pool, token0, token1

    def mint(
        self, tokens: tuple[Contract, Contract], fee: int, lower: int, upper: int,
        amount0: int, amount1: int,
    ) -> dict[str, Any]:  # fmt: skip
        """Add a position of at most the two amounts."""
        return self.positions.send(
            "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
            (
                tokens[0].address, tokens[1].address, fee, lower, upper, amount0, amount1, 0, 0,
                self.chain.sender, FOREVER,
            ),
        )  # fmt: skip

    def burn(self, position: int, liquidity: int) -> dict[str, Any]:
        """Take liquidity out of a position."""
        return self.positions.send(
            "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))",
            (position, liquidity, 0, 0, FOREVER),
        )

    def collect(self, position: int) -> dict[str, Any]:
        """Collect all that a position is owed."""
        most = (1 << 128) - 1
        return self.positions.send(
            "collect((uint256,address,uint128,uint128))",
            (position, self.chain.sender, most, most),
        )

    def swap(
        self, token_in: Contract, token_out: Contract, fee: int, amount: int, limit: int,
        exact_out: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Swap through the router, down or up to a price limit."""
        name = "exactOutputSingle" if exact_out else "exactInputSingle"
        other = SUPPLY - 1 if exact_out else 0
        return self.router.send(
            f"{name}((address,address,uint24,address,uint256,uint256,uint256,uint160))",
            (
                token_in.address, token_out.address, fee, self.chain.sender, FOREVER, amount,
                other, limit,
            ),
            gas=25_000_000,
        )  # fmt: skip

    def _deployed(self, package: str, name: str, arguments: list[str] | None = None) -> Contract:
        encoded = encode(["address"] * len(arguments), arguments) if arguments else b""
        code = artifact(V3.format(package, name, name))
        return Contract(self.chain, self.chain.deploy(code, encoded))


def v3_pool(
    pool: Contract, token0: Contract, token1: Contract, fee: int, spacing: int
) -> ConcentratedLiquidityPool:
    """A pool without positions, at its price."""
    price, tick, *_ = pool.call("slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool")
    return ConcentratedLiquidityPool(
        InstrumentId.pool(Venue.UNISWAP_V3, CHAIN_ID, pool.raw),
        InstrumentId.token(CHAIN_ID, token0.raw),
        InstrumentId.token(CHAIN_ID, token1.raw),
        fee, spacing, price, tick, 0, {}, {},
    )  # fmt: skip


_IGNORED = [
    bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),  # Transfer
    bytes.fromhex("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"),  # Approval
    # IncreaseObservationCardinalityNext: the oracle's ring grew.
    bytes.fromhex("ac49e518f90a358f652e4400164f05a5d8f7e35e7747279bc3a93dbf584e125a"),
]
