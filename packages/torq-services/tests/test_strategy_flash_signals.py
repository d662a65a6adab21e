"""What flash arbitrage says of a cycle, what it keeps to itself, and which cycles come first."""

from __future__ import annotations

import msgspec
import pytest
from markets import Source, meta

from torq_amm import ConcentratedLiquidityPool, ConstantProductPool, Pool
from torq_amm.arbitrage import GasCosts
from torq_amm.concentrated import get_sqrt_ratio_at_tick
from torq_codec import format_instrument
from torq_relays import CollectingSink
from torq_services.state import MarketState
from torq_services.state.pool_values import state_of
from torq_services.strategies import ChainLimits, FlashArbitrage, FlashArbitrageLimits
from torq_types import (
    TLV,
    ArbitrageSignal,
    Economics,
    GasPrice,
    InstrumentId,
    InvalidationReason,
    PoolSync,
    SignalIdentity,
    StateInvalidation,
    StateReference,
    SwapPath,
    Venue,
)

CHAIN, OTHER_CHAIN = 137, 10
WETH, DAI, USDC, WBTC = (InstrumentId.token(CHAIN, bytes([n]) * 20) for n in (1, 2, 3, 4))
E18 = 10**18
MS = 10**6
GAS = GasCosts(transaction=0, constant_product=100, concentrated=200, tick=1000, transfer=0)


def pair(
    number: int, tokens: tuple[InstrumentId, InstrumentId], reserves: tuple[int, int]
) -> ConstantProductPool:
    """Without a fee."""
    instrument = InstrumentId.pool(Venue.UNISWAP_V2, tokens[0].chain_id, bytes([number]) * 20)
    return ConstantProductPool(instrument, *tokens, *reserves, 1000, 1000)


class Bench:
    """Pools of one chain or two, blocks, and what the strategy says."""

    def __init__(
        self, *pools: Pool, profit_tokens: tuple[InstrumentId, ...] = (WETH,), max_hops: int = 2,
        max_open: int = 32, gas: GasCosts = GAS, decimals: dict[InstrumentId, int] | None = None,
    ) -> None:  # fmt: skip
        self.market = MarketState(max_silence_ns=1000 * MS)
        self.sink = CollectingSink()
        chain = ChainLimits(native=WETH, profit_tokens=profit_tokens, gas=gas)
        self.strategy = FlashArbitrage(
            self.market, self.sink,
            FlashArbitrageLimits(
                chains={CHAIN: chain}, max_hops=max_hops, time_to_live_ns=60_000 * MS,
                update_interval_ns=0, max_open=max_open, max_age_ns=500,
            ),
            first_id=70,
        )  # fmt: skip
        self.source = Source(500, now_ns=10**9)
        self.block = 100
        self.decimals = decimals or {}
        self.load(*pools)

    def load(self, *pools: Pool) -> None:
        """The pools' states at the last block."""
        for pool in pools:
            places = tuple(self.decimals.get(token, 18) for token in pool.tokens)
            self.apply(state_of(pool, self.block, self.hash(self.block), places))

    def apply(self, *tlvs: TLV, age_ns: int = 0) -> None:
        message = self.source.message(*tlvs)
        changed = self.market.apply(message)
        self.strategy.market_changed(changed, message.header, self.source.now_ns + age_ns)

    def complete(
        self, base_fee: int = 0, priority_fee: int = 0, *, chain: int = CHAIN, age_ns: int = 0,
        fork: int = 0,
    ) -> None:  # fmt: skip
        """A block ends."""
        number = self.block
        parent = self.hash(number - 1)
        self.apply(
            GasPrice(number, chain, base_fee, priority_fee, self.hash(number, fork), parent, 0),
            age_ns=age_ns,
        )
        self.block += 1

    def sync(self, pool: ConstantProductPool, reserve0: int, reserve1: int) -> None:
        """A trade in the block that is next to end."""
        self.apply(
            PoolSync(
                pool.instrument, self.block, self.hash(self.block), bytes([1]) * 32, reserve0,
                reserve1, 1,
            )
        )  # fmt: skip

    @staticmethod
    def hash(number: int, fork: int = 0) -> bytes:
        return (number + (fork << 64)).to_bytes(32, "big")

    @property
    def told(self) -> list[str]:
        found = []
        for tlvs in self.sink.messages:
            signal = tlvs[0]
            assert isinstance(signal, ArbitrageSignal)
            found.append(f"{signal.status.name} {signal.close_reason.name}")
        return found

    @property
    def paths(self) -> list[SwapPath]:
        return [tlv for tlv in self.sink.tlvs if isinstance(tlv, SwapPath)]

    @property
    def economics(self) -> list[Economics]:
        return [tlv for tlv in self.sink.tlvs if isinstance(tlv, Economics)]


