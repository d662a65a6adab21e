"""What the console shows: the latest of everything, and nothing but that."""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal

import msgspec

from torq_codec import format_instrument
from torq_relays import RelayStatus
from torq_services.adapters import FeedHealth
from torq_services.adapters.chain.health import EvmHealth
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Economics,
    ExecutionReport,
    SignalStatus,
    SwapPath,
)

__all__ = [
    "SECTIONS",
    "Board",
    "ChainCard",
    "ReportRow",
    "Section",
    "SignalRow",
    "VenueCard",
    "exact_amount",
]

Section = Literal["relays", "venues", "pools", "signals", "execution"]
SECTIONS: tuple[Section, ...] = ("relays", "venues", "pools", "signals", "execution")

_SIGNALS = 50
_REPORTS = 10
_SILENT_NS = 3_000_000_000


class SignalRow(msgspec.Struct, frozen=True):
    """A signal as a row of text."""

    key: str
    time: str
    status: str
    opportunity: int
    buy: str
    buy_price: str
    sell: str
    sell_price: str
    size: str
    gross: str
    fees: str
    net: str
    currency: str
    duration: str
    reason: str
    synthetic: bool


class ReportRow(msgspec.Struct, frozen=True):
    """Predicted and realised profit of one execution."""

    opportunity: int
    predicted: str
    realised: str
    currency: str
    is_equal: bool


class VenueCard(msgspec.Struct):
    """An adapter's own account, and when it came."""

    health: FeedHealth
    heard_ns: int
    is_silent: bool = False


class ChainCard(msgspec.Struct):
    """A chain's own account, and when it came."""

    health: EvmHealth
    heard_ns: int
    is_silent: bool = False


class Board:
    """The view's state. ``versions`` count changes, so that only what changed is sent."""

    def __init__(self) -> None:
        self.relays: dict[str, RelayStatus | None] = {}
        self.venues: dict[str, VenueCard] = {}
        self.chains: dict[str, ChainCard] = {}
        self._pool_names: dict[str, str] = {}
        self.signals: deque[SignalRow] = deque(maxlen=_SIGNALS)
        self.reports: deque[ReportRow] = deque(maxlen=_REPORTS)
        self.strategies: dict[str, dict[str, int]] = {}
        self.executor: dict[str, int] = {}
        self.versions: Counter[Section] = Counter()

    def relay(self, slug: str, status: RelayStatus | None) -> None:
        """A relay's account; None when it does not answer."""
        if status is not None or self.relays.get(slug, "") is not None:
            self.relays[slug] = status
            self.versions["relays"] += 1

    def venue(self, health: FeedHealth, now_ns: int) -> None:
        """An adapter's account."""
        self.venues[health.venue] = VenueCard(health, now_ns)
        self.versions["venues"] += 1

    def chain(self, health: EvmHealth, now_ns: int) -> None:
        """A chain's account."""
        self.chains[health.chain] = ChainCard(health, now_ns)
        for pool in health.pools:
            self._pool_names[pool.pool] = f"{pool.pool.partition('@')[0]} {pool.tokens}"
        self.versions["pools"] += 1

    def strategy(self, service: str, counters: dict[str, int]) -> None:
        """A strategy's account."""
        self.strategies[service.removeprefix("strategy-")] = counters
        self.versions["execution"] += 1

    def check_silence(self, now_ns: int) -> None:
        """Mark adapters that have not been heard of."""
        cards: list[tuple[Section, VenueCard | ChainCard]] = [
            *(("venues", card) for card in self.venues.values()),
            *(("pools", card) for card in self.chains.values()),
        ]
        for section, card in cards:
            is_silent = now_ns - card.heard_ns > _SILENT_NS
            if is_silent != card.is_silent:
                card.is_silent = is_silent
                self.versions[section] += 1

    def signal(
        self,
        signal: ArbitrageSignal,
        economics: Economics | None,
        path: SwapPath | None,
        key: str,
        when_ns: int,
    ) -> None:
        """A signal, newest first; one with a path is of pools."""
        row = _signal_row(signal, economics, key, when_ns)
        if path is not None:
            row = self._with_path(row, path, economics)
        self.signals.appendleft(row)
        self.versions["signals"] += 1

    def _with_path(self, row: SignalRow, path: SwapPath, economics: Economics | None) -> SignalRow:
        """What goes in, through which pools, and what gas takes."""
        names = []
        for hop in path.hops:
            text = format_instrument(hop.pool)
            names.append(self._pool_names.get(text, text))
        first, *others = names or ["?"]
        cost, gas = (economics.cost, economics.gas) if economics else (0, 0)
        exponent = economics.exponent if economics else 0
        return msgspec.structs.replace(
            row,
            buy=first,
            buy_price=f"block {path.block_number}",
            sell=" → ".join(others),
            sell_price="",
            size=exact_amount(cost, exponent),
            fees=f"gas {exact_amount(gas, exponent)}",
        )

    def report(self, report: ExecutionReport) -> None:
        """What an execution came to, newest first."""
        self.reports.appendleft(
            ReportRow(
                report.opportunity_id,
                exact_amount(report.predicted_net, report.exponent),
                exact_amount(report.realised_net, report.exponent),
                report.currency,
                report.predicted_net == report.realised_net,
            )
        )
        self.versions["execution"] += 1


def exact_amount(amount: int, exponent: int) -> str:
    """``amount * 10**exponent`` with every digit that counts: no rounding, no trailing zeros."""
    if exponent >= 0:
        return str(amount * 10**exponent)
    digits = str(abs(amount)).rjust(1 - exponent, "0")
    text = f"{digits[:exponent]}.{digits[exponent:]}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text


def _signal_row(
    signal: ArbitrageSignal, economics: Economics | None, key: str, when_ns: int
) -> SignalRow:
    def amount(value: int) -> str:
        return exact_amount(value, economics.exponent) if economics else "?"

    closed = signal.status is SignalStatus.CLOSED
    reason = signal.close_reason.name.lower() if closed else ""
    return SignalRow(
        key=key,
        time=_clock(when_ns),
        status=signal.status.name.lower(),
        opportunity=signal.opportunity_id,
        buy=format_instrument(signal.buy_instrument),
        buy_price=str(signal.buy_price),
        sell=format_instrument(signal.sell_instrument),
        sell_price=str(signal.sell_price),
        size=_plain(signal.size),
        gross=amount(economics.gross if economics else 0),
        fees=f"fees {amount(economics.fees if economics else 0)}",
        net=amount(economics.net if economics else 0),
        currency=economics.currency if economics else "",
        duration=_seconds(signal.duration_ns),
        reason=reason if signal.close_reason is not CloseReason.NONE else "",
        synthetic=bool(signal.synthetic),
    )


def _plain(value: Decimal64) -> str:
    return exact_amount(value.mantissa, value.exponent)


def _clock(when_ns: int) -> str:
    """UTC time of day to the millisecond."""
    milliseconds = when_ns // 1_000_000
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"


def _seconds(duration_ns: int) -> str:
    tenths = duration_ns // 100_000_000
    return f"{tenths // 10}.{tenths % 10} s"
