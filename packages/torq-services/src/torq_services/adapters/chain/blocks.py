"""Blocks as a chain: what a new head follows, and what it abandons. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from torq_types import TorqError

__all__ = ["BlockHeader", "BlockHistory", "BrokenChainError", "read_header"]


class BrokenChainError(TorqError):
    """A node's blocks do not follow one another."""


class BlockHeader(msgspec.Struct, frozen=True):
    """What a header says that matters here."""

    number: int
    block_hash: bytes
    parent_hash: bytes
    base_fee: int
    """Wei per unit of gas; 0 on chains without EIP-1559."""
    timestamp: int
    """Seconds since 1970."""
    logs_bloom: bytes = b""


class BlockHistory:
    """The last blocks that were followed, each the parent of the next."""

    def __init__(self, depth: int) -> None:
        self._blocks: deque[BlockHeader] = deque(maxlen=depth)

    @property
    def tip(self) -> BlockHeader | None:
        """The last block."""
        return self._blocks[-1] if self._blocks else None

    def knows(self, block_hash: bytes) -> bool:
        """Whether a block is one of those kept."""
        return any(block.block_hash == block_hash for block in self._blocks)

    def at(self, number: int) -> BlockHeader | None:
        """The block of a number, if it is kept."""
        if not self._blocks or not self._blocks[0].number <= number <= self._blocks[-1].number:
            return None
        return self._blocks[number - self._blocks[0].number]

    def restart(self, block: BlockHeader) -> None:
        """Forget everything and begin with ``block``."""
        self._blocks.clear()
        self._blocks.append(block)

    def append(self, block: BlockHeader) -> None:
        """Go on by one. Raises :class:`BrokenChainError` when ``block`` does not follow."""
        tip = self.tip
        if tip is not None and (
            block.parent_hash != tip.block_hash or block.number != tip.number + 1
        ):
            raise BrokenChainError(
                f"block {block.number} follows 0x{block.parent_hash.hex()}, not the last block"
                f" {tip.number} 0x{tip.block_hash.hex()}"
            )
        self._blocks.append(block)

    def abandon(self, ancestor: int) -> list[BlockHeader]:
        """Drop everything above the block of number ``ancestor``; what was dropped."""
        dropped = []
        while self._blocks and self._blocks[-1].number > ancestor:
            dropped.append(self._blocks.pop())
        return dropped


def read_header(fields: Mapping[str, Any]) -> BlockHeader:
    """A header from a node's JSON, or as web3 formats it. Raises :class:`BrokenChainError`."""
    try:
        return BlockHeader(
            _number(fields["number"]),
            _bytes(fields["hash"]),
            _bytes(fields["parentHash"]),
            _number(fields.get("baseFeePerGas") or 0),
            _number(fields["timestamp"]),
            _bytes(fields.get("logsBloom") or b""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenChainError(f"not a block's header: {type(error).__name__} {error}") from error


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
