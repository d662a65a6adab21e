"""The three message domains, and which TLV types each may carry."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["LINKING_TYPES", "TYPE_RANGES", "Domain", "is_defined_type", "is_type_allowed"]


class Domain(IntEnum):
    """What a message is about; there is one relay per domain."""

    MARKET_DATA = 1
    SIGNAL = 2
    EXECUTION = 3

    @property
    def slug(self) -> str:
        """The name used in sockets, files and on the command line, such as ``market-data``."""
        return self.name.lower().replace("_", "-")


TYPE_RANGES: tuple[tuple[str, int, int, frozenset[Domain]], ...] = (
    ("market data", 1, 19, frozenset({Domain.MARKET_DATA})),
    ("signal", 20, 39, frozenset({Domain.SIGNAL})),
    ("execution", 40, 79, frozenset({Domain.EXECUTION})),
    ("compliance", 80, 99, frozenset({Domain.EXECUTION})),
    ("system", 100, 119, frozenset(Domain)),
    ("vendor", 200, 254, frozenset(Domain)),
)
"""Name, first type, last type, and the domains in which the range is legal."""

LINKING_TYPES = frozenset({25})
"""Types legal everywhere though their range is not: a StateReference ties an effect to its cause,
and an order's cause lies in another domain than the order."""


def is_defined_type(tlv_type: int) -> bool:
    """Whether ``tlv_type`` lies in any range of the protocol."""
    return any(first <= tlv_type <= last for _, first, last, _ in TYPE_RANGES)


def is_type_allowed(domain: int, tlv_type: int) -> bool:
    """Whether a message of ``domain`` may carry ``tlv_type``."""
    return tlv_type in LINKING_TYPES or any(
        first <= tlv_type <= last and domain in domains for _, first, last, domains in TYPE_RANGES
    )
