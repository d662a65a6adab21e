"""Whole messages: built from TLVs, and read where they lie."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar
from zlib import crc32

from torq_codec.faults import DEFAULT_MAX_PAYLOAD, error_for, message_size, several_messages
from torq_codec.kernel._pure.plans import plan_for
from torq_codec.kernel._pure.scanning import LEGAL_TYPES, Buffer, verify
from torq_types import (
    HEADER_SIZE,
    MAGIC,
    PROTOCOL_VERSION,
    REGISTRY,
    TLV,
    Domain,
    ErrorCode,
    FieldError,
    Header,
    TlvTypeError,
)

__all__ = [
    "Message",
    "MessageBuilder",
    "build",
    "iter_messages",
    "parse_message",
    "walk_messages",
]

_HEADER = struct.Struct("<4sIIBBHQQ")
_COVERED = struct.Struct("<IBBHQQ")
_HEAD = struct.Struct("<4sI")
_TLV = struct.Struct("<HBBI")

T = TypeVar("T", bound=TLV)


def build(domain: int, source: int, sequence: int, timestamp_ns: int, payload: bytes) -> bytes:
    """A whole message around ``payload`` (encoded TLVs), header and checksum in place."""
    try:
        covered = _COVERED.pack(
            len(payload), PROTOCOL_VERSION, domain, source, sequence, timestamp_ns
        )
    except struct.error as error:
        raise FieldError(
            f"header: source {source}, sequence {sequence}, timestamp {timestamp_ns}: {error}"
        ) from error
    checksum = crc32(payload, crc32(covered))
    return b"".join((_HEAD.pack(MAGIC, checksum), covered, payload))


class MessageBuilder:
    """Collects the TLVs of one message.

    .. code-block:: python

        message = MessageBuilder(Domain.MARKET_DATA, source=7).add(trade).build(
            sequence=1, timestamp_ns=now
        )

    ``build`` leaves the builder empty, ready for the next message.
    """

    __slots__ = ("_encoded", "domain", "source")

    def __init__(self, domain: Domain, source: int) -> None:
        if not 1 <= domain <= 3:
            raise FieldError(f"header: domain {domain}; expected 1, 2 or 3")
        self.domain = domain
        self.source = source
        self._encoded: list[bytes] = []

    def add(self, tlv: TLV) -> MessageBuilder:
        """Append ``tlv``.

        Raises :class:`TlvTypeError` when its type is not legal in this domain, and
        :class:`FieldError` when a field does not fit its place.
        """
        if tlv.TYPE not in LEGAL_TYPES[self.domain]:
            raise TlvTypeError(
                f"{type(tlv).__name__} (type {tlv.TYPE}) does not belong in {self.domain.slug}"
            )
        self._encoded.append(plan_for(type(tlv)).encode(tlv))
        return self

    def clear(self) -> None:
        """Forget what was added."""
        self._encoded.clear()

    def build(self, *, sequence: int, timestamp_ns: int) -> bytes:
        """The message with what was added so far; the builder is empty afterwards.

        ``sequence`` counts per source and domain from 1; ``timestamp_ns`` is UTC nanoseconds.
        """
        payload = b"".join(self._encoded)
        self._encoded.clear()
        return build(self.domain, self.source, sequence, timestamp_ns, payload)

    def build_one(self, tlvs: Iterable[TLV], *, sequence: int, timestamp_ns: int) -> bytes:
        """The message with ``tlvs`` and nothing else; an error leaves the builder empty."""
        self.clear()
        try:
            for tlv in tlvs:
                self.add(tlv)
            return self.build(sequence=sequence, timestamp_ns=timestamp_ns)
        finally:
            self.clear()

    def build_each(
        self, tlvs: Iterable[TLV], *, sequence: int, timestamp_ns: int
    ) -> tuple[bytes, int]:
        """One message for each of ``tlvs``, one behind the other, and how many there are.

        The first gets ``sequence``, the others follow it. All or none: an error in one TLV
        builds nothing.
        """
        self.clear()
        built: list[bytes] = []
        try:
            for number, tlv in enumerate(tlvs, sequence):
                built.append(self.add(tlv).build(sequence=number, timestamp_ns=timestamp_ns))
        finally:
            self.clear()
        return b"".join(built), len(built)


class Message:
    """A verified message in a buffer. Header and TLVs are read when asked for.

    The message borrows the buffer: keep :meth:`tobytes` if the buffer will be overwritten.
    """

    __slots__ = ("_buffer", "_end", "_header", "_registry", "_start", "_tlvs")

    def __init__(
        self, buffer: Buffer, start: int, end: int, registry: Mapping[int, type[TLV]] = REGISTRY
    ) -> None:
        if start < 0 or end > len(buffer) or end - start < HEADER_SIZE:
            raise ValueError(f"no message in bytes {start} to {end} of {len(buffer)}")
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
                plan_for(self._registry[tlv_type]).decode(self._buffer, start, length, version)
                for tlv_type, version, start, length in self._walk()
                if tlv_type in self._registry
            )
        return self._tlvs

    @property
    def types(self) -> tuple[int, ...]:
        """The numbers of all its TLV types, known or not, without decoding any."""
        return tuple(tlv_type for tlv_type, _, _, _ in self._walk())

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
    available = len(buffer)
    code, size = verify(memoryview(buffer), 0, available, 0, max_payload)
    if code or not available:
        raise error_for(code or ErrorCode.INCOMPLETE, buffer, 0)
    if size != available:
        raise several_messages(available, size)
    return Message(buffer, 0, size, registry)


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
    view = memoryview(buffer)
    at = 0
    while at < len(view):
        code, size = verify(view, at, len(view), 0, max_payload)
        if code:
            raise error_for(code, buffer, at)
        yield Message(buffer, at, at + size, registry)
        at += size


def walk_messages(
    buffer: Buffer, *, registry: Mapping[int, type[TLV]] = REGISTRY
) -> Iterator[Message]:
    """The messages in ``buffer``, which were all verified already."""
    if len(buffer) % 8:
        raise ValueError(f"{len(buffer)} bytes are no verified messages")
    at = 0
    while at < len(buffer) and (size := message_size(buffer, at)) + at <= len(buffer):
        yield Message(buffer, at, at + size, registry)
        at += size
