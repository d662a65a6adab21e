"""What relays, adapters and chains say of themselves, for tests that only show it."""

from __future__ import annotations

from torq_relays import RelayStatus
from torq_services.adapters import FeedHealth
from torq_services.adapters.chain.health import EvmHealth
from torq_services.adapters.exchange.counters import AdapterCounters


def relay_status(domain: str = "signal") -> RelayStatus:
    """An idle relay's."""
    return RelayStatus(
        domain=domain, position=0, head=0, durable=0, messages=0, rate=0, connections=0,
        publishers=[], subscribers=[], faults={}, bytes_skipped=0, log_errors=0,
    )  # fmt: skip


def feed_health(venue: str) -> FeedHealth:
    """An adapter's that is in step and follows nothing."""
    return FeedHealth(venue, "in step", 1, "", AdapterCounters(), {})


def chain_health(chain: str) -> EvmHealth:
    """A chain's that is in step and follows no pool."""
    return EvmHealth(
        chain=chain, state="in step", endpoint="ws://node", connects=1, block_number=7,
        verified_pools=0, stale_pools=0, blocks=1, events=0, reorganisations=0,
        deepest_reorganisation=0, verifications=0, rebuilds=0, last_doubt="", faults={}, pools=[],
    )  # fmt: skip
