"""Pools in step with their chain, or stale: never anything between."""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal

import msgspec

from torq_amm import Pool
from torq_services.state.pool_values import pool_of
from torq_types import (
    TLV,
    GasPrice,
    InstrumentId,
    InvalidationReason,
    PoolBalanceChange,
    PoolBurn,
    PoolFee,
    PoolInitialize,
    PoolMint,
    PoolPayment,
    PoolState,
    PoolStateError,
    PoolSwap,
    PoolSync,
    StalePoolError,
    StateInvalidation,
    SwapError,
)

__all__ = ["POOL_EVENTS", "ChainBlock", "PoolEntry", "PoolMarket", "PoolUpdate"]

POOL_EVENTS = (
    PoolBalanceChange, PoolBurn, PoolFee, PoolInitialize, PoolMint, PoolPayment, PoolSwap, PoolSync,
)  # fmt: skip
_END_OF_BLOCK = 1 << 32


class ChainBlock(msgspec.Struct, frozen=True):
    """A block that is complete."""

    number: int
    block_hash: bytes
    parent_hash: bytes
    base_fee: int = 0
    """Wei per unit of gas."""
    priority_fee: int = 0
    timestamp: int = 0
    """Seconds since 1970."""


class PoolUpdate(msgspec.Struct):
    """What a message changed."""

    changed: dict[InstrumentId, None]
    """Pools whose value at the end of a block is another one, or that turned stale; in order."""
    rolled_back: dict[InstrumentId, None]
    """Pools of which blocks were abandoned: what was drawn from those is void."""


class PoolEntry:
    """One pool: the value that readers get, the one being built, and how it came about."""

    def __init__(self, instrument: InstrumentId, history_blocks: int) -> None:
        self.instrument = instrument
        self.status: Literal["verified", "stale"] = "stale"
        self.reason: InvalidationReason | None = None
        self.decimals: tuple[int, ...] = ()
        self.events = 0
        self._building: Pool | None = None
        self._position = (-1, 0)
        self._event_block = -1
        self._history: deque[tuple[int, Pool]] = deque(maxlen=history_blocks)
        """The value at the end of each block that changed it."""

    @property
    def value(self) -> Pool:
        """The pool at the end of the last complete block. Raises :class:`StalePoolError`."""
        if self.status != "verified":
            reason = "never seen" if self.reason is None else self.reason.name.lower()
            raise StalePoolError(
                f"the pool 0x{self.instrument.body.hex()} is stale ({reason}); wait for its state"
            )
        return self._history[-1][1]

    @property
    def last_event_block(self) -> int:
        """The highest block of which an event was taken or may have been; -1 before any."""
        return max(self._event_block, self.block_number)

    @property
    def block_number(self) -> int:
        """The block of the last change; -1 before the first state."""
        return self._history[-1][0] if self._history else -1

    def load(self, state: PoolState) -> None:
        """Start from a whole state. Raises :class:`PoolStateError`."""
        value = pool_of(state)
        self._building = value
        self.decimals = tuple(token.decimals for token in state.tokens)
        is_end = state.transaction_hash == bytes(32)
        self._position = state.block_number, _END_OF_BLOCK if is_end else state.log_index
        self._history.clear()
        self._history.append((state.block_number, value))
        self.status, self.reason = "verified", None

    def take(self, event: TLV, block_number: int, log_index: int) -> bool:
        """Apply an event; False for one that is already in. Raises :class:`PoolStateError`."""
        if self._building is None or (block_number, log_index) <= self._position:
            return False
        try:
            self._building = self._building.apply(event)
        except SwapError as error:
            raise PoolStateError(str(error)) from error
        self._position = block_number, log_index
        self._event_block = block_number
        self.events += 1
        return True

    def complete(self, block_number: int) -> bool:
        """A block is complete; returns whether it changed the pool."""
        if self._building is None or self.status != "verified":
            return False
        self._position = max(self._position, (block_number, _END_OF_BLOCK))
        if self._building is self._history[-1][1]:
            return False
        self._history.append((block_number, self._building))
        return True

    def roll_back(self, block_number: int) -> bool:
        """Back to the end of ``block_number``; stale, and False, when that is too long ago."""
        while self._history and self._history[-1][0] > block_number:
            self._history.pop()
        if not self._history or self._building is None:
            self.invalidate(InvalidationReason.REORGANISED)
            return False
        self._building = self._history[-1][1]
        self._position = block_number, _END_OF_BLOCK
        self._event_block = min(self._event_block, block_number)
        return True

    def invalidate(self, reason: InvalidationReason) -> None:
        """Nobody may read it until a state arrives."""
        self.status, self.reason = "stale", reason
        self._building = None


