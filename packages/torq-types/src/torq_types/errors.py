"""Every error that Torq raises on purpose, in one tree under :class:`TorqError`."""

from __future__ import annotations

__all__ = [
    "ChecksumError",
    "ConfigError",
    "ConnectionLostError",
    "DomainError",
    "EventError",
    "FieldError",
    "IdentifierError",
    "LogError",
    "MagicError",
    "MalformedEventError",
    "NestedCallError",
    "PoolStateError",
    "PrecisionError",
    "ProtocolError",
    "RefusedError",
    "StaleBookError",
    "StalePoolError",
    "SwapError",
    "TlvTypeError",
    "TorqError",
    "TransportError",
    "TruncatedError",
    "UnknownEventError",
    "UnknownSymbolError",
    "VersionError",
]


class TorqError(Exception):
    """The root: catching it catches everything that Torq raises on purpose."""


class ProtocolError(TorqError):
    """Bytes that are not a valid Torq message, or a value that no message can carry."""


class MagicError(ProtocolError):
    """A message does not begin with the bytes ``TORQ``."""


class ChecksumError(ProtocolError):
    """The CRC-32 in a header does not fit the bytes that follow it."""


class VersionError(ProtocolError):
    """A header names a protocol version that this reader does not speak."""


class DomainError(ProtocolError):
    """A message belongs to no domain, or to another one than the place it was found in."""


class TruncatedError(ProtocolError):
    """The bytes end before the length that they announce."""


class TlvTypeError(ProtocolError):
    """A TLV type lies outside the ranges of the protocol, or outside those of its domain."""


class FieldError(ProtocolError):
    """A field's value does not fit its place on the wire, or its bytes make no value."""


class IdentifierError(ProtocolError):
    """Text or bytes that name no legal instrument."""


class EventError(TorqError):
    """An EVM log that no pool event can be made of."""


class MalformedEventError(EventError):
    """A log whose topics or data do not fit its event: truncated, too long, or out of range."""


class UnknownEventError(EventError):
    """A log of an event that Torq does not know, or whose effect it does not model."""


class PrecisionError(TorqError):
    """A number that cannot be carried digit for digit. It is never rounded instead."""


class TransportError(TorqError):
    """A relay or its client cannot talk to the other side."""


class NestedCallError(TorqError):
    """A publisher was called in the middle of another of its calls: by a signal handler, or by an
    iterable that it was given."""


class ConnectionLostError(TransportError):
    """The connection to a relay ended."""


class RefusedError(TransportError):
    """A relay refused a connection or a message, and said why."""


class LogError(TorqError):
    """A log cannot be opened, read or extended."""


class StaleBookError(TorqError):
    """Prices were asked of a book that is not verified in step with its venue."""


class StalePoolError(TorqError):
    """A quote was asked of a pool that is not verified in step with its chain."""


class SwapError(TorqError):
    """A swap or a change of liquidity that the pool's contract would revert."""


class PoolStateError(TorqError):
    """A pool's state that no contract could have, or an event that does not fit the state."""


class ConfigError(TorqError):
    """A configuration or command line that cannot be used as it stands."""


class UnknownSymbolError(TorqError):
    """A venue lists no instrument of that name."""