def two(worth: int = 400) -> tuple[ConstantProductPool, ConstantProductPool]:
    """WETH for DAI at 1 to ``worth`` hundredths, and at par."""
    return (
        pair(11, (WETH, DAI), (10**6 * E18, worth * 10**4 * E18)),
        pair(12, (WETH, DAI), (10**6 * E18, 10**6 * E18)),
    )


def test_everything_that_a_signal_says() -> None:
    """By hand: 4 to 1 without fees: the best input is a third of a million of WETH.

    a = 4e12, b = 1e12, c = 5e6 in whole WETH: (sqrt(a b) - b) / c = 2e5, which buys 666 666.67
    DAI, and those 4e5 WETH. Gas: 200 units at 7 + 3 wei.
    """
    first, second = two()
    bench = Bench(first, second)
    bench.apply(meta(WETH, base="ETH", quote=""))
    bench.complete(base_fee=7, priority_fee=3)
    signal, economics, path, reference, identity = bench.sink.messages[0]
    assert isinstance(signal, ArbitrageSignal)
    assert isinstance(economics, Economics)
    assert isinstance(path, SwapPath)
    assert isinstance(reference, StateReference)
    # The cycle goes in through the dear pool and comes out of the cheap one.
    assert (signal.buy_instrument, signal.sell_instrument) == (first.instrument, second.instrument)
    assert signal.opportunity_id == 70
    assert (signal.opened_ns, signal.duration_ns) == (10**9, 0)
    assert signal.expires_ns == 10**9 + 60_000 * MS
    assert (signal.size.mantissa, signal.buy_price.mantissa, signal.sell_price.mantissa) == (0,) * 3
    assert abs(economics.cost - 2 * 10**5 * E18) <= 10
    assert abs(economics.gross - 2 * 10**5 * E18) <= 10
    assert (economics.gas, economics.fees) == (2000, 0)
    assert economics.net == economics.gross - 2000
    assert (economics.exponent, economics.currency) == (-18, "ETH")
    assert (path.block_number, path.block_hash) == (100, bench.hash(100))
    assert (path.gas_price, path.gas_units, path.chain_id) == (10, 200, CHAIN)
    there, back = path.hops
    assert (there.pool, back.pool) == (first.instrument, second.instrument)
    assert (there.token_in, there.token_out) == (WETH.body, DAI.body)
    assert (back.token_in, back.token_out) == (DAI.body, WETH.body)
    assert there.amount_in == economics.cost
    assert there.amount_out == back.amount_in
    assert back.amount_out - there.amount_in == economics.gross
    assert first.amount_out(WETH, there.amount_in) == there.amount_out
    assert second.amount_out(DAI, back.amount_in) == back.amount_out
    assert (reference.source, reference.sequence) == (500, bench.source.sequence)
    assert identity == SignalIdentity(2, "flash-arbitrage", "1")


def test_a_token_without_a_name_is_told_by_its_address() -> None:
    for names in ((), (meta(WETH, base="", quote=""),)):
        bench = Bench(*two())
        for name in names:
            bench.apply(name)
        bench.complete()
        assert bench.economics[0].currency == format_instrument(WETH)


def test_the_profit_token_decides_where_a_cycle_begins() -> None:
    bench = Bench(*two(), profit_tokens=(USDC, DAI, WETH), decimals={DAI: 6, WETH: 18})
    bench.complete()
    assert bench.paths[0].hops[0].token_in == DAI.body
    assert bench.economics[0].exponent == -6
    # It goes in where DAI is dear.
    assert bench.paths[0].hops[0].pool == two()[1].instrument


def test_a_profit_of_no_more_than_the_gas_is_none() -> None:
    """By hand 200 000, of which rounding takes one; and a transaction of one unit of gas."""
    pools = pair(11, (WETH, DAI), (10**6, 4 * 10**6)), pair(12, (WETH, DAI), (10**6, 10**6))
    unit = GasCosts(transaction=1, constant_product=0, transfer=0)
    for base_fee, priority_fee, net in (
        (0, 0, 199_999), (199_998, 0, 1), (100_000, 99_998, 1), (199_999, 0, 0),
        (99_999, 100_000, 0), (200_000, 0, 0), (200_001, 0, 0),
    ):  # fmt: skip
        bench = Bench(*pools, gas=unit)
        bench.complete(base_fee, priority_fee)
        assert [economics.net for economics in bench.economics] == ([net] if net else [])


