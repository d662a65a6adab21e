"""The few messages that relay and client exchange about the stream itself: never logged."""

from __future__ import annotations

import time

from torq_codec import MessageBuilder
from torq_types import TLV, Domain

__all__ = ["RELAY_SOURCE", "control_message"]

RELAY_SOURCE = 0
"""The source of a relay's own messages; no publisher may use it."""


def control_message(domain: Domain, source: int, *tlvs: TLV) -> bytes:
    """A message outside every sequence (its sequence is 0)."""
    builder = MessageBuilder(domain, source)
    for tlv in tlvs:
        builder.add(tlv)
    return builder.build(sequence=0, timestamp_ns=time.time_ns())
