"""Quotes and event decoding.

This file alone: ``uv run python tests/benchmarks/bench_pools.py --fast``.
"""

from __future__ import annotations

from typing import Any

import pyperf
from eth_abi.abi import decode as abi_decode
from eth_utils.crypto import keccak
from pools import CROSSINGS, E18, constant, crossing_amount, ranged
from web3 import Web3
from web3.datastructures import AttributeDict

from torq_amm import get_amount_out
from torq_codec.dex import decode_event, parse_log
from torq_types import InstrumentId, Venue

_V2_SWAP = "Swap(address,uint256,uint256,uint256,uint256,address)"
_V3_SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24)"


def main() -> None:
    """Measure everything in one run."""
    runner = pyperf.Runner()
    quotes(runner)
    decoding(runner)


def quotes(runner: pyperf.Runner) -> None:
    """Swaps through one pool: the amount out, and the pool that comes after."""
    pool = constant()
    runner.bench_func("quote V2, torq", pool.swap_exact_in, pool.token0, E18)
    runner.bench_func(
        "amount V2, torq", get_amount_out, E18, pool.reserve0, pool.reserve1, 997, 1000
    )
    deep = ranged()
    for crossings in CROSSINGS:
        amount = crossing_amount(deep, crossings)
        runner.bench_func(
            f"quote V3 over {crossings}, torq", deep.swap_exact_in, deep.token0, amount
        )


def decoding(runner: pyperf.Runner) -> None:
    """A log to its event: ours from a parsed log, and from the node's JSON; web3's; eth-abi's."""
    address = "0x" + "09" * 20
    for version, signature, venue, words in (
        ("V2", _V2_SWAP, Venue.UNISWAP_V2, [E18, 0, 0, 2 * E18]),
        ("V3", _V3_SWAP, Venue.UNISWAP_V3, [E18, -2 * E18, 1 << 96, 10 * E18, -5]),
    ):
        pool = InstrumentId.pool(venue, 1, b"\x09" * 20)
        payload = b"".join((word % (1 << 256)).to_bytes(32, "big") for word in words)
        account = bytes(12) + b"\x07" * 20
        topics = [keccak(text=signature), account, account]
        raw = {
            "address": address, "data": "0x" + payload.hex(),
            "topics": ["0x" + topic.hex() for topic in topics],
            "blockNumber": "0x10", "blockHash": "0x" + "22" * 32,
            "transactionHash": "0x" + "33" * 32, "transactionIndex": "0x1", "logIndex": "0x2",
            "removed": False,
        }  # fmt: skip
        log = parse_log(raw)
        runner.bench_func(f"decode {version}, torq", decode_event, log, pool)
        runner.bench_func(f"decode {version}, torq from JSON", _from_json, raw, pool)
        runner.bench_func(f"decode {version}, web3", *_by_web3(signature, raw, topics, payload))
        kinds = signature.partition("(")[2][:-1].split(",")
        inner = [kind for kind in kinds if kind != "address"]
        runner.bench_func(f"decode {version}, eth-abi", abi_decode, inner, payload)


def _from_json(raw: dict[str, Any], pool: InstrumentId) -> Any:
    return decode_event(parse_log(raw), pool)


def _by_web3(
    signature: str, raw: dict[str, Any], topics: list[bytes], payload: bytes
) -> tuple[Any, Any]:
    kinds = signature.partition("(")[2][:-1].split(",")
    inputs = [
        {"name": f"a{place}", "type": kind, "indexed": kind == "address"}
        for place, kind in enumerate(kinds)
    ]
    abi = [{"type": "event", "name": "Swap", "anonymous": False, "inputs": inputs}]
    event = Web3().eth.contract(abi=abi).events.Swap()
    # As web3 itself would have formatted the node's answer.
    log = AttributeDict(
        {
            **raw, "address": Web3.to_checksum_address(raw["address"]), "data": payload,
            "topics": topics, "blockNumber": 16, "transactionIndex": 1, "logIndex": 2,
            "blockHash": b"\x22" * 32, "transactionHash": b"\x33" * 32,
        }
    )  # fmt: skip
    return event.process_log, log


if __name__ == "__main__":
    main()
