"""Ethereum's bloom filter over a block's logs: it never misses, and sometimes errs.

Source: the Yellow Paper, section 4.3.1 (three 11-bit indices of a Keccak-256).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from eth_utils.crypto import keccak

__all__ = ["may_contain_any"]

_BLOOM_SIZE = 256


@lru_cache(maxsize=1 << 16)
def _mask(entry: bytes) -> int:
    digest = keccak(entry)
    bits = (int.from_bytes(digest[at : at + 2], "big") & 0x7FF for at in (0, 2, 4))
    mask = 0
    for bit in bits:
        mask |= 1 << bit
    return mask


def may_contain_any(bloom: bytes, entries: Iterable[bytes]) -> bool:
    """Whether a log of one of the addresses may be in the block; True when there is no filter.

    Chains that leave the field empty or zero in spite of logs cannot be told apart from blocks
    without logs, so an all-zero filter counts as none.
    """
    if len(bloom) != _BLOOM_SIZE:
        return True
    bits = int.from_bytes(bloom, "big")
    if not bits:
        return True
    return any(bits & (mask := _mask(entry)) == mask for entry in entries)
