"""What a cycle costs besides its swaps: gas, priced in the token of the profit."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from torq_amm.arbitrage.cycles import Cycle, Hop, quote_exact_out
from torq_amm.arbitrage.graph import PoolGraph
from torq_amm.concentrated import ConcentratedLiquidityPool
from torq_amm.constant_product import ConstantProductPool
from torq_amm.stable_swap import StableSwapPool
from torq_amm.swapping import Pool
from torq_types import InstrumentId, SwapError

__all__ = ["GasCosts", "price_in"]


class GasCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Units of gas, for what a cycle consists of.

    The defaults are rounded up from receipts of such calls on public chains; measure your own
    contract and put its figures in.
    """

    transaction: int = 50_000
    """The transaction itself (21,000), its data, and the calling contract's own work."""
    constant_product: int = 60_000
    concentrated: int = 90_000
    """Without ticks; each one crossed adds ``tick``."""
    tick: int = 25_000
    stable_swap: int = 120_000
    weighted: int = 110_000
    transfer: int = 35_000
    """One ERC-20 transfer: every swap has one in and one out."""

    def units(self, cycle: Cycle, pools: Mapping[InstrumentId, Pool], ticks: int = 0) -> int:
        """Units of gas for the whole cycle in one transaction; ``ticks`` are those crossed."""
        total = self.transaction + ticks * self.tick
        for hop in cycle.hops:
            total += self._swap(pools[hop.pool])
        # What one swap pays out goes straight to the next: one transfer more than swaps.
        return total + self.transfer * (len(cycle.hops) + 1)

    def _swap(self, pool: Pool) -> int:
        if isinstance(pool, ConstantProductPool):
            return self.constant_product
        if isinstance(pool, ConcentratedLiquidityPool):
            return self.concentrated
        if isinstance(pool, StableSwapPool):
            return self.stable_swap
        return self.weighted


def price_in(graph: PoolGraph, token: InstrumentId, native: InstrumentId, amount: int) -> int:
    """What ``amount`` wei of the chain's wrapped native token cost in ``token``, rounded up.

    The cheapest single pool, or else the cheapest way over one token between. Raises
    :class:`SwapError` where no pool joins the two.
    """
    if token == native or amount == 0:
        return amount
    direct = _cheapest(graph, graph.between(token, native), amount)
    if direct is not None:
        return direct
    offers = []
    for middle in graph.neighbours(native):
        last = _cheapest(graph, graph.between(middle, native), amount)
        first = None if last is None else _cheapest(graph, graph.between(token, middle), last)
        if first is not None:
            offers.append(first)
    if not offers:
        raise SwapError(
            f"no pool leads from 0x{token.body.hex()} to the native token: gas has no price in it"
        )
    return min(offers)


def _cheapest(graph: PoolGraph, hops: list[Hop], amount_out: int) -> int | None:
    offers = []
    for hop in hops:
        try:
            offers.append(quote_exact_out(graph.pools[hop.pool], hop, amount_out))
        except SwapError:
            continue
    return min(offers, default=None)
