"""What a relay grants its clients."""

from __future__ import annotations

import msgspec

from torq_codec import DEFAULT_MAX_PAYLOAD

__all__ = ["RelayLimits"]


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay grants its clients."""

    connections: int = 256
    max_payload: int = DEFAULT_MAX_PAYLOAD
    registration_seconds: int = 5
    """To say hello."""
    stall_seconds: int = 30
    """To finish a message that was begun."""
    garbage_bytes: int = 64 * 1024 * 1024
    """That one connection may send, or make the relay check in vain."""
    buffered_bytes: int = 256 * 1024 * 1024
    """Unfinished messages of all connections together."""
    heartbeat_ms: int = 1000
