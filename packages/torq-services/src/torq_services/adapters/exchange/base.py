"""What is particular to an exchange, behind one face: bytes in, TLVs and requests out, no I/O.

:mod:`torq_services.adapters.exchange.feed` does what is the same for all of them:
connecting, watching, backing off, keeping to limits, starting over.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import msgspec

from torq_codec import decimal
from torq_relays import MessageSink
from torq_services.adapters.exchange.audit import Audit
from torq_services.adapters.exchange.books import BookDoubtError, Levels, PublishedBook
from torq_services.adapters.exchange.counters import AdapterCounters
from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, Listing
from torq_services.adapters.exchange.limits import VenueLimits
from torq_services.adapters.exchange.requests import Fetch, Request
from torq_services.adapters.exchange.resync import Resynchroniser, ResyncPolicy
from torq_services.state import OrderBook
from torq_types import (
    Error,
    ErrorCode,
    InstrumentId,
    InvalidationReason,
    PrecisionError,
    Quote,
    Side,
    Trade,
    UnknownSymbolError,
    Venue,
)

__all__ = ["ExchangeAdapter"]

_CONTEXT_CHARACTERS = 500
_UNKNOWN_TYPES = 32


class ExchangeAdapter(ABC):
    """Maps one exchange's messages to TLVs, and says what to ask the exchange for.

    Whatever puts books in doubt declares them stale at once and notes that they need a snapshot:
    those of one instrument where that can be told, all of the connection's otherwise.
    """

    name: ClassVar[str]
    """In the configuration."""
    venue: ClassVar[Venue]
    limits: ClassVar[VenueLimits]
    heartbeat_seconds: ClassVar[float]
    """The exchange sends something at least this often; much longer silence is a fault."""
    book_depth: int = 0
    """Levels a side that the exchange keeps us informed of; 0 for all."""
    book_levels: ClassVar[tuple[int, ...]] = ()
    """What may be asked for in place of the default; empty where there is no choice."""
    checksum: Callable[[OrderBook], int] | None = None
    """How the exchange computes its checksum of a book, if it sends one."""
    audit_seconds: ClassVar[float] = 0.0
    """How often each book is compared with the exchange's REST answer; 0 where numbers or
    checksums prove it already."""

    audit_levels: ClassVar[int] = 0
    """Levels a side in that answer at most; 0 for all there are."""

    def __init__(
        self,
        symbols: Iterable[str],
        sink: MessageSink,
        *,
        levels: int = 0,
        clock: Callable[[], int] = time.time_ns,
        resync: Resynchroniser | None = None,
    ) -> None:
        """``symbols`` are the exchange's own, or canonical pairs such as ``BTC/USD``; ``levels``
        is one of ``book_levels``, or 0 for the default."""
        if levels:
            self.ask_for_levels(levels)
        self.sink = sink
        self.counters = AdapterCounters()
        self.last_doubt = ""
        self.requests: deque[Request] = deque()
        """What to do for this adapter, in order."""
        self.pause_seconds = 0.0
        """The exchange asked for a pause: nothing is to be sent for so long."""
        self.resync = resync or Resynchroniser(ResyncPolicy())
        self.listing = Listing(self.venue, ())
        self.unlisted: dict[str, str] = {}
        """Symbols asked for that the exchange does not list, and what was found instead."""
        self.unknown_types: dict[str, int] = {}
        """Messages of kinds that this adapter does not know, by kind."""
        self._clock = clock
        self._frame = b""
        self._wanted = tuple(symbols)
        self.books = {symbol: self._book(symbol) for symbol in self._wanted}

    # What each exchange's file says.

    @abstractmethod
    def listing_paths(self) -> list[str]:
        """REST paths that list the instruments."""

    @abstractmethod
    def read_listing(self, bodies: Mapping[str, bytes]) -> Iterable[Listed]:
        """The instruments, from the bodies of those paths."""

    @abstractmethod
    def subscriptions(self) -> list[Request]:
        """What to ask for on a new connection."""

    @abstractmethod
    def resynchronisation(self, symbols: list[str]) -> list[Request]:
        """What brings fresh snapshots of just these instruments."""

    @abstractmethod
    def dispatch(self, frame: bytes) -> None:
        """Map one message. May raise msgspec.DecodeError, ValueError, BookDoubtError."""

    def forget_connection(self) -> None:  # noqa: B027 - most have nothing to forget
        """A new connection begins: forget what belonged to the last one."""

    def ask_for_levels(self, levels: int) -> None:
        """Ask for so many levels a side. Raises ValueError for what the exchange does not have."""
        if levels not in self.book_levels:
            raise ValueError(f"{self.name} has no books of {levels} levels")
        self.book_depth = levels

    def keepalive(self) -> str | None:
        """What to send once per heartbeat interval, where the exchange only speaks when asked."""
        return None

    def fetched(self, fetch: Fetch, body: bytes) -> None:
        """A REST answer that belongs to a book's procedure. May raise as :meth:`dispatch`."""
        raise NotImplementedError(f"{self.name} asked for {fetch.path} and has no use for it")

    def audit_request(self, symbol: str) -> Fetch | None:
        """What asks for a whole book to compare with."""
        return None

    def read_audit(self, body: bytes) -> tuple[Levels, Levels]:
        """Bids and asks from the answer."""
        raise NotImplementedError

    # What the feed calls.

    def connected(self) -> None:
        """A new connection: every book needs its snapshot."""
        self.forget_connection()
        self.requests.clear()
        self.requests.extend(self.subscriptions())
        self.resync.subscribed(self.books)

    def receive(self, frame: bytes) -> None:
        """Map one message of the exchange to TLVs. Raises nothing for bad input.

        A message that makes no sense is published as an Error with its text; since it may have
        been an update of any book, all are in doubt after it.
        """
        self.counters.frames += 1
        self._frame = frame
        try:
            self.dispatch(frame)
        except (BookDoubtError, PrecisionError, msgspec.DecodeError, ValueError) as error:
            self._failed(error, None)

    def attempt(self, symbol: str, step: Callable[..., None], *arguments: object) -> None:
        """One instrument's part of a message: what is wrong with it costs no other instrument."""
        try:
            step(*arguments)
        except (BookDoubtError, PrecisionError, msgspec.DecodeError, ValueError) as error:
            self._failed(error, (symbol,))

    def answer(self, fetch: Fetch, body: bytes) -> None:
        """A REST answer has come."""
        self._frame = body
        if fetch.purpose == "audit":
            self._audit_answered(fetch, body)
        else:
            self.attempt(fetch.symbol, self.fetched, fetch, body)

    def fetch_failed(self, fetch: Fetch, detail: str) -> None:
        """A REST request came to nothing; a snapshot that is missing is asked for again."""
        book = self.books.get(fetch.symbol)
        if book is None:
            return
        if fetch.purpose == "audit":
            book.audit = None
        else:
            self.last_doubt = f"{fetch.symbol}: {detail}"
            self.resync.doubted(fetch.symbol)

    def ask_for_snapshots(self) -> None:
        """Queue the requests for whatever needs a snapshot now."""
        symbols = [symbol for symbol in self.resync.due() if symbol in self.books]
        if symbols:
            self.requests.extend(self.resynchronisation(symbols))

    def in_doubt(
        self, reason: InvalidationReason, detail: str, symbols: Iterable[str] | None = None
    ) -> None:
        """Declare books stale, all by default, and note that they need snapshots."""
        self.last_doubt = f"{reason.name.lower()}: {detail}"
        self.counters.sequence_gaps += reason is InvalidationReason.SEQUENCE_GAP
        self.counters.checksum_failures += reason is InvalidationReason.CHECKSUM
        for symbol in self.books if symbols is None else symbols:
            book = self.books.get(symbol)
            if book is not None:
                self.counters.doubts += book.is_trusted
                book.invalidate(reason, detail)
                self.resync.doubted(symbol)

    def use_listing(self, listed: Iterable[Listed]) -> list[str]:
        """Take the exchange's list; returns the symbols that it lists no more.

        Names that were asked for are looked up in it; a book is kept under the exchange's symbol.
        """
        self.listing = Listing(self.venue, listed)
        before = set(self.books)
        books: dict[str, PublishedBook] = {}
        self.unlisted.clear()
        for name in self._wanted:
            try:
                symbol = self.listing.find(name).symbol
            except UnknownSymbolError as error:
                self.unlisted[name] = str(error)
                self._publish_error(ErrorCode.MALFORMED_INPUT, str(error))
                continue
            books[symbol] = self.books.get(symbol) or self._book(symbol)
        for symbol in before - set(books):
            self.books[symbol].invalidate(InvalidationReason.HALTED, "not listed any more")
        self.books = books
        return sorted(before - set(books))

    def repeat(self) -> None:
        """Publish metadata and every verified book once more, for late readers."""
        for symbol, book in self.books.items():
            self.publish_meta(symbol)
            book.repeat()

    def publish_meta(self, symbol: str) -> None:
        """What the exchange says of one instrument."""
        try:
            listed = self.listing.find(symbol)
        except UnknownSymbolError:
            return  # said once, when the list was taken
        self.sink.send(self.listing.meta(listed))

    def status_changed(self, symbol: str, status: InstrumentStatus | None) -> None:
        """The exchange says that an instrument trades, or does not."""
        if self.listing.set_status(symbol, status or InstrumentStatus.HALTED):
            self.publish_meta(symbol)

    def begin_audit(self, symbol: str) -> Fetch | None:
        """Compare a verified book with the exchange's REST answer; None where there is no need."""
        book = self.books.get(symbol)
        request = self.audit_request(symbol)
        if request is None or book is None or not book.is_verified:
            return None
        book.audit = Audit(book.book, self.audit_levels)
        return request

    def judge_audit(self, symbol: str) -> None:
        """The verdict, once what was under way with the answer has come too."""
        book = self.books.get(symbol)
        if book is None or book.audit is None or not book.audit.is_answered:
            return
        difference = book.audit.difference()
        book.audit = None
        book.audits += 1
        self.counters.audits += 1
        if difference is not None:
            self.in_doubt(InvalidationReason.AUDIT, f"{symbol}: {difference}", (symbol,))

    @property
    def is_in_step(self) -> bool:
        """Whether every book is verified."""
        return all(book.is_verified for book in self.books.values())

    # What the exchanges' files use.

    def publish_trade(
        self,
        symbol: str,
        price: str | msgspec.Raw,
        quantity: str | msgspec.Raw,
        exchange_timestamp_ns: int,
        side: Side,
        trade_id: str,
    ) -> None:
        """A trade of an instrument that is followed; ``side`` is the taker's."""
        book = self.books.get(symbol)
        if book is None:
            return
        try:
            trade = Trade(
                book.book.instrument, decimal(price), decimal(quantity), exchange_timestamp_ns,
                side, trade_id,
            )  # fmt: skip
        except PrecisionError as error:
            self._precision_lost(error)  # it costs no other message anything
            return
        self.counters.trades += 1
        self.sink.send(trade)

    def publish_quote(
        self,
        symbol: str,
        bid: tuple[str | msgspec.Raw, str | msgspec.Raw],
        ask: tuple[str | msgspec.Raw, str | msgspec.Raw],
        exchange_timestamp_ns: int = 0,
    ) -> None:
        """The best bid and ask, price and quantity each, of an instrument that is followed."""
        book = self.books.get(symbol)
        if book is None:
            return
        try:
            quote = Quote(
                book.book.instrument, decimal(bid[0]), decimal(bid[1]), decimal(ask[0]),
                decimal(ask[1]), exchange_timestamp_ns,
            )  # fmt: skip
        except PrecisionError as error:
            self._precision_lost(error)
            return
        self.counters.quotes += 1
        self.sink.send(quote)

    def publish_snapshot(
        self,
        book: PublishedBook,
        bids: Levels,
        asks: Levels,
        exchange_sequence: int = 0,
        exchange_timestamp_ns: int = 0,
        checksum: int = 0,
    ) -> None:
        """A whole book came; it is verified with it. For what changes, see ``book.delta``."""
        book.snapshot(bids, asks, exchange_sequence, exchange_timestamp_ns, checksum)
        self.resync.verified(book.symbol)

    def unknown(self, kind: str) -> None:
        """A message of a kind that this adapter does not know: counted, told once, left out."""
        self.counters.unknown_messages += 1
        if kind in self.unknown_types:
            self.unknown_types[kind] += 1
        elif len(self.unknown_types) < _UNKNOWN_TYPES:
            self.unknown_types[kind] = 1
            self._publish_error(ErrorCode.MALFORMED_INPUT, f"unknown message type {kind[:80]!r}")

    def refused(self, detail: str, *, pause_seconds: float = 0.0) -> None:
        """The exchange answered a request with an error. It says nothing about the books that
        are in step: those that still wait are asked for again in due time."""
        self.counters.refusals += 1
        self.last_doubt = f"refused: {detail}"
        self.pause_seconds = max(self.pause_seconds, pause_seconds)
        self._publish_error(ErrorCode.OTHER, detail)

    def _book(self, symbol: str) -> PublishedBook:
        return PublishedBook(
            InstrumentId.pair(self.venue, symbol), self.sink,
            depth=self.book_depth, checksum=self.checksum, clock=self._clock,
        )  # fmt: skip

    def _failed(self, error: Exception, symbols: tuple[str, ...] | None) -> None:
        if isinstance(error, BookDoubtError):
            self.in_doubt(error.reason, error.detail, error.symbols or symbols)
        elif isinstance(error, PrecisionError):
            self._precision_lost(error)
            self.in_doubt(InvalidationReason.PRECISION, str(error), symbols)
        else:
            self.counters.malformed += 1
            self._publish_error(ErrorCode.MALFORMED_INPUT, str(error))
            self.in_doubt(InvalidationReason.MALFORMED, str(error), symbols)

    def _audit_answered(self, fetch: Fetch, body: bytes) -> None:
        book = self.books.get(fetch.symbol)
        if book is None or book.audit is None:
            return
        try:
            book.audit.answered(*self.read_audit(body))
        except (PrecisionError, msgspec.DecodeError, ValueError) as error:
            # It says nothing about the book.
            book.audit = None
            self.counters.malformed += 1
            self._publish_error(ErrorCode.MALFORMED_INPUT, f"whole book over REST: {error}")

    def _precision_lost(self, error: PrecisionError) -> None:
        self.counters.precision_errors += 1
        self._publish_error(ErrorCode.PRECISION, str(error))

    def _publish_error(self, code: ErrorCode, detail: str) -> None:
        context = self._frame.decode(errors="replace")[:_CONTEXT_CHARACTERS]
        self.sink.send(Error(0, code, f"{self.venue.slug}: {detail}", context))
