"""A cycle: swaps that begin and end with the same token, each in another pool."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import msgspec

from torq_amm.concentrated import ConcentratedLiquidityPool
from torq_amm.constant_product import ConstantProductPool
from torq_amm.swapping import Pool
from torq_types import InstrumentId, SwapError

__all__ = ["Cycle", "Hop", "Sizing", "quote_exact_in", "quote_exact_out"]


class Hop(msgspec.Struct, frozen=True):
    """One swap of a cycle."""

    pool: InstrumentId
    token_in: InstrumentId
    token_out: InstrumentId


class Cycle(msgspec.Struct, frozen=True):
    """Hops that follow one another; the last one's ``token_out`` is the first one's ``token_in``.

    The profit is counted in that token.
    """

    hops: tuple[Hop, ...]

    @property
    def profit_token(self) -> InstrumentId:
        """What goes in first, and comes out last."""
        return self.hops[0].token_in

    @property
    def key(self) -> Cycle:
        """The same for all rotations of a cycle: the one that starts at the least pool."""
        return self.rotated(min(range(len(self.hops)), key=lambda place: _order(self.hops[place])))

    def rotated(self, places: int) -> Cycle:
        """The same swaps, beginning ``places`` later."""
        if not places:
            return self
        return Cycle(self.hops[places:] + self.hops[:places])

    def starting_with(self, tokens: Sequence[InstrumentId]) -> Cycle | None:
        """Begun with the first of ``tokens`` that it passes through; None when there is none."""
        passed: Container[InstrumentId] = [hop.token_in for hop in self.hops]
        for token in tokens:
            if token in passed:
                return self.rotated([hop.token_in for hop in self.hops].index(token))
        return None

    def amounts(self, pools: Mapping[InstrumentId, Pool], amount_in: int) -> tuple[int, ...]:
        """What goes in, what each swap pays out: one more than there are hops.

        All in smallest units. Raises :class:`SwapError` where a contract would revert, and when a
        pool would not take the whole amount.
        """
        amounts = [amount_in]
        for hop in self.hops:
            amounts.append(quote_exact_in(pools[hop.pool], hop, amounts[-1]))
        return tuple(amounts)


class Sizing(msgspec.Struct, frozen=True):
    """How much to send through a cycle, and what comes of it; in smallest units."""

    cycle: Cycle
    amounts: tuple[int, ...]
    """What goes in first, then what each swap pays out."""

    @property
    def amount_in(self) -> int:
        """The input."""
        return self.amounts[0]

    @property
    def amount_out(self) -> int:
        """What the last swap pays out, in the same token."""
        return self.amounts[-1]

    @property
    def profit(self) -> int:
        """In the cycle's profit token, before gas."""
        return self.amounts[-1] - self.amounts[0]


def _order(hop: Hop) -> tuple[int, bytes]:
    return int(hop.pool.venue), hop.pool.body


def quote_exact_in(pool: Pool, hop: Hop, amount_in: int) -> int:
    """What the whole of ``amount_in`` buys. Raises :class:`SwapError`."""
    if isinstance(pool, ConstantProductPool):
        return pool.amount_out(hop.token_in, amount_in)
    if isinstance(pool, ConcentratedLiquidityPool):
        if amount_in <= 0:
            raise SwapError(f"a swap needs an amount above 0, not {amount_in}")
        # Only the amounts are wanted: no pool is built for what comes after.
        done = pool.walk(hop.token_in == pool.token0, amount_in)
        taken, bought = done.amount_in, done.amount_out
    else:
        result = pool.swap_exact_in(hop.token_in, amount_in, hop.token_out)
        taken, bought = result.amount_in, result.amount_out
    if taken != amount_in:
        raise SwapError(f"the pool runs dry: it takes {taken} of {amount_in}")
    return bought


def quote_exact_out(pool: Pool, hop: Hop, amount_out: int) -> int:
    """The least input that buys ``amount_out`` or more. Raises :class:`SwapError`."""
    result = pool.swap_exact_out(hop.token_out, amount_out, hop.token_in)
    if result.amount_out < amount_out:
        raise SwapError(f"the pool runs dry: it pays {result.amount_out} of {amount_out}")
    cost = result.amount_in
    if isinstance(pool, ConstantProductPool | ConcentratedLiquidityPool):
        # The contracts round their answer up, and one less is at times enough.
        while cost > 1 and _buys(pool, hop, cost - 1, amount_out):
            cost -= 1
    return cost


def _buys(pool: Pool, hop: Hop, amount_in: int, amount_out: int) -> bool:
    try:
        return quote_exact_in(pool, hop, amount_in) >= amount_out
    except SwapError:
        return False
