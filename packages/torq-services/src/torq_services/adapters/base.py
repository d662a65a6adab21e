"""What is particular to an exchange, behind one face: bytes in, TLVs out, no I/O.

:mod:`torq_services.adapters.feed` does what is the same for all of them: connecting, watching,
backing off, starting over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import ClassVar

import msgspec

from torq_relays import MessageSink
from torq_services.adapters.books import BookDoubtError, PublishedBook
from torq_types import (
    TLV,
    Decimal64,
    Error,
    ErrorCode,
    InstrumentId,
    InstrumentMeta,
    InvalidationReason,
    Level,
    PrecisionError,
    Venue,
)

__all__ = ["AdapterCounters", "ExchangeAdapter", "increment", "level"]

_CONTEXT_CHARACTERS = 500


class AdapterCounters(msgspec.Struct):
    """What an adapter has seen; travels in its SystemHealth."""

    frames: int = 0
    trades: int = 0
    quotes: int = 0
    book_updates: int = 0
    unknown_messages: int = 0
    malformed: int = 0
    precision_errors: int = 0
    doubts: int = 0


class ExchangeAdapter(ABC):
    """Maps one exchange's messages to TLVs.

    ``receive`` raises :class:`BookDoubtError` when the books cannot be trusted any more; the feed
    then declares them stale and starts over.
    """

    venue: ClassVar[Venue]
    heartbeat_seconds: ClassVar[int]
    """The exchange sends something at least this often; much longer silence is a fault."""

    def __init__(self, symbols: Iterable[str], sink: MessageSink) -> None:
        self.sink = sink
        self.counters = AdapterCounters()
        self.last_doubt = ""
        self._frame = b""
        self.books = {
            symbol: PublishedBook(InstrumentId.pair(self.venue, symbol), sink) for symbol in symbols
        }

    @abstractmethod
    def metadata_paths(self) -> list[str]:
        """REST paths that list the instruments."""

    @abstractmethod
    def read_metadata(self, bodies: Mapping[str, bytes]) -> list[InstrumentMeta]:
        """The instruments of this adapter's symbols, from the bodies of those paths."""

    @abstractmethod
    def subscribe_messages(self) -> list[str]:
        """What to send after connecting."""

    @abstractmethod
    def connected(self) -> None:
        """A new connection: forget what belonged to the last one."""

    @abstractmethod
    def dispatch(self, frame: bytes) -> None:
        """Map one message. May raise msgspec.DecodeError, ValueError, BookDoubtError."""

    def receive(self, frame: bytes) -> None:
        """Map one message of the exchange to TLVs.

        A message that makes no sense is published as an Error with its text; since it may have
        been a book update, the books are in doubt after it.
        """
        self.counters.frames += 1
        self._frame = frame
        try:
            self.dispatch(frame)
        except PrecisionError as error:
            self._precision_lost(error)
            raise BookDoubtError(InvalidationReason.PRECISION, str(error)) from error
        except (msgspec.DecodeError, ValueError) as error:
            self.counters.malformed += 1
            self._publish_error(ErrorCode.MALFORMED_INPUT, str(error))
            raise BookDoubtError(InvalidationReason.MALFORMED, str(error)) from error

    def publish_exact(self, build: Callable[[], TLV]) -> bool:
        """Publish a TLV that stands for itself (a trade, a quote); returns whether it could be.

        One with a number that does not fit is published as an Error with its text instead, and
        costs no other message anything.
        """
        try:
            self.sink.send(build())
        except PrecisionError as error:
            self._precision_lost(error)
            return False
        return True

    def in_doubt(self, reason: InvalidationReason, detail: str) -> None:
        """Declare every book stale."""
        if any(book.is_trusted for book in self.books.values()):
            self.counters.doubts += 1
        self.last_doubt = f"{reason.name.lower()}: {detail}"
        for book in self.books.values():
            book.invalidate(reason, detail)

    def repeat_books(self) -> None:
        """Publish every verified book once more, for late readers."""
        for book in self.books.values():
            book.repeat()

    @property
    def is_in_step(self) -> bool:
        """Whether every book is verified."""
        return all(book.is_verified for book in self.books.values())

    def _precision_lost(self, error: PrecisionError) -> None:
        self.counters.precision_errors += 1
        self._publish_error(ErrorCode.PRECISION, str(error))

    def _publish_error(self, code: ErrorCode, detail: str) -> None:
        context = self._frame.decode(errors="replace")[:_CONTEXT_CHARACTERS]
        self.sink.send(Error(0, code, f"{self.venue.slug}: {detail}", context))


def level(price: str, quantity: str) -> Level:
    """A level from an exchange's texts. Raises :class:`PrecisionError`."""
    return Level(Decimal64.parse(price), Decimal64.parse(quantity))


def increment(text: str) -> Decimal64:
    """An increment from metadata, where ``1e-8`` is as good as ``0.00000001``."""
    try:
        return Decimal64.parse(format(Decimal(text), "f"))
    except InvalidOperation:
        raise ValueError(f"found {text[:40]!r}; expected a number") from None