def test_gas_is_looked_at_anew_in_every_block() -> None:
    bench = Bench(*two())
    bench.complete(base_fee=10)
    bench.complete(base_fee=10)
    # The block is another one: what stands in the signal with it is new.
    assert bench.told == ["OPENED NONE", "UPDATED NONE"]
    assert [path.block_number for path in bench.paths] == [100, 101]
    bench.complete(base_fee=10**24)
    assert bench.told[2:] == ["CLOSED VANISHED"]
    bench.complete(base_fee=10)
    # Nothing changed but the gas: what is not open is not looked for.
    assert len(bench.told) == 3
    assert bench.strategy.account().evaluations == 3


def test_ticks_cost_gas_once_they_are_known() -> None:
    """Two pools of ranges: each tick crossed is 1000 units more, and counted in the end."""
    pools = []
    for number, tick in ((21, 45), (22, -45)):
        instrument = InstrumentId.pool(Venue.UNISWAP_V3, CHAIN, bytes([number]) * 20)
        net = {n: (1 if n < 0 else -1) * 10**24 for n in range(-60, 61, 10) if n}
        gross = dict.fromkeys(net, 10**24)
        inside = sum(net[n] for n in net if n <= tick)
        price = get_sqrt_ratio_at_tick(tick)
        pools.append(
            ConcentratedLiquidityPool(
                instrument, WETH, DAI, 0, 10, price, tick, inside, net, gross
            )
        )  # fmt: skip
    bench = Bench(*pools)
    bench.complete(base_fee=1)
    # From 45 and -45 the two meet at 0: over 40 to 10 down, and over -40 to -10 up.
    assert bench.paths[0].gas_units == 2 * 200 + 8 * 1000
    assert bench.economics[0].gas == 8400


def test_what_is_old_shapes_the_pools_and_opens_nothing() -> None:
    bench = Bench(*two())
    bench.complete(age_ns=501)
    assert (bench.told, bench.strategy.account().evaluations) == ([], 0)
    # What changed then is not looked at again until it changes.
    bench.complete()
    assert bench.told == []
    first, _ = two()
    bench.sync(first, first.reserve0, first.reserve1 + 1)
    bench.complete(age_ns=500)
    assert bench.told == ["OPENED NONE"]
    # What is open is looked at, however old: it ends when it does not pay.
    bench.sync(first, 10**6 * E18, 10**6 * E18)
    bench.complete(age_ns=10**9)
    assert bench.told[1:] == ["CLOSED VANISHED"]


def ranked() -> list[ConstantProductPool]:
    """Three pairs of pools; the second earns most, the first least."""
    found = []
    for place, (token, worth) in enumerate(((DAI, 110), (USDC, 300), (WBTC, 150))):
        found.append(pair(30 + 2 * place, (WETH, token), (10**24, worth * 10**22)))
        found.append(pair(31 + 2 * place, (WETH, token), (10**24, 10**24)))
    return found


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_those_that_earn_most_for_their_gas_come_first(most: int) -> None:
    bench = Bench(*ranked(), max_open=most)
    bench.complete(base_fee=1)
    bought = [path.hops[0].token_out for path in bench.paths]
    assert bought == [USDC.body, WBTC.body, DAI.body][:most]
    assert bench.strategy.account().left_out == 3 - most
    nets = [economics.net for economics in bench.economics]
    assert nets == sorted(nets, reverse=True)


def test_a_cycle_of_more_gas_has_to_earn_as_much_more() -> None:
    """Per gas, not in all: a cycle through ranges costs twice as much here."""
    positions = {-6000: 4 * 10**23, 6000: -4 * 10**23}
    ranges = []
    for number, tick in ((41, 953), (42, 0)):
        instrument = InstrumentId.pool(Venue.UNISWAP_V3, CHAIN, bytes([number]) * 20)
        ranges.append(
            ConcentratedLiquidityPool(
                instrument, WETH, USDC, 0, 10, get_sqrt_ratio_at_tick(tick), tick, 4 * 10**23,
                positions, {-6000: 4 * 10**23, 6000: 4 * 10**23},
            )
        )  # fmt: skip
    pairs = [
        pair(43, (WETH, DAI), (3 * 10**23, 33 * 10**22)), pair(44, (WETH, DAI), (3 * 10**23,) * 2)
    ]  # fmt: skip
    both = Bench(*ranges, *pairs)
    both.complete(base_fee=1)
    gross = {
        path.hops[0].token_out: e.gross for path, e in zip(both.paths, both.economics, strict=True)
    }
    assert gross[DAI.body] < gross[USDC.body] < 2 * gross[DAI.body]
    one = Bench(*ranges, *pairs, max_open=1)
    one.complete(base_fee=1)
    assert [path.hops[0].token_out for path in one.paths] == [DAI.body]


