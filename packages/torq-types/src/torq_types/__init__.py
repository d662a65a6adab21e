"""What a Torq message is: TLV types, instruments, exact decimals and errors.

Data only: no I/O, no packing, no arithmetic beyond each value's own invariants.
"""

from __future__ import annotations

from torq_types import errors, execution, market_data, signals, system
from torq_types.decimals import Decimal64
from torq_types.domains import TYPE_RANGES, Domain, is_defined_type, is_type_allowed
from torq_types.errors import *  # noqa: F403
from torq_types.execution import *  # noqa: F403
from torq_types.header import HEADER_SIZE, MAGIC, PROTOCOL_VERSION, Header
from torq_types.instrument import INSTRUMENT_SIZE, InstrumentId, InstrumentKind, Venue
from torq_types.market_data import *  # noqa: F403
from torq_types.signals import *  # noqa: F403
from torq_types.system import *  # noqa: F403
from torq_types.tlv import REGISTRY, TLV, Entry, Since, Wire, tlv_type

__all__ = [
    "HEADER_SIZE",
    "INSTRUMENT_SIZE",
    "MAGIC",
    "PROTOCOL_VERSION",
    "REGISTRY",
    "TLV",
    "TYPE_RANGES",
    "Decimal64",
    "Domain",
    "Entry",
    "Header",
    "InstrumentId",
    "InstrumentKind",
    "Since",
    "Venue",
    "Wire",
    "is_defined_type",
    "is_type_allowed",
    "tlv_type",
]
__all__ += errors.__all__
__all__ += execution.__all__
__all__ += market_data.__all__
__all__ += signals.__all__
__all__ += system.__all__
