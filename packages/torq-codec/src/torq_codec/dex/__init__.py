"""DEX events to TLVs and back, one file per protocol.

Which protocol's events a pool writes is decided by the venue of its identifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from torq_codec.dex import algebra, balancer_v2, curve, uniswap_v2, uniswap_v3, uniswap_v4
from torq_codec.dex.codec import Codec
from torq_codec.dex.log import EventLog, parse_log
from torq_types import TLV, EventError, InstrumentId, UnknownEventError, Venue

__all__ = [
    "VENUES",
    "EventCounter",
    "EventLog",
    "decode_event",
    "encode_event",
    "parse_log",
    "topics_of",
]

_PROTOCOLS: dict[Venue, tuple[Codec, ...]] = {
    Venue.UNISWAP_V2: uniswap_v2.CODECS,
    Venue.SUSHISWAP_V2: uniswap_v2.CODECS,
    Venue.QUICKSWAP_V2: uniswap_v2.CODECS,
    Venue.PANCAKESWAP_V2: uniswap_v2.CODECS,
    Venue.UNISWAP_V3: uniswap_v3.CODECS,
    Venue.SUSHISWAP_V3: uniswap_v3.CODECS,
    Venue.PANCAKESWAP_V3: uniswap_v3.PANCAKESWAP_CODECS,
    Venue.QUICKSWAP_V3: algebra.CODECS,
    Venue.UNISWAP_V4: uniswap_v4.CODECS,
    Venue.CURVE: (*curve.CODECS, *curve.DYNAMIC_CODECS),
    Venue.BALANCER_V2: balancer_v2.CODECS,
}
VENUES = tuple(_PROTOCOLS)
"""The venues whose events can be decoded."""

_BY_TOPIC = {
    venue: {codec.topic: codec for codec in codecs} for venue, codecs in _PROTOCOLS.items()
}
_UNMODELLED = {Venue.CURVE: curve.UNMODELLED}
_NG_TOPICS = frozenset(codec.topic for codec in curve.DYNAMIC_CODECS)


def topics_of(venue: Venue) -> tuple[bytes, ...]:
    """The first topics of every event that changes a pool of ``venue``.

    Those whose effect is not modelled are among them: after one the pool has to be read anew.
    """
    return *_BY_TOPIC[venue], *_UNMODELLED.get(venue, {})


def decode_event(log: EventLog, pool: InstrumentId) -> TLV:
    """The TLV of one of ``pool``'s logs.

    Raises :class:`UnknownEventError` for an event that is not one of the venue's, or whose effect
    is not modelled, and :class:`MalformedEventError` for bytes that do not fit the event exactly.
    """
    codec = _BY_TOPIC[pool.venue].get(log.topics[0]) if log.topics else None
    if codec is None:
        raise _unknown(log, pool)
    return codec.decode(log, pool)


def encode_event(
    event: Any, emitter: bytes | None = None, *, dynamic_arrays: bool = False
) -> EventLog:
    """The log that :func:`decode_event` makes ``event`` of.

    ``emitter`` is the contract's address where the pool's identifier is not one (Uniswap V4's
    PoolManager, Balancer's Vault); ``dynamic_arrays`` asks for the form of Curve's StableSwap NG.
    Raises :class:`UnknownEventError` for a TLV that no log of the venue carries.
    """
    pool: InstrumentId | None = getattr(event, "pool", None)
    if pool is None:
        raise UnknownEventError(f"no log of a pool carries a {type(event).__name__}")
    for codec in _PROTOCOLS.get(pool.venue, ()):
        if pool.venue is Venue.CURVE and _is_misfit(codec, dynamic_arrays):
            continue
        encoded = codec.encode(event)
        if encoded is not None:
            topics, payload = encoded
            return EventLog(
                emitter or pool.body[:20], topics, payload,
                event.block_number, event.block_hash, event.transaction_hash, event.log_index,
            )  # fmt: skip
    raise UnknownEventError(f"no log of {pool.venue.slug} carries a {type(event).__name__}")


class EventCounter:
    """Decodes logs one by one; those that it cannot, it counts by error and steps over."""

    def __init__(self) -> None:
        self.decoded = 0
        self.errors: Counter[str] = Counter()

    def decode_all(self, logs: Iterable[tuple[EventLog, InstrumentId]]) -> Iterator[TLV]:
        """The TLVs of all logs that can be decoded."""
        for log, pool in logs:
            try:
                event = decode_event(log, pool)
            except EventError as error:
                self.errors[type(error).__name__] += 1
            else:
                self.decoded += 1
                yield event


def _is_misfit(codec: Codec, dynamic_arrays: bool) -> bool:
    is_liquidity = isinstance(codec, curve.Liquidity)
    return is_liquidity and (codec.topic in _NG_TOPICS) != dynamic_arrays


def _unknown(log: EventLog, pool: InstrumentId) -> UnknownEventError:
    if not log.topics:
        return UnknownEventError("a log without topics: expected an event of a pool")
    name = _UNMODELLED.get(pool.venue, {}).get(log.topics[0])
    if name is not None:
        return UnknownEventError(f"{name} is not modelled: the pool has to be read anew")
    return UnknownEventError(f"0x{log.topics[0].hex()} is no event of {pool.venue.slug}'s pools")