class PoolMarket:
    """Every pool that the market-data relay speaks of, by its messages alone.

    Events change a pool when their block is complete (:class:`GasPrice`): what readers get is
    always the state at the end of a block. ``history_blocks`` is how many changes of each pool are
    kept, and so how deep a reorganisation may be.
    """

    def __init__(self, history_blocks: int = 128) -> None:
        self.entries: dict[InstrumentId, PoolEntry] = {}
        self.blocks: dict[int, deque[ChainBlock]] = {}
        """By chain id, the last complete blocks."""
        self.faults: Counter[str] = Counter()
        self._history_blocks = history_blocks
        self._touched: dict[int, dict[InstrumentId, None]] = {}

    def value(self, instrument: InstrumentId) -> Pool:
        """The pool at the end of the last complete block. Raises :class:`StalePoolError`."""
        entry = self.entries.get(instrument)
        if entry is None:
            raise StalePoolError(f"no state of the pool 0x{instrument.body.hex()} was seen yet")
        return entry.value

    def apply(self, tlv: TLV) -> PoolUpdate:
        """Take one TLV; those that are not of pools change nothing."""
        update = PoolUpdate({}, {})
        if isinstance(tlv, POOL_EVENTS):
            self._event(tlv, update)
        elif isinstance(tlv, PoolState):
            self._state(tlv, update)
        elif isinstance(tlv, GasPrice):
            self._complete(tlv, update)
        elif isinstance(tlv, StateInvalidation) and tlv.instrument in self.entries:
            self._invalidation(tlv, update)
        return update

    def lose(
        self, chain_ids: set[int] | None, reason: InvalidationReason
    ) -> dict[InstrumentId, None]:
        """Mark every pool (of these chains) stale; returns those that were verified, in order."""
        lost: dict[InstrumentId, None] = {}
        for entry in self.entries.values():
            is_meant = chain_ids is None or entry.instrument.chain_id in chain_ids
            if is_meant and entry.status == "verified":
                entry.invalidate(reason)
                lost[entry.instrument] = None
        return lost

    def _event(self, event: TLV, update: PoolUpdate) -> None:
        instrument: InstrumentId = event.pool  # type: ignore[attr-defined]
        entry = self.entries.get(instrument)
        if entry is None or entry.status != "verified":
            return
        number: int = event.block_number  # type: ignore[attr-defined]
        try:
            taken = entry.take(event, number, event.log_index)  # type: ignore[attr-defined]
        except PoolStateError:
            self.faults["inconsistent"] += 1
            entry.invalidate(InvalidationReason.INCONSISTENT)
            update.changed[instrument] = None
            return
        if taken:
            self._touched.setdefault(instrument.chain_id, {})[instrument] = None
        else:
            self.faults["repeated"] += 1

    def _state(self, state: PoolState, update: PoolUpdate) -> None:
        instrument = state.pool
        entry = self.entries.get(instrument)
        if entry is None:
            entry = self.entries[instrument] = PoolEntry(instrument, self._history_blocks)
        last = self._last(instrument.chain_id)
        if entry.status == "verified":
            if last is None or last.block_hash != state.block_hash:
                return  # a repetition for those who came late, of a block that is past
        elif last is not None and state.block_number < last.number:
            self.faults["late_states"] += 1
            return
        try:
            if entry.status == "verified":
                if pool_of(state) == entry.value:
                    return
                self.faults["contradicted"] += 1
            entry.load(state)
        except (PoolStateError, SwapError):
            self.faults["impossible"] += 1
            entry.invalidate(InvalidationReason.INCONSISTENT)
        update.changed[instrument] = None

    def _complete(self, gas: GasPrice, update: PoolUpdate) -> None:
        blocks = self.blocks.setdefault(gas.chain_id, deque(maxlen=self._history_blocks))
        if blocks and blocks[-1].number >= gas.block_number:
            self._abandon(gas, blocks, update)
        touched = self._touched.pop(gas.chain_id, {})
        if blocks and blocks[-1].block_hash != gas.parent_hash:
            # A block that was never announced lies between: nothing is known to be in step.
            self.faults["unlinked"] += 1
            blocks.clear()
            update.changed |= self.lose({gas.chain_id}, InvalidationReason.SEQUENCE_GAP)
        blocks.append(
            ChainBlock(
                gas.block_number, gas.block_hash, gas.parent_hash, gas.base_fee, gas.priority_fee,
                gas.block_timestamp,
            )
        )  # fmt: skip
        for instrument in touched:
            if self.entries[instrument].complete(gas.block_number):
                update.changed[instrument] = None

    def _abandon(self, gas: GasPrice, blocks: deque[ChainBlock], update: PoolUpdate) -> None:
        """Blocks from ``gas``'s number on are void; a pool that still has them cannot be right."""
        is_same = any(block.block_hash == gas.block_hash for block in blocks)
        while blocks and blocks[-1].number >= gas.block_number:
            blocks.pop()
        for entry in () if is_same else self.entries.values():
            is_void = entry.block_number >= gas.block_number
            if is_void and entry.instrument.chain_id == gas.chain_id:
                if entry.status == "verified":
                    entry.invalidate(InvalidationReason.REORGANISED)
                    update.changed[entry.instrument] = None
                update.rolled_back[entry.instrument] = None

    def _invalidation(self, tlv: StateInvalidation, update: PoolUpdate) -> None:
        entry = self.entries[tlv.instrument]
        was_verified = entry.status == "verified"
        if tlv.reason is InvalidationReason.REORGANISED:
            if was_verified:
                entry.roll_back(tlv.sequence)
            blocks = self.blocks.get(tlv.instrument.chain_id, deque())
            while blocks and blocks[-1].number > tlv.sequence:
                blocks.pop()
            self._touched.get(tlv.instrument.chain_id, {}).pop(tlv.instrument, None)
            update.rolled_back[tlv.instrument] = None
        else:
            entry.invalidate(tlv.reason)
        if was_verified:
            update.changed[tlv.instrument] = None

    def _last(self, chain_id: int) -> ChainBlock | None:
        blocks = self.blocks.get(chain_id)
        return blocks[-1] if blocks else None
