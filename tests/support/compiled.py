"""Contracts written for the tests, compiled as they are needed, and pools made of them."""

from __future__ import annotations

from functools import lru_cache

from components import missing
from eth_abi.abi import encode
from evm import EVM, Chain, Contract

SUPPLY = 1 << 200


@lru_cache
def compiled(name: str) -> bytes:
    """The creation bytecode of a contract of tests/evm/contracts."""
    try:
        from vyper import compile_code  # type: ignore[import-untyped]
    except ImportError:
        missing("vyper", "uv sync, on CPython below 3.14")
    source = (EVM / "contracts" / f"{name}.vy").read_text()
    text: str = compile_code(source, output_formats=["bytecode"])["bytecode"]
    return bytes.fromhex(text.removeprefix("0x"))


def named_token(chain: Chain, symbol: str, decimals: int) -> Contract:
    """An ERC-20 that belongs to the chain's first account."""
    arguments = encode(["string", "uint8", "uint256"], [symbol, decimals, SUPPLY])
    return Contract(chain, chain.deploy(compiled("Token"), arguments))


def stable_swap(
    chain: Chain, coins: tuple[Contract, Contract], amplification: int, fee: int, admin_fee: int
) -> Contract:
    """A StableSwap pool without liquidity; it may take the first account's coins."""
    arguments = encode(
        ["address[2]", "uint256", "uint256", "uint256"],
        [[coin.address for coin in coins], amplification, fee, admin_fee],
    )
    pool = Contract(chain, chain.deploy(compiled("StableSwap"), arguments))
    for coin in coins:
        coin.send("approve(address,uint256)", pool.address, SUPPLY)
    return pool
