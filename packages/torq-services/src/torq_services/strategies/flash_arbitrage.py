"""Swap around a cycle of pools in one transaction, when more comes out than goes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import msgspec

from torq_amm import ConcentratedLiquidityPool
from torq_amm.arbitrage import (
    Cycle,
    Estimate,
    GasCosts,
    PoolGraph,
    Sizing,
    estimate,
    price_in,
    refine,
)
from torq_codec import format_instrument
from torq_relays import MessageSink
from torq_services.state import ChainBlock, MarketState
from torq_services.strategies.base import Strategy
from torq_services.strategies.opportunities import Opportunities, Stage
from torq_types import (
    TLV,
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Economics,
    Header,
    InstrumentId,
    InstrumentKind,
    SignalIdentity,
    StalePoolError,
    SwapError,
    SwapHop,
    SwapPath,
)

__all__ = [
    "ChainLimits",
    "FlashArbitrage",
    "FlashArbitrageHealth",
    "FlashArbitrageLimits",
    "Offer",
]

_NOTHING = Decimal64(0, 0)
_GAS_LOT = 1_000_000
"""Units of gas that are priced together."""


class ChainLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for on one chain."""

    native: InstrumentId
    """The token that wraps the chain's own currency, in which gas is paid."""
    profit_tokens: tuple[InstrumentId, ...]
    """In which of them a profit is welcome, the best first."""
    gas: GasCosts = GasCosts()


class FlashArbitrageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the strategy looks for."""

    chains: Mapping[int, ChainLimits]
    max_hops: int
    time_to_live_ns: int
    update_interval_ns: int
    max_open: int = 32
    """So many opportunities at a time on a chain: those that earn most for their gas."""
    max_age_ns: int = 2_000_000_000
    """Messages older than this are history: they shape the pools and cause no signal."""


class Offer(msgspec.Struct, frozen=True):
    """A cycle that earns more than its gas, at the end of a block. Amounts in the profit token's
    smallest unit."""

    sizing: Sizing
    gas: int
    gas_units: int
    block: ChainBlock
    decimals: int
    currency: str

    @property
    def net(self) -> int:
        """What is left."""
        return self.sizing.profit - self.gas


class FlashArbitrageHealth(msgspec.Struct):
    """The strategy's account of itself."""

    opened: int
    updated: int
    closed: int
    open: int
    evaluations: int
    left_out: int
    """Cycles without a profit token, or in whose profit token gas has no price."""
    verified_pools: int
    stale_pools: int


class _Chain:
    """One chain's pools, and what has changed of them since they were last looked at."""

    def __init__(self, limits: ChainLimits, max_hops: int) -> None:
        self.limits = limits
        self.graph = PoolGraph(max_hops)
        self.pending: dict[InstrumentId, None] = {}
        self.decimals: dict[InstrumentId, int] = {}


