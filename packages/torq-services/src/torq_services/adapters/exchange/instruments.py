"""An exchange's own list of instruments: symbol, identifier and canonical pair, any way round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from enum import IntEnum

import msgspec

from torq_types import (
    UNKNOWN_FEE,
    Decimal64,
    InstrumentId,
    InstrumentMeta,
    UnknownSymbolError,
    Venue,
)

__all__ = ["InstrumentStatus", "Listed", "Listing", "increment", "pips"]


class InstrumentStatus(IntEnum):
    """The values of :attr:`torq_types.InstrumentMeta.status`."""

    UNKNOWN = 0
    TRADING = 1
    HALTED = 2
    DELISTED = 3


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as the exchange lists it."""

    symbol: str
    """The name in its market data: what identifiers carry."""
    base: str
    """The canonical currency code, such as BTC."""
    quote: str
    price_increment: Decimal64
    quantity_increment: Decimal64
    minimum_quantity: Decimal64
    status: InstrumentStatus = InstrumentStatus.TRADING
    other_names: tuple[str, ...] = ()
    """What else the exchange calls it, or called it before: XBTUSD, XXBTZUSD."""
    maker_fee_pips: int = UNKNOWN_FEE
    taker_fee_pips: int = UNKNOWN_FEE


class Listing:
    """Everything an exchange lists. Looking up is by table: symbols are never taken apart."""

    def __init__(self, venue: Venue, instruments: Iterable[Listed]) -> None:
        self.venue = venue
        self._by_symbol: dict[str, Listed] = {}
        self._by_name: dict[str, str] = {}
        self._by_pair: dict[str, list[str]] = {}
        for listed in instruments:
            self._by_symbol[listed.symbol] = listed
            self._by_pair.setdefault(f"{listed.base}/{listed.quote}", []).append(listed.symbol)
            for name in listed.other_names:
                self._by_name.setdefault(name, listed.symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Listed]:
        return iter(self._by_symbol.values())

    def find(self, name: str) -> Listed:
        """By the exchange's symbol, by another name of it, or by the canonical ``BASE/QUOTE``.

        Raises :class:`UnknownSymbolError` naming what comes close.
        """
        found = self._by_symbol.get(name) or self._by_symbol.get(self._by_name.get(name, ""))
        pairs = self._by_pair.get(name, [])
        if found is None and len(pairs) == 1:
            found = self._by_symbol[pairs[0]]
        if found is None:
            raise UnknownSymbolError(
                f"{self.venue.slug} lists no {name!r}{self._nearest(name)}; it may be renamed or"
                " delisted"
            )
        return found

    def symbol_of(self, base: str, quote: str) -> str:
        """The symbol of a canonical pair. Raises :class:`UnknownSymbolError`."""
        return self.find(f"{base}/{quote}").symbol

    def pair_of(self, instrument: InstrumentId) -> tuple[str, str]:
        """The canonical pair of an identifier. Raises :class:`UnknownSymbolError`."""
        listed = self._by_symbol.get(instrument.symbol)
        if instrument.venue is not self.venue or listed is None:
            raise UnknownSymbolError(f"{self.venue.slug} lists no {instrument.symbol!r}")
        return listed.base, listed.quote

    def set_status(self, symbol: str, status: InstrumentStatus) -> bool:
        """Note a new status; returns whether it is another one than before."""
        listed = self._by_symbol.get(symbol)
        if listed is None or listed.status is status:
            return False
        self._by_symbol[symbol] = msgspec.structs.replace(listed, status=status)
        return True

    def meta(self, listed: Listed) -> InstrumentMeta:
        """As a TLV."""
        return InstrumentMeta(
            InstrumentId.pair(self.venue, listed.symbol),
            listed.price_increment,
            listed.quantity_increment,
            listed.minimum_quantity,
            int(listed.status),
            listed.base,
            listed.quote,
            listed.maker_fee_pips,
            listed.taker_fee_pips,
        )

    def _nearest(self, name: str) -> str:
        plain = name.replace("/", "").replace("-", "").upper()
        close = [s for s in self._by_symbol if s.replace("/", "").replace("-", "").upper() == plain]
        return f" (did you mean {', '.join(sorted(close))}?)" if close else ""


def increment(text: str) -> Decimal64:
    """An increment from metadata, where ``1e-8`` is as good as ``0.00000001``.

    Raises ValueError for what is no number, PrecisionError for what does not fit.
    """
    try:
        return Decimal64.parse(format(Decimal(text), "f"))
    except InvalidOperation:
        raise ValueError(f"found {text[:40]!r}; expected a number") from None


def pips(percent: str) -> int:
    """A fee in per cent as hundredths of a basis point: ``"0.26"`` is 2600.

    Raises ValueError for what is no number, or finer than that.
    """
    try:
        scaled = Decimal(percent) * 10_000
    except InvalidOperation:
        raise ValueError(f"found {percent[:40]!r}; expected a fee in per cent") from None
    if not scaled.is_finite() or scaled != int(scaled):
        raise ValueError(f"found a fee of {percent[:40]} %; expected whole pips (0.0001 %)")
    return int(scaled)
