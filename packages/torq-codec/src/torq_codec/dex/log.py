"""An EVM log as a node reports it, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from torq_types import MalformedEventError

__all__ = ["EventLog", "parse_log"]


class EventLog(msgspec.Struct, frozen=True, gc=False):
    """One entry of a block's logs.

    Source: ``eth_getLogs`` of the Ethereum JSON-RPC specification.
    """

    address: bytes
    """The 20 bytes of the contract that wrote it."""
    topics: tuple[bytes, ...]
    """32 bytes each; the first is the Keccak-256 of the event's signature."""
    payload: bytes
    """The ABI-encoded fields that are not indexed."""
    block_number: int = 0
    block_hash: bytes = bytes(32)
    transaction_hash: bytes = bytes(32)
    log_index: int = 0
    removed: bool = False
    """The node takes the log back: its block was abandoned."""


def parse_log(log: Mapping[str, Any]) -> EventLog:
    """A log from a node's JSON, with its hexadecimal texts.

    Raises :class:`MalformedEventError` for anything that is not a log of a block.
    """
    try:
        found = EventLog(
            _bytes(log["address"]),
            tuple(map(_bytes, log["topics"])),
            _bytes(log["data"]),
            int(log["blockNumber"], 16),
            _bytes(log["blockHash"]),
            _bytes(log["transactionHash"]),
            int(log["logIndex"], 16),
            bool(log.get("removed", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEventError(f"not a log of a block: {type(error).__name__} {error}") from None
    sizes = {len(topic) for topic in found.topics} | {
        len(found.block_hash), len(found.transaction_hash),
    }  # fmt: skip
    if len(found.address) != 20 or sizes != {32}:
        raise MalformedEventError(
            "a log has an address of 20 bytes and topics and hashes of 32 bytes; found"
            f" {len(found.address)} and {sorted(sizes)}"
        )
    return found


def _bytes(text: str) -> bytes:
    if text[:2] != "0x":
        raise ValueError(f"expected 0x and hexadecimal digits, found {text[:20]!r}")
    return bytes.fromhex(text[2:])
