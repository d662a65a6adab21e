"""TLVs to the bytes of a message."""

from __future__ import annotations

from torq_codec import kernel
from torq_types import TLV, Domain, TlvTypeError, is_type_allowed

__all__ = ["MessageBuilder"]


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
        self.domain = domain
        self.source = source
        self._encoded: list[bytes] = []

    def add(self, tlv: TLV) -> MessageBuilder:
        """Append ``tlv``.

        Raises :class:`TlvTypeError` when its type is not legal in this domain, and
        :class:`FieldError` when a field does not fit its place.
        """
        if not is_type_allowed(self.domain, tlv.TYPE):
            raise TlvTypeError(
                f"{type(tlv).__name__} (type {tlv.TYPE}) does not belong in {self.domain.slug}"
            )
        self._encoded.append(kernel.plan_for(type(tlv)).encode(tlv))
        return self

    def build(self, *, sequence: int, timestamp_ns: int) -> bytes:
        """The message with what was added so far; the builder is empty afterwards.

        ``sequence`` counts per source and domain from 1; ``timestamp_ns`` is UTC nanoseconds.
        """
        payload = b"".join(self._encoded)
        self._encoded.clear()
        return kernel.build(self.domain, self.source, sequence, timestamp_ns, payload)
