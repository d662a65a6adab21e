"""Which logs to ask a node for, whose they are, and whether the node's answer can be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from eth_utils.crypto import keccak

from torq_codec.dex import EventLog, parse_log, topics_of
from torq_types import InstrumentId, MalformedEventError, Venue

__all__ = ["LogFilter", "checked"]

PAIR_CREATED = bytes(keccak(text="PairCreated(address,address,address,uint256)"))
POOL_CREATED = bytes(keccak(text="PoolCreated(address,address,uint24,int24,address)"))


class LogFilter:
    """The followed pools and factories of a chain."""

    def __init__(self, vault: bytes, factories: Iterable[InstrumentId] = ()) -> None:
        self._vault = vault
        self._factories = {factory.body: factory.venue for factory in factories}
        self._pools: dict[bytes, InstrumentId] = {}
        self._topics: set[bytes] = {PAIR_CREATED, POOL_CREATED} if self._factories else set()
        self.addresses: set[bytes] = set(self._factories)

    def add(self, pool: InstrumentId) -> None:
        """Follow a pool."""
        self._pools[pool.body] = pool
        self._topics.update(topics_of(pool.venue))
        self.addresses.add(pool.body[:20])
        if pool.venue is Venue.BALANCER_V2:
            self._pools[pool.body[:20]] = pool
            self.addresses.add(self._vault)

    def parameters(self) -> dict[str, Any]:
        """The filter as ``eth_getLogs`` and ``eth_subscribe`` take it."""
        return {
            "address": ["0x" + address.hex() for address in sorted(self.addresses)],
            "topics": [["0x" + topic.hex() for topic in sorted(self._topics)]],
        }

    def owner(self, log: EventLog) -> InstrumentId | None:
        """The pool whose event this is; None for another pool of a shared contract."""
        if log.address == self._vault:
            return self._pools.get(log.topics[1]) if len(log.topics) > 1 else None
        return self._pools.get(log.address)

    def created(self, log: EventLog, chain_id: int) -> InstrumentId | None:
        """The pool that a factory made, if that is what the log says."""
        venue = self._factories.get(log.address)
        if venue is None or not log.topics:
            return None
        if log.topics[0] == PAIR_CREATED and len(log.payload) == 64:
            return InstrumentId.pool(venue, chain_id, log.payload[12:32])
        if log.topics[0] == POOL_CREATED and len(log.payload) == 64:
            return InstrumentId.pool(venue, chain_id, log.payload[44:64])
        return None


def checked(
    answer: Any, block_hash: bytes, addresses: set[bytes], faults: Counter[str]
) -> list[EventLog]:
    """A block's logs in their order, each once; what cannot be true is counted.

    Raises :class:`MalformedEventError` for an answer whose logs are not all of this block.
    """
    if not isinstance(answer, list):
        raise MalformedEventError(f"expected a list of logs, found {type(answer).__name__}")
    logs: dict[int, EventLog] = {}
    last = -1
    for entry in answer:
        log = parse_log(entry)
        if log.block_hash != block_hash:
            raise MalformedEventError(
                f"asked for the logs of 0x{block_hash.hex()}, got one of 0x{log.block_hash.hex()}"
            )
        if log.address not in addresses:
            faults["unasked_logs"] += 1
            continue
        if log.log_index in logs:
            faults["repeated_logs"] += 1
            if logs[log.log_index] != log:
                raise MalformedEventError(f"two different logs have the index {log.log_index}")
            continue
        if log.log_index < last:
            faults["disordered_logs"] += 1
        last = log.log_index
        logs[log.log_index] = log
    return [logs[index] for index in sorted(logs)]
