"""Pool metadata on disk: read again after a restart, and not trusted when it is damaged."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import structlog

from torq_codec import format_instrument, parse_instrument
from torq_services.adapters.chain.metadata import PoolMetadata
from torq_types import IdentifierError, InstrumentId, Venue

__all__ = ["MetadataCache"]

_FORMAT = 3


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    pool: str
    tokens: list[str]
    decimals: list[int]
    fee: int
    fee_denominator: int
    tick_spacing: int
    rates: list[str]
    symbols: list[str]


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    pools: list[_Entry]
    scanned: dict[str, int]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    sha256: str
    """Of ``content``, byte for byte as it stands in the file."""
    content: msgspec.Raw


class MetadataCache:
    """One file for a chain, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_rebuilt = False
        """The file was damaged, and everything is asked of the chain again."""
        self.scanned: dict[str, int] = {}
        """By factory: up to which block its logs were searched for pools."""
        self._pools: dict[InstrumentId, PoolMetadata] = {}
        self._load()

    def get(self, instrument: InstrumentId) -> PoolMetadata | None:
        """What is known of a pool."""
        return self._pools.get(instrument)

    def of_factory(self, venue: Venue) -> list[InstrumentId]:
        """The pools of a venue that are known."""
        return [pool for pool in self._pools if pool.venue is venue]

    def put(self, metadata: PoolMetadata) -> None:
        """Remember a pool; :meth:`save` writes it."""
        self._pools[metadata.instrument] = metadata

    def save(self) -> None:
        """Replace the file atomically: a crash leaves the old one or the new one."""
        pools = [_entry(metadata) for metadata in self._pools.values()]
        content = msgspec.json.encode(_Content(pools, self.scanned))
        file = _File(_FORMAT, hashlib.sha256(content).hexdigest(), msgspec.Raw(content))
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as stream:
            stream.write(msgspec.json.encode(file))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)

    def _load(self) -> None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            file = msgspec.json.decode(text, type=_File)
            found = hashlib.sha256(bytes(file.content)).hexdigest()
            if file.format != _FORMAT or found != file.sha256:
                raise ValueError(f"format {file.format}, checksum {found[:16]}…")
            content = msgspec.json.decode(file.content, type=_Content)
            for entry in content.pools:
                self.put(_metadata(entry))
            self.scanned = content.scanned
        except (msgspec.DecodeError, ValueError, IdentifierError) as error:
            self.is_rebuilt = True
            self._pools.clear()
            structlog.get_logger().warning(
                "pool metadata on disk is damaged; reading it from the chain again",
                path=str(self._path), reason=str(error),
            )  # fmt: skip


def _entry(metadata: PoolMetadata) -> _Entry:
    return _Entry(
        format_instrument(metadata.instrument),
        [format_instrument(token) for token in metadata.tokens],
        list(metadata.decimals),
        metadata.fee,
        metadata.fee_denominator,
        metadata.tick_spacing,
        [str(rate) for rate in metadata.rates],
        list(metadata.symbols),
    )


def _metadata(entry: _Entry) -> PoolMetadata:
    return PoolMetadata(
        parse_instrument(entry.pool),
        tuple(parse_instrument(token) for token in entry.tokens),
        tuple(entry.decimals),
        entry.fee,
        entry.fee_denominator,
        entry.tick_spacing,
        tuple(int(rate) for rate in entry.rates),
        tuple(entry.symbols),
    )