class FlashArbitrage(Strategy):
    """Looks at the end of every block at all cycles through the pools that it changed."""

    name = "flash-arbitrage"
    version = "1"

    def __init__(
        self,
        market: MarketState,
        sink: MessageSink,
        limits: FlashArbitrageLimits,
        *,
        first_id: int = 1,
    ) -> None:
        self._market = market
        self._limits = limits
        self._chains = {
            chain_id: _Chain(chain, limits.max_hops) for chain_id, chain in limits.chains.items()
        }
        self.evaluations = 0
        self.left_out: Counter[str] = Counter()
        """Cycles that could not be judged, and why."""
        self.opportunities = Opportunities[Cycle, Offer](
            sink,
            SignalIdentity(2, self.name, self.version),
            _signal,
            first_id=first_id,
            time_to_live_ns=limits.time_to_live_ns,
            update_interval_ns=limits.update_interval_ns,
        )

    def market_changed(self, changed: Iterable[InstrumentId], cause: Header, now_ns: int) -> None:
        """Pools changed, went stale, or lost blocks; cycles are looked at when a block is whole.

        In the middle of a reorganisation some pools are back at the common block and others are
        not yet: nothing may be concluded from both.
        """
        rolled_back = self._market.rolled_back
        self._close(rolled_back, CloseReason.REORGANISED, cause, now_ns)
        stale = {pool for pool in changed if self._note(pool)} - rolled_back
        self._close(stale, CloseReason.STALE, cause, now_ns)
        is_news = now_ns - cause.timestamp_ns <= self._limits.max_age_ns
        for chain_id in sorted(self._market.completed & self._chains.keys()):
            self._close_abandoned(chain_id, cause, now_ns)
            self._look(chain_id, cause, now_ns, is_news=is_news)

    def time_passed(self, now_ns: int) -> None:
        """Close what went stale; announce updates that waited."""
        for chain in self._chains.values():
            # A copy: what went stale leaves the graph while it is looked at.
            stale = {pool for pool in tuple(chain.graph.pools) if self._note(pool)}
            self._close(stale, CloseReason.STALE, None, now_ns)
        self.opportunities.time_passed(now_ns)

    def shut_down(self, now_ns: int) -> None:
        """Close every opportunity."""
        for cycle in self.opportunities.open_keys:
            self.opportunities.ended(cycle, CloseReason.SHUTDOWN, None, now_ns)

    def account(self) -> FlashArbitrageHealth:
        """Opportunities, and the pools that they come from."""
        entries = self._market.pools.entries.values()
        stale = sum(entry.status == "stale" for entry in entries)
        opportunities = self.opportunities
        return FlashArbitrageHealth(
            opened=opportunities.opened,
            updated=opportunities.updated,
            closed=opportunities.closed,
            open=len(opportunities.open_keys),
            evaluations=self.evaluations,
            left_out=self.left_out.total(),
            verified_pools=len(entries) - stale,
            stale_pools=stale,
        )

    def _note(self, pool: InstrumentId) -> bool:
        """Take a pool's new value; whether there is none, because it is stale."""
        chain = self._chains.get(pool.chain_id)
        if chain is None or pool.kind is not InstrumentKind.POOL:
            return False
        try:
            value = self._market.pools.value(pool)
        except StalePoolError:
            chain.graph.remove(pool)
            return True
        if chain.graph.pools.get(pool) is not value:
            chain.graph.put(value)
            chain.pending[pool] = None
            decimals = self._market.pools.entries[pool].decimals
            chain.decimals.update(zip(value.tokens, decimals, strict=True))
        return False

    def _look(self, chain_id: int, cause: Header, now_ns: int, *, is_news: bool) -> None:
        """All cycles through what has changed: those that earn are announced, others end."""
        chain = self._chains[chain_id]
        pending, chain.pending = chain.pending, {}
        block = self._market.pools.blocks[chain_id][-1]
        # The price of gas is another one in every block: what is open is looked at each time.
        cycles: dict[Cycle, None] = {
            cycle: None for cycle in self.opportunities.open_keys if _chain_of(cycle) == chain_id
        }
        for candidate in chain.graph.candidates(pending) if is_news else ():
            started = candidate.starting_with(chain.limits.profit_tokens)
            if started is None:
                self.left_out["no profit token"] += 1
            else:
                cycles[started] = None
        prices: dict[InstrumentId, int | None] = {}
        ranked: list[tuple[int, Estimate]] = []
        for cycle in cycles:
            self.evaluations += 1
            rank = self._estimate(chain, cycle, block, prices)
            if rank is not None:
                ranked.append(rank)
        ranked.sort(key=lambda entry: entry[0], reverse=True)
        self.left_out["more than can be executed"] += len(ranked[self._limits.max_open :])
        found: dict[Cycle, Offer] = {}
        for _, estimated in ranked[: self._limits.max_open]:
            offer = self._offer(chain, estimated, block, prices)
            if offer is not None:
                found[estimated.cycle] = offer
        for cycle in self.opportunities.open_keys:
            if _chain_of(cycle) == chain_id and cycle not in found:
                self.opportunities.ended(cycle, CloseReason.VANISHED, cause, now_ns)
        for cycle, offer in found.items():
            self.opportunities.found(cycle, offer, cause, now_ns)

    def _estimate(
        self,
        chain: _Chain,
        cycle: Cycle,
        block: ChainBlock,
        prices: dict[InstrumentId, int | None],
    ) -> tuple[int, Estimate] | None:
        """A cycle that may earn more than its gas, and how many millionths of its gas it earns."""
        units = chain.limits.gas.units(cycle, chain.graph.pools)
        gas = self._gas(chain, cycle.profit_token, units, block, prices)
        if gas is None:
            self.left_out["gas has no price"] += 1
            return None
        found = estimate(cycle, chain.graph.pools)
        if found is None or found.bound <= gas:
            return None
        return found.profit * 1_000_000 // max(1, gas), found

    def _offer(
        self,
        chain: _Chain,
        found: Estimate,
        block: ChainBlock,
        prices: dict[InstrumentId, int | None],
    ) -> Offer | None:
        cycle, pools = found.cycle, chain.graph.pools
        token = cycle.profit_token
        sizing = refine(found, pools)
        if sizing is None:
            return None
        # How many ticks are crossed is known only now.
        units = chain.limits.gas.units(cycle, pools, _ticks(sizing, chain.graph))
        gas = self._gas(chain, token, units, block, prices)
        if gas is None or sizing.profit <= gas:
            return None
        meta = self._market.metas.get(token)
        currency = meta.base if meta is not None and meta.base else format_instrument(token)
        return Offer(sizing, gas, units, block, chain.decimals[token], currency)

    def _gas(
        self,
        chain: _Chain,
        token: InstrumentId,
        units: int,
        block: ChainBlock,
        prices: dict[InstrumentId, int | None],
    ) -> int | None:
        """What ``units`` of gas cost in ``token``, rounded up; None where no pool tells.

        A token is priced once a block, for more gas than a cycle needs.
        """
        if token not in prices:
            wei = _GAS_LOT * (block.base_fee + block.priority_fee)
            try:
                prices[token] = price_in(chain.graph, token, chain.limits.native, wei)
            except SwapError:
                prices[token] = None
        price = prices[token]
        return None if price is None else -(-units * price // _GAS_LOT)

    def _close_abandoned(self, chain_id: int, cause: Header, now_ns: int) -> None:
        """End what was drawn from blocks that the chain does not have any more."""
        blocks = {block.block_hash for block in self._market.pools.blocks[chain_id]}
        for cycle, offer in self.opportunities.open_values:
            if _chain_of(cycle) == chain_id and offer.block.block_hash not in blocks:
                self.opportunities.ended(cycle, CloseReason.REORGANISED, cause, now_ns)

    def _close(
        self,
        pools: Collection[InstrumentId],
        reason: CloseReason,
        cause: Header | None,
        now_ns: int,
    ) -> None:
        if not pools:
            return
        for cycle in self.opportunities.open_keys:
            if any(hop.pool in pools for hop in cycle.hops):
                self.opportunities.ended(cycle, reason, cause, now_ns)


def _chain_of(cycle: Cycle) -> int:
    return cycle.profit_token.chain_id


def _ticks(sizing: Sizing, graph: PoolGraph) -> int:
    """How many initialised ticks the swaps cross."""
    crossed = 0
    for hop, amount in zip(sizing.cycle.hops, sizing.amounts, strict=False):
        pool = graph.pools[hop.pool]
        if isinstance(pool, ConcentratedLiquidityPool):
            crossed += pool.walk(hop.token_in == pool.token0, amount).crossings
    return crossed


def _signal(cycle: Cycle, offer: Offer, stage: Stage) -> tuple[TLV, ...]:
    amounts = offer.sizing.amounts
    hops = tuple(
        SwapHop(amounts[place], amounts[place + 1], hop.pool, hop.token_in.body, hop.token_out.body)
        for place, hop in enumerate(cycle.hops)
    )
    return (
        ArbitrageSignal(
            cycle.hops[0].pool,
            cycle.hops[-1].pool,
            stage.opportunity_id,
            stage.opened_ns,
            stage.expires_ns,
            stage.duration_ns,
            _NOTHING,
            _NOTHING,
            _NOTHING,
            stage.status,
            stage.close_reason,
        ),
        Economics(
            offer.sizing.profit,
            0,
            offer.gas,
            offer.net,
            offer.sizing.amount_in,
            -offer.decimals,
            offer.currency,
        ),
        SwapPath(
            offer.block.number,
            offer.block.block_hash,
            offer.block.base_fee + offer.block.priority_fee,
            offer.gas_units,
            cycle.profit_token.chain_id,
            hops,
        ),
    )
