"""The few messages that relay and client exchange about the stream itself: never logged."""

from __future__ import annotations

import time
from collections.abc import Iterable

from torq_codec import MessageBuilder
from torq_types import TLV, Domain, InstrumentId, Role, ServiceHello
from torq_types.system import WantedInstrument, WantedType

__all__ = ["RELAY_SOURCE", "control_message", "hello_message"]

RELAY_SOURCE = 0
"""The source of a relay's own messages; no publisher may use it."""


def control_message(domain: Domain, source: int, *tlvs: TLV) -> bytes:
    """A message outside every sequence (its sequence is 0)."""
    builder = MessageBuilder(domain, source)
    for tlv in tlvs:
        builder.add(tlv)
    return builder.build(sequence=0, timestamp_ns=time.time_ns())


def hello_message(
    domain: Domain,
    role: Role,
    *,
    source: int = 0,
    session: int = 0,
    next_sequence: int = 0,
    start_mode: int = 0,
    position: int = 0,
    log_id: int = 0,
    mapped: bool = False,
    types: Iterable[int] = (),
    instruments: Iterable[InstrumentId] = (),
    name: str,
) -> bytes:
    """A client's first message."""
    hello = ServiceHello(
        start_position=position,
        session=session,
        next_sequence=next_sequence,
        log_id=log_id,
        last_timestamp_ns=0,
        source=source,
        role=role,
        start_mode=start_mode,
        mapped=int(mapped),
        types=tuple(WantedType(number) for number in types),
        instruments=tuple(WantedInstrument(instrument) for instrument in instruments),
        name=name,
    )
    return control_message(domain, source, hello)
