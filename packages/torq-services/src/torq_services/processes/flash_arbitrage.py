"""The strategy that swaps around cycles of pools."""

from __future__ import annotations

from torq_codec import parse_instrument
from torq_relays import MessageSink
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance
from torq_services.nodes import StrategyNode
from torq_services.processes.hosting import run_node
from torq_services.processes.sources import FLASH_ARBITRAGE
from torq_services.processes.wiring import MILLION, first_id
from torq_services.state import MarketState
from torq_services.strategies import ChainLimits, FlashArbitrage, FlashArbitrageLimits

__all__ = ["flash_arbitrage_node", "run_flash_arbitrage"]


async def run_flash_arbitrage(name: str, config: Config, instance: Instance) -> None:
    """Watch the pools of all chains until cancelled."""
    await run_node(
        name,
        config,
        instance,
        kind=StrategyNode,
        source=FLASH_ARBITRAGE,
        build=flash_arbitrage_node,
    )


def flash_arbitrage_node(config: Config, sink: MessageSink, now_ns: int) -> StrategyNode:
    """The node as ``config`` has it; ids begin at the time of its start."""
    settings = config.flash_arbitrage
    chains = {}
    for chain in config.chains.values():
        native = parse_instrument(chain.native)
        welcome = tuple(map(parse_instrument, chain.profit_tokens)) or (native,)
        chains[chain.chain_id] = ChainLimits(native=native, profit_tokens=welcome)
    limits = FlashArbitrageLimits(
        chains=chains,
        max_hops=settings.max_hops,
        time_to_live_ns=settings.time_to_live_ms * MILLION,
        update_interval_ns=settings.update_interval_ms * MILLION,
    )
    market = MarketState()
    strategy = FlashArbitrage(market, sink, limits, first_id=first_id(now_ns))
    return StrategyNode(market, strategy)
