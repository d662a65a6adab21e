"""An exchange's own numbers, as far as they fit the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["SequenceNumber"]

SequenceNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Anything else is refused while a message is decoded, as nonsense of the exchange's."""
