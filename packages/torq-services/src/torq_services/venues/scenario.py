"""A recorded scenario: the blocks of an EVM node, and what its pools said of themselves at each."""

from __future__ import annotations

import lzma
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec

__all__ = ["POOLS", "RecordedBlock", "Scenario", "ScenarioHeader", "load_header", "load_scenario"]

POOLS = "evm_pools_2026-11"
"""The scenario that ships with torq-services."""


class ScenarioHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    source: str
    """Where it was recorded, and of what."""
    chain_id: int
    block_ms: int
    native: str
    profit_tokens: list[str]
    pools: list[str]
    vault: str


class RecordedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One block as the node announced it; one whose number is not higher begins another branch."""

    header: dict[str, Any]
    gas_price: str
    logs: list[dict[str, Any]]
    calls: dict[str, str]
    """``address:data`` to the answer, where it differs from the parent's."""


class Scenario(msgspec.Struct, frozen=True):
    """Everything."""

    header: ScenarioHeader
    blocks: tuple[RecordedBlock, ...]


@lru_cache(maxsize=4)
def load_header(name: str = POOLS) -> ScenarioHeader:
    """What a scenario is about."""
    with _open(name) as lines:
        return msgspec.json.decode(next(iter(lines)), type=ScenarioHeader)


def load_scenario(name: str = POOLS) -> Scenario:
    """One of the scenarios that ship with torq-services (see NOTICE), by its file's stem."""
    with _open(name) as lines:
        first, *rest = lines
        header = msgspec.json.decode(first, type=ScenarioHeader)
        decoder = msgspec.json.Decoder(RecordedBlock)
        return Scenario(header, tuple(decoder.decode(line) for line in rest))


def _open(name: str) -> lzma.LZMAFile:
    folder = resources.files("torq_services.venues") / "sessions"
    return lzma.LZMAFile(folder / f"{name}.jsonl.xz")  # type: ignore[arg-type]
