"""The bytes of a message to its header and TLVs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TypeVar

from torq_codec import kernel
from torq_types import (
    HEADER_SIZE,
    MAGIC,
    PROTOCOL_VERSION,
    REGISTRY,
    TLV,
    ChecksumError,
    Domain,
    DomainError,
    ErrorCode,
    Header,
    MagicError,
    ProtocolError,
    TlvTypeError,
    TruncatedError,
    VersionError,
)

__all__ = [
    "DEFAULT_MAX_PAYLOAD",
    "Message",
    "error_for",
    "iter_messages",
    "message_size",
    "parse_message",
]

DEFAULT_MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes; a longer payload is taken for a damaged header."""

_HEADER = struct.Struct("<4sIIBBHQQ")
_TLV = struct.Struct("<HBBI")

Buffer = bytes | bytearray | memoryview
T = TypeVar("T", bound=TLV)


class Message:
    """A verified message in a buffer. Header and TLVs are read when asked for.

    The message borrows the buffer: keep :meth:`tobytes` if the buffer will be overwritten.
    """

    __slots__ = ("_buffer", "_end", "_header", "_registry", "_start", "_tlvs")

    def __init__(
        self, buffer: Buffer, start: int, end: int, registry: Mapping[int, type[TLV]] = REGISTRY
    ) -> None:
        self._buffer = buffer
        self._start = start
        self._end = end
        self._registry = registry
        self._header: Header | None = None
        self._tlvs: tuple[TLV, ...] | None = None

    @property
    def header(self) -> Header:
        """The message's header."""
        if self._header is None:
            _, checksum, length, version, domain, source, sequence, timestamp_ns = (
                _HEADER.unpack_from(self._buffer, self._start)
            )
            self._header = Header(
                checksum, length, version, Domain(domain), source, sequence, timestamp_ns
            )
        return self._header

    @property
    def tlvs(self) -> tuple[TLV, ...]:
        """Every TLV of a type that this reader knows, in order; the others are skipped.

        Raises :class:`ProtocolError` when a known type's value makes no sense.
        """
        if self._tlvs is None:
            self._tlvs = tuple(
                kernel.plan_for(self._registry[tlv_type]).decode(
                    self._buffer, start, length, version
                )
                for tlv_type, version, start, length in self._walk()
                if tlv_type in self._registry
            )
        return self._tlvs

    @property
    def types(self) -> tuple[int, ...]:
        """The numbers of all its TLV types, known or not, without decoding any."""
        return tuple(tlv_type for tlv_type, _, _, _ in self._walk())

    def offsets(self, tlv_type: int) -> tuple[int, ...]:
        """Where in the buffer the values of a type's TLVs begin."""
        return tuple(start for found, _, start, _ in self._walk() if found == tlv_type)

    def _walk(self) -> Iterator[tuple[int, int, int, int]]:
        at = self._start + HEADER_SIZE
        while at < self._end:
            tlv_type, version, _, length = _TLV.unpack_from(self._buffer, at)
            yield tlv_type, version, at + 8, length
            at += 8 + length + -length % 8

    def get(self, cls: type[T]) -> T | None:
        """The first TLV of type ``cls``, or None."""
        for tlv in self.tlvs:
            if isinstance(tlv, cls):
                return tlv
        return None

    def __getitem__(self, cls: type[T]) -> T:
        tlv = self.get(cls)
        if tlv is None:
            found = ", ".join(type(tlv).__name__ for tlv in self.tlvs) or "nothing known"
            raise KeyError(f"no {cls.__name__} in this message; it has {found}")
        return tlv

    def __contains__(self, cls: type[TLV]) -> bool:
        return cls.TYPE in self.types

    def __len__(self) -> int:
        """Bytes of the whole message."""
        return self._end - self._start

    def tobytes(self) -> bytes:
        """A copy of the message's bytes."""
        return bytes(memoryview(self._buffer)[self._start : self._end])

    def __repr__(self) -> str:
        header = self.header
        names = ", ".join(
            self._registry[t].__name__ if t in self._registry else f"type {t}" for t in self.types
        )
        return f"<Message {header.domain.slug} {header.source}:{header.sequence} [{names}]>"


def parse_message(
    buffer: Buffer,
    *,
    registry: Mapping[int, type[TLV]] = REGISTRY,
    max_payload: int = DEFAULT_MAX_PAYLOAD,
) -> Message:
    """Verify ``buffer`` as exactly one message: magic, version, length, checksum, TLV types.

    Raises a subclass of :class:`ProtocolError` that names what is wrong.
    """
    stop, count, code = kernel.scan(buffer, 0, len(buffer), 0, max_payload)
    if not count:
        raise error_for(code or ErrorCode.INCOMPLETE, buffer, 0)
    if count != 1 or stop != len(buffer) or code:
        raise ProtocolError(
            f"expected one message in {len(buffer)} bytes; the first takes"
            f" {message_size(buffer, 0)}"
            " (iter_messages reads several)"
        )
    return Message(buffer, 0, len(buffer), registry)


def iter_messages(
    buffer: Buffer,
    *,
    registry: Mapping[int, type[TLV]] = REGISTRY,
    max_payload: int = DEFAULT_MAX_PAYLOAD,
) -> Iterator[Message]:
    """Every message in ``buffer``, one behind the other.

    Raises a subclass of :class:`ProtocolError` at the first byte that belongs to no sound message;
    for a stream with damage use :class:`torq_codec.Framer`, which finds its way back.
    """
    at = 0
    stop, count, code = kernel.scan(buffer, 0, len(buffer), 0, max_payload)
    for _ in range(count):
        size = message_size(buffer, at)
        yield Message(buffer, at, at + size, registry)
        at += size
    if code:
        raise error_for(code, buffer, stop)


def message_size(buffer: Buffer, start: int) -> int:
    """Bytes of the message that begins at ``start`` by its header's word."""
    size: int = HEADER_SIZE + _HEADER.unpack_from(buffer, start)[2]
    return size


def error_for(code: int, buffer: Buffer, start: int) -> ProtocolError:
    """The exception for what :func:`torq_codec.kernel.scan` found at ``start``."""
    view = memoryview(buffer)[start:]
    if code == ErrorCode.BAD_MAGIC:
        found = bytes(view[:4])
        return MagicError(f"found {found!r} where a message should begin; expected {MAGIC!r}")
    if code == ErrorCode.INCOMPLETE:
        return TruncatedError(f"a message ends after {len(view)} bytes, before its own length")
    _, checksum, length, version, domain, _, _, _ = _HEADER.unpack_from(view)
    if code == ErrorCode.BAD_VERSION:
        return VersionError(f"found protocol version {version}; this reads {PROTOCOL_VERSION}")
    if code == ErrorCode.BAD_LENGTH:
        return ProtocolError(f"a payload of {length} bytes: not a multiple of 8, or too long")
    if code == ErrorCode.BAD_CHECKSUM:
        return ChecksumError(f"the header's checksum {checksum:#010x} does not fit its message")
    if code == ErrorCode.WRONG_DOMAIN:
        return DomainError(f"found domain {domain}; expected one of 1, 2, 3 that belongs here")
    return TlvTypeError(f"a TLV's type or length is not legal in domain {domain}")