def test_what_cannot_be_judged_is_counted() -> None:
    bench = Bench(*two(), profit_tokens=(USDC,))
    bench.complete()
    assert bench.told == []
    assert bench.strategy.left_out == {"no profit token": 1, "more than can be executed": 0}
    # DAI is welcome, but no pool leads from it to what gas is paid in.
    apart = pair(51, (DAI, USDC), (10**20, 4 * 10**20)), pair(52, (DAI, USDC), (10**20, 10**20))
    bench = Bench(*apart, profit_tokens=(DAI,))
    bench.complete(base_fee=1)
    assert bench.told == []
    assert bench.strategy.left_out["gas has no price"] == 1
    account = bench.strategy.account()
    assert (account.left_out, account.evaluations) == (1, 1)


def test_gas_is_priced_in_the_profit_token() -> None:
    """By hand: one to one in the deeper pool for it, and 200 units of gas at a wei."""
    bench = Bench(*two(), profit_tokens=(DAI,))
    bench.complete(base_fee=1)
    # A million units cost 1 000 000 DAI of the deep pool and one for rounding; 200 of them 200.
    assert 200 <= bench.economics[0].gas <= 201


def test_its_account() -> None:
    bench = Bench(*ranked())
    bench.complete(base_fee=1)
    account = bench.strategy.account()
    assert (account.opened, account.updated, account.closed, account.open) == (3, 0, 0, 3)
    assert (account.verified_pools, account.stale_pools, account.evaluations) == (6, 0, 3)
    doubted = ranked()[0].instrument
    bench.apply(StateInvalidation(doubted, 100, 0, InvalidationReason.CHECKSUM))
    account = bench.strategy.account()
    assert (account.closed, account.open, account.stale_pools) == (1, 2, 1)
    assert account.verified_pools == 5
    bench.strategy.shut_down(bench.source.now_ns)
    assert bench.told[3:] == ["CLOSED STALE", "CLOSED SHUTDOWN", "CLOSED SHUTDOWN"]


def test_a_reorganisation_takes_back_what_was_drawn_from_its_blocks() -> None:
    first, second = two()
    bench = Bench(first, second)
    bench.complete(base_fee=1)
    bench.sync(first, first.reserve0, first.reserve1 + E18)
    bench.complete(base_fee=1)
    assert bench.told == ["OPENED NONE", "UPDATED NONE"]
    # Block 101 is void for the first pool: its cycle is closed at once, and for this reason.
    bench.apply(StateInvalidation(first.instrument, 100, 0, InvalidationReason.REORGANISED))
    assert bench.told[2:] == ["CLOSED REORGANISED"]
    bench.block = 101
    bench.complete(base_fee=1, fork=1)
    assert bench.told[3:] == ["OPENED NONE"]


def test_what_was_drawn_from_an_abandoned_block_is_closed_with_the_next() -> None:
    """The pools did not change in it, but its gas and its hash are void."""
    bench = Bench(*two())
    bench.complete(base_fee=1)
    bench.complete(base_fee=1)
    bench.block = 101
    bench.complete(base_fee=1, fork=1)
    assert bench.told == ["OPENED NONE", "UPDATED NONE", "CLOSED REORGANISED"]


def test_chains_that_nobody_asked_for_are_left_alone() -> None:
    foreign = [InstrumentId.token(OTHER_CHAIN, bytes([n]) * 20) for n in (1, 2)]
    pools = [
        pair(61, (foreign[0], foreign[1]), (10**24, 4 * 10**24)),
        pair(62, (foreign[0], foreign[1]), (10**24, 10**24)),
    ]
    bench = Bench(*pools, *two())
    bench.complete(chain=OTHER_CHAIN)
    assert (bench.told, bench.strategy.account().evaluations) == ([], 0)
    bench.block = 100
    bench.complete()
    assert len(bench.paths) == 1
    assert bench.paths[0].chain_id == CHAIN
    assert bench.strategy.account().verified_pools == 4


def test_three_pools_in_their_order() -> None:
    """The first and the last pool are the signal's; the path has them all."""
    ring = [
        pair(71, (WETH, DAI), (10**24, 2 * 10**24)), pair(72, (DAI, USDC), (10**24, 10**24)),
        pair(73, (USDC, WETH), (10**24, 10**24)),
    ]  # fmt: skip
    bench = Bench(*ring, max_hops=3)
    bench.complete()
    signal = bench.sink.messages[0][0]
    assert isinstance(signal, ArbitrageSignal)
    assert (signal.buy_instrument, signal.sell_instrument) == (
        ring[0].instrument,
        ring[2].instrument,
    )
    (path,) = bench.paths
    assert [hop.pool for hop in path.hops] == [pool.instrument for pool in ring]
    for before, after in zip(path.hops[:-1], path.hops[1:], strict=True):
        assert (before.token_out, before.amount_out) == (after.token_in, after.amount_in)
    assert msgspec.structs.astuple(path.hops[0])[0] == path.hops[0].amount_in
