"""A simulated exchange misbehaves, the real adapter follows it, and a witness compares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from torq_services.venues.simulated import Fault, Market, fault_plan
from torq_services.venues.simulated.trial import EXCHANGES, UNSEEN, Trial, possible_faults
from torq_services.venues.simulated.witness import Witness
from torq_types import TLV, ConfigError, InstrumentId, InvalidationReason, StateInvalidation

__all__ = ["demonstrate_faults"]

_MESSAGES_PER_FAULT = 150
_PER_SECOND = 200
_STEPS = 20

Say = Callable[[str], None]


class _Narrator(Witness):
    """Says when a book goes stale, and when it is verified again."""

    say: Say = staticmethod(print)

    def _take(self, tlv: TLV, instrument: InstrumentId) -> None:
        before = self.books.get(instrument.symbol)
        was_stale = before is not None and before.status == "stale"
        super()._take(tlv, instrument)
        if isinstance(tlv, StateInvalidation):
            if tlv.reason is InvalidationReason.SHUTDOWN:
                return
            self.say(f"   {instrument.symbol} stale, {tlv.reason.name.lower()}: {tlv.detail[:70]}")
        elif was_stale and self.books[instrument.symbol].status == "verified":
            self.say(f"   {instrument.symbol} verified again, by a fresh snapshot")


def demonstrate_faults(exchange: str, seed: int, faults: int, say: Say) -> bool:
    """Run a script of ``faults`` faults, the same for the same ``seed``.

    Returns whether every book that was published was true, as far as the exchange allows to see
    it. Raises :class:`ConfigError` for an
    exchange that is not simulated, or a number of faults below 1.
    """
    if exchange not in EXCHANGES:
        raise ConfigError(f"no simulated exchange {exchange!r}; there are {', '.join(EXCHANGES)}")
    if faults < 1:
        raise ConfigError(f"found {faults} faults; expected at least 1")
    return asyncio.run(_run(exchange, seed, faults, say))


async def _run(exchange: str, seed: int, faults: int, say: Say) -> bool:
    plan = fault_plan(seed, possible_faults(exchange), faults * _MESSAGES_PER_FAULT, faults)

    def narrator(market: Market, depth: int) -> Witness:
        witness = _Narrator(market, depth)
        witness.say = say
        return witness

    trial = Trial(EXCHANGES[exchange], seed, plan, witness=narrator)

    def told(count: int, fault: Fault) -> None:
        say(f"message {count}: {fault.value}")

    trial.venue.faults.on_done = told
    async with trial.running():
        say(f"{exchange}, seed {seed}: {len(trial.exchange.symbols)} books verified")
        while not trial.venue.faults.is_over:
            await trial.venue.trade(_STEPS, per_second=_PER_SECOND)
        await trial.settled()
    witness = trial.witness
    say(
        f"{witness.published} messages published; stale {witness.stale} times; books that never"
        f" were true: {len(witness.wrong)}; in the end the books are the exchange's own"
    )
    unseen = {fault for _, fault in trial.venue.faults.done} & UNSEEN.get(exchange, frozenset())
    if unseen:
        say(
            f"{exchange} numbers nothing: {', '.join(sorted(fault.value for fault in unseen))} is"
            " seen when it does not fit the book, or by the next comparison over REST"
        )
    return not witness.wrong or bool(unseen)
