"""The EVM feed block by block, against a chain that a test tells: no node, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pool_messages import POOL, TOKENS, block_hash, state, sync
from scripted_chain import Block, ScriptedChain, call_key, log_of, word

from torq_services.adapters.chain.logs import PAIR_CREATED
from torq_services.adapters.chain.rpc import RpcError
from torq_types import (
    TLV,
    Decimal64,
    Error,
    ErrorCode,
    GasPrice,
    InstrumentId,
    InstrumentMeta,
    InvalidationReason,
    PoolState,
    PoolSync,
    StateInvalidation,
    Venue,
)

OTHER = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x0a" * 20)
EMPTY_BLOOM = "0x" + "00" * 255 + "01"


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedChain:
    return ScriptedChain(monkeypatch, tmp_path)


def meta(number: int) -> InstrumentMeta:
    zero, smallest = Decimal64(0, 0), Decimal64(1, -18)
    return InstrumentMeta(TOKENS[number], zero, smallest, zero, 1, ("AAA", "BBB")[number], "")


def gas(number: int, branch: int = 0, parent: bytes | None = None, tip: int = 10) -> GasPrice:
    """The base fee is 20, and the node says 30 where a test says nothing else."""
    return GasPrice(
        block_number=number, chain_id=1, base_fee=20, priority_fee=tip,
        block_hash=block_hash(number, branch), parent_hash=parent or block_hash(number - 1, branch),
        block_timestamp=1000 + number,
    )  # fmt: skip


def doubt(
    number: int, reason: InvalidationReason, detail: str, pool: InstrumentId = POOL
) -> StateInvalidation:
    return StateInvalidation(pool, number, int(pool.venue), reason, detail)


def test_it_reads_every_pool_and_tells_of_all_of_it(chain: ScriptedChain) -> None:
    async def story() -> None:
        assert chain.feed.state == "in step"
        first = gas(10, parent=bytes(32))
        assert chain.sent() == [first, meta(0), meta(1), state(100, 10)]
        assert chain.nodes[0].subscribed == [
            ("newHeads",), ("logs", chain.feed._filter.parameters()),
        ]  # fmt: skip

    chain.run(story)
    assert chain.sent() == [doubt(10, InvalidationReason.SHUTDOWN, "the adapter stops")]
    assert chain.feed.last_doubt == "shutdown: the adapter stops"


def test_a_block_is_its_events_and_then_the_word_that_it_is_complete(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        chain.methods()
        block = chain.add(11, POOL, 101)
        block.gas_price = 15
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [sync(101, 11), gas(11, tip=0)], "no tip is below zero"
        assert chain.methods() == ["eth_getLogs", "eth_gasPrice"]
        health = chain.feed.health()
        assert (health.block_number, health.blocks, health.events) == (11, 1, 1)
        assert (health.verified_pools, health.stale_pools) == (1, 0)

    chain.run(story)
    after = chain.feed.health()
    assert (after.verified_pools, after.stale_pools) == (1, 0)


def test_a_block_whose_bloom_denies_it_is_not_asked_for_logs(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.methods()
        chain.announce(chain.add(11, bloom=EMPTY_BLOOM))
        await chain.settle()
        assert chain.methods() == ["eth_gasPrice"]
        chain.announce(chain.add(12))
        await chain.settle()
        # Nothing was found: does the node still have the block at all?
        assert chain.methods() == ["eth_getLogs", "eth_gasPrice", "eth_getBlockByHash"]
        assert chain.feed.blocks == 2

    chain.run(story)


def test_what_lies_between_is_fetched_by_parents(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        chain.add(11, POOL, 101)
        chain.add(12)
        chain.announce(chain.add(13, POOL, 103))
        await chain.settle()
        assert chain.sent() == [sync(101, 11), gas(11), gas(12), sync(103, 13), gas(13)]
        assert chain.feed.health().faults == {}

    chain.run(story)


@pytest.mark.parametrize(("blocks", "is_filled"), [(6, True), (7, False)])
def test_a_gap_that_is_too_long_is_not_filled(
    chain: ScriptedChain, blocks: int, is_filled: bool
) -> None:
    """At most 6 blocks here."""

    async def story() -> None:
        chain.sent()
        for number in range(11, 11 + blocks):
            chain.add(number, POOL, number)
        chain.announce(chain.head)
        await chain.settle()
        tip = 10 + blocks
        if is_filled:
            assert len(chain.sent()) == 2 * blocks
            return
        assert chain.sent() == [
            doubt(10, InvalidationReason.SEQUENCE_GAP, "the chain left the blocks that are kept"),
            gas(tip), meta(0), meta(1), state(tip, tip),
        ]  # fmt: skip
        assert chain.feed.faults == {"started_over": 1}
        health = chain.feed.health()
        assert (health.verified_pools, health.rebuilds, health.state) == (1, 2, "in step")

    chain.run(story)


def test_a_reorganisation_takes_back_what_was_abandoned(chain: ScriptedChain) -> None:
    chain.add_pool(OTHER)
    chain.add(10, OTHER, 7)

    async def story() -> None:
        shared = chain.add(11, POOL, 101)
        chain.add(12, POOL, 102)
        chain.announce(chain.add(13, POOL, 103))
        await chain.settle()
        chain.sent()
        chain.add(12, POOL, 77, branch=1, parent=shared)
        chain.add(13, branch=1)
        chain.announce(chain.add(14, POOL, 78, branch=1))
        await chain.settle()
        sent = chain.sent()
        assert sent[:6] == [
            doubt(11, InvalidationReason.REORGANISED, "2 blocks after 11 were abandoned"),
            sync(77, 12, branch=1), gas(12, 1, block_hash(11)), gas(13, 1),
            sync(78, 14, branch=1), gas(14, 1),
        ]  # fmt: skip
        assert sent[6:] == [meta(0), meta(1), state(78, 14, 1), state(7, 14, 1, OTHER)]
        health = chain.feed.health()
        assert (health.reorganisations, health.deepest_reorganisation) == (1, 2)
        assert (health.faults, health.verified_pools) == ({}, 2)
        chain.announce(chain.add(14, branch=2, parent=chain.head.parent))
        await chain.settle()
        assert (chain.feed.reorganisations, chain.feed.deepest) == (2, 2)

    chain.run(story, pools=(POOL, OTHER))


def test_a_chain_that_became_shorter_goes_back(chain: ScriptedChain) -> None:
    async def story() -> None:
        shared = chain.add(11, POOL, 101)
        chain.announce(chain.add(12, POOL, 102))
        await chain.settle()
        chain.sent()
        chain.head = shared
        chain.announce(shared)
        await chain.settle()
        assert chain.sent() == [
            doubt(11, InvalidationReason.REORGANISED, "1 blocks after 11 were abandoned"),
            meta(0), meta(1), state(101, 11),
        ]  # fmt: skip
        assert chain.feed.health().block_number == 11

    chain.run(story)


def test_a_head_that_is_known_changes_nothing(chain: ScriptedChain) -> None:
    async def story() -> None:
        block = chain.add(11)
        for _ in range(3):
            chain.announce(block)
        await chain.settle()
        assert chain.feed.blocks == 1
        assert chain.feed.reorganisations == 0

    chain.run(story)


@pytest.mark.parametrize(("depth", "is_followed"), [(7, True), (8, False)])
def test_a_branch_that_is_deeper_than_what_is_kept_means_to_start_over(
    chain: ScriptedChain, depth: int, is_followed: bool
) -> None:
    """8 blocks are kept: 7 can be abandoned when the eighth is shared."""

    async def story() -> None:
        for number in range(11, 31):
            chain.announce(chain.add(number))
            await chain.settle()
        shared: Block | None = chain.head
        for _ in range(depth):
            assert shared is not None
            shared = shared.parent
        for number in range(31 - depth, 32):
            block = chain.add(number, branch=1, parent=shared)
            shared = block
        chain.announce(block)
        await chain.settle()
        assert chain.feed.reorganisations == is_followed
        assert chain.feed.faults["started_over"] == (not is_followed)
        assert chain.feed.health().block_number == 31

    chain.run(story, max_gap_blocks=20)


def test_a_log_that_is_taken_back_is_looked_into(chain: ScriptedChain) -> None:
    async def story() -> None:
        shared = chain.head
        chain.announce(chain.add(11, POOL, 101))
        await chain.settle()
        chain.sent()
        gone = chain.head.logs[0] | {"removed": True}
        chain.add(11, branch=1, parent=shared)
        chain.tell(gone)
        await chain.settle()
        assert chain.feed.faults == {"removed_logs": 1}
        assert chain.sent()[0] == doubt(
            10, InvalidationReason.REORGANISED, "1 blocks after 10 were abandoned"
        )
        chain.methods()
        chain.tell(log_of(sync(1, 99)) | {"removed": True})
        await chain.settle()
        assert (chain.methods(), chain.feed.faults["removed_logs"]) == ([], 1), "never heard of it"

    chain.run(story)


def test_logs_that_were_told_of_and_are_left_out_are_not_believed(chain: ScriptedChain) -> None:
    async def story() -> None:
        block = chain.add(11, POOL, 101)
        for index in (0, 5):
            chain.tell(log_of(sync(101, 11, index)))
        await chain.settle()
        chain.sent()
        chain.announce(block)
        await chain.settle()
        assert chain.feed.faults == {"skipped_logs": 1, "RpcError": 1}
        assert chain.sent() == [
            doubt(
                10, InvalidationReason.DISCONNECTED,
                "block 11: the node told of 1 logs that eth_getLogs leaves out",
            )
        ]  # fmt: skip
        assert chain.feed.health().state == "waiting"
        await chain.settle(0.3)
        assert chain.feed.health().state == "in step"
        assert chain.feed.health().block_number == 11

    chain.run(story)


def test_logs_that_were_told_of_and_are_there_are_fine(chain: ScriptedChain) -> None:
    async def story() -> None:
        block = chain.add(11, POOL, 101)
        chain.tell(block.logs[0])
        chain.tell(log_of(sync(9, 11, 7)))
        chain.tell(log_of(sync(9, 11, 7)) | {"removed": True})  # told, and taken back
        chain.announce(block)
        await chain.settle()
        assert chain.feed.faults == {}
        assert chain.feed.health().block_number == 11

    chain.run(story)


def test_a_log_that_cannot_be_decoded_costs_its_pool_a_new_reading(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        block = chain.add(11, POOL, 101)
        block.logs[0]["data"] = "0x" + "01" * 300
        chain.announce(block)
        await chain.settle()
        error, invalid, complete, again = chain.sent()
        assert isinstance(error, Error)
        assert error.code is ErrorCode.MALFORMED_INPUT
        assert error.context.startswith("EventLog(address=b'\\t\\t")
        assert len(error.context) == 500
        assert isinstance(invalid, StateInvalidation)
        assert (invalid.sequence, invalid.reason) == (11, InvalidationReason.MALFORMED)
        assert (complete, again) == (gas(11), state(101, 11))
        assert chain.feed.faults == {"MalformedEventError": 1}
        assert (chain.feed.events, chain.feed.rebuilds) == (0, 2)

    chain.run(story)


def test_an_event_that_does_not_fit_is_told_to_everybody(chain: ScriptedChain) -> None:
    """A reserve is a uint112: the codec takes it, the pool does not."""

    async def story() -> None:
        chain.sent()
        block = chain.add(11, POOL, 101)
        chain.feed.market.entries[POOL].invalidate(InvalidationReason.INCONSISTENT)
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [
            sync(101, 11), gas(11),
            doubt(11, InvalidationReason.INCONSISTENT, "an event does not fit"), state(101, 11),
        ]  # fmt: skip

    chain.run(story)


def test_another_contract_s_events_are_no_pool_s(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        block = chain.add(11)
        block.logs.append(log_of(sync(5, 11, pool=OTHER)))
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [gas(11)]
        assert chain.feed.faults == {"unasked_logs": 1}

    chain.run(story)


def test_every_so_many_blocks_one_pool_is_compared(chain: ScriptedChain) -> None:
    """In turn: of two pools the second one is wrong here, and is found at the second look."""
    chain.add_pool(OTHER)
    chain.add(10, OTHER, 7)

    async def story() -> None:
        chain.head.reserves[OTHER] = 8  # nobody was told
        chain.announce(chain.add(11))
        chain.announce(chain.add(12))
        await chain.settle()
        assert (chain.feed.verifications, chain.feed.faults) == (1, {})
        chain.sent()
        chain.announce(chain.add(13))
        chain.announce(chain.add(14))
        await chain.settle()
        assert chain.sent() == [
            gas(13), gas(14),
            doubt(14, InvalidationReason.INCONSISTENT, "the chain says otherwise", OTHER),
            state(8, 14, pool=OTHER),
        ]  # fmt: skip
        assert (chain.feed.verifications, chain.feed.faults) == (2, {"contradicted": 1})
        chain.announce(chain.add(15))
        chain.announce(chain.add(16))
        await chain.settle()
        assert chain.feed.verifications == 3
        assert chain.feed.health().verified_pools == 2

    chain.run(story, pools=(POOL, OTHER), verify_blocks=2)


def test_every_so_many_blocks_all_states_are_told_again(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        for number in range(11, 17):
            chain.announce(chain.add(number))
            await chain.settle()
        assert [type(tlv) for tlv in chain.sent()] == [
            GasPrice, GasPrice, InstrumentMeta, InstrumentMeta, PoolState,
            GasPrice, GasPrice, GasPrice, InstrumentMeta, InstrumentMeta, PoolState,
            GasPrice,
        ]  # fmt: skip

    chain.run(story, repeat_blocks=3)


def test_without_a_block_for_a_minute_the_next_endpoint_is_asked(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        await chain.settle(59.5)
        assert chain.feed.health().endpoint == "ws://a"
        await chain.settle(1)
        assert chain.opened == [(0, "ws://a"), (60, "ws://b")]
        assert chain.sent()[0] == doubt(10, InvalidationReason.DISCONNECTED, "no block for 60.0 s")
        assert (chain.feed.connects, chain.feed.state) == (2, "in step")
        assert chain.feed.faults == {}

    chain.run(story, urls=("ws://a", "ws://b"))


def test_only_a_whole_round_without_luck_has_to_wait(chain: ScriptedChain) -> None:
    chain.cannot_open = {"ws://a", "ws://b"}

    async def story() -> None:
        await chain.settle(2)
        assert chain.opened == [
            (0, "ws://a"), (0, "ws://b"), (0.25, "ws://a"), (0.25, "ws://b"),
            (0.75, "ws://a"), (0.75, "ws://b"), (1.75, "ws://a"), (1.75, "ws://b"),
        ]  # fmt: skip
        assert chain.feed.last_doubt == "disconnected: ws://b: no route"
        assert chain.feed.faults == {"RpcError": 8}
        chain.cannot_open = set()
        await chain.settle(2)
        assert chain.feed.state == "in step"
        chain.nodes[-1].notices.put_nowait(RpcError("gone"))
        chain.opened.clear()
        await chain.settle(0.2)
        assert [url for _, url in chain.opened] == ["ws://b"]

    chain.run(story, urls=("ws://a", "ws://b"))
    assert chain.feed.connects == 2


def test_delays_begin_anew_when_it_was_in_step(chain: ScriptedChain) -> None:
    async def story() -> None:
        for _ in range(4):
            chain.nodes[-1].notices.put_nowait(RpcError("gone"))
            await chain.settle(1)
        assert [at for at, _ in chain.opened] == [0, 0.26, 1.26, 2.26, 3.26]

    chain.run(story)


def test_a_node_of_another_chain_is_refused(chain: ScriptedChain) -> None:
    chain.chain_id = "0x89"

    async def story() -> None:
        assert chain.feed.last_doubt == (
            "disconnected: ws://a serves chain 137, not 1: correct the url"
        )
        assert (chain.feed.connects, chain.sent()) == (0, [])

    chain.run(story)
    assert chain.sent() == [], "nobody was told of any pool"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("null", "the node does not have block 11 0x"),
        ("other", "asked for block 11 0x"),
    ],
)
def test_a_block_that_the_node_does_not_have_ends_the_connection(
    chain: ScriptedChain, answer: str, detail: str
) -> None:
    async def story() -> None:
        other = chain.head.header
        chain.override = lambda method, parameters: (
            None if method != "eth_getBlockByHash" else "null" if answer == "null" else other
        )
        chain.add(11)
        chain.announce(chain.add(12))
        await chain.settle()
        assert chain.feed.last_doubt.startswith(f"disconnected: {detail}")
        kind = "RpcError" if answer == "null" else "BrokenChainError"
        assert chain.feed.faults == {kind: 1}

    chain.run(story)


def test_what_makes_no_sense_ends_the_connection(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.nodes[-1].notices.put_nowait(("newHeads", {"number": "0x1"}))
        await chain.settle()
        assert chain.feed.faults == {"BrokenChainError": 1}
        await chain.settle(0.5)
        chain.tell({"address": "0x"})
        await chain.settle()
        assert chain.feed.faults == {"BrokenChainError": 1, "MalformedEventError": 1}

    chain.run(story)


def test_after_a_disconnection_the_gap_is_closed(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        chain.nodes[-1].notices.put_nowait(RpcError("gone"))
        await chain.settle()
        assert chain.sent() == [doubt(10, InvalidationReason.DISCONNECTED, "gone")]
        assert (chain.feed.health().verified_pools, chain.feed.health().stale_pools) == (0, 1)
        chain.add(11, POOL, 101)
        chain.add(12)
        await chain.settle(0.5)
        assert chain.sent() == [
            sync(101, 11), gas(11), gas(12), meta(0), meta(1), state(101, 12),
        ]  # fmt: skip
        assert chain.feed.rebuilds == 1

    chain.run(story)


FACTORY = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x05" * 20)


def created(number: int, pool: InstrumentId, index: int = 0) -> dict[str, Any]:
    """The factory's own event: the pair, and how many there are."""
    log = log_of(sync(1, number, index, pool=pool))
    return log | {
        "address": "0x" + FACTORY.body.hex(),
        "topics": ["0x" + t.hex() for t in (PAIR_CREATED, bytes(12) + b"\1" * 20, bytes(32))],
        "data": "0x" + (bytes(12) + pool.body + word(1)).hex(),
    }


def test_a_factory_s_new_pool_is_followed_from_its_block_on(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        chain.add_pool(OTHER)
        block = chain.add(11)
        block.logs.append(created(11, OTHER))
        block.reserves[OTHER] = 7
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [gas(11), state(7, 11, pool=OTHER)]
        assert chain.feed.faults == {"pools_discovered": 1}
        third = InstrumentId.pool(Venue.SUSHISWAP_V2, 1, b"\x0b" * 20)
        chain.add_pool(third)
        block = chain.add(12, OTHER, 8)
        block.logs.append(created(12, third, 1))
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [sync(8, 12, pool=OTHER), gas(12)], "two are enough"

    chain.run(story, factories=(FACTORY,), max_pools=2)


def test_a_new_pool_that_cannot_be_read_is_left_out(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.sent()
        block = chain.add(11)
        block.logs.append(created(11, OTHER))
        chain.announce(block)
        await chain.settle()
        assert chain.sent() == [gas(11)]
        assert chain.feed.faults == {"unreadable_pools": 1}

    chain.run(story, factories=(FACTORY,))


def test_of_many_pools_the_first_fifty_are_shown(chain: ScriptedChain) -> None:
    pools = [InstrumentId.pool(Venue.UNISWAP_V2, 1, bytes([n]) * 20) for n in range(100, 160)]
    for pool in pools:
        chain.add_pool(pool)
        chain.head.reserves[pool] = 5

    async def story() -> None:
        health = chain.feed.health()
        assert (health.verified_pools, len(health.pools)) == (60, 50)
        assert health.pools[0].tokens == "AAA/BBB"
        assert (health.pools[0].status, health.pools[0].price) == ("verified", "1")
        metas = [tlv for tlv in chain.sent() if isinstance(tlv, InstrumentMeta)]
        assert metas == [meta(0), meta(1)], "once, however many pools have them"

    chain.run(story, pools=tuple(pools))


def test_what_web3_formats_is_read_as_a_node_s_json(chain: ScriptedChain) -> None:
    """Its subscriptions deliver bytes and integers where the JSON-RPC has texts."""

    def formatted(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
        return [formatted(entry) for entry in value] if isinstance(value, list) else value

    async def story() -> None:
        block = chain.add(11, POOL, 101)
        numbers = {"blockNumber": 11, "logIndex": 5, "transactionIndex": 0}
        log = log_of(sync(101, 11, 5)) | numbers
        log = {key: formatted(value) for key, value in log.items()}
        chain.tell(log)
        head = block.header | {"number": 11, "baseFeePerGas": 20, "timestamp": 1011}
        head = {key: formatted(value) for key, value in head.items()}
        chain.nodes[-1].notices.put_nowait(("newHeads", head))
        await chain.settle()
        assert chain.feed.faults["skipped_logs"] == 1, "it was understood, and is missed"

    chain.run(story)


@pytest.mark.parametrize(("told", "kept"), [(16, 16), (17, 0)])
def test_logs_of_many_blocks_that_never_come_are_forgotten(
    chain: ScriptedChain, told: int, kept: int
) -> None:
    """More than twice the blocks that are kept: 8 here."""

    async def story() -> None:
        for number in range(100, 100 + told):
            chain.tell(log_of(sync(1, number)))
        await chain.settle()
        assert len(chain.feed._seen) == told
        chain.announce(chain.add(11, POOL, 101))
        await chain.settle()
        assert len(chain.feed._seen) == kept
        assert chain.feed.faults == {}

    chain.run(story)


def test_logs_of_blocks_that_were_abandoned_are_forgotten(chain: ScriptedChain) -> None:
    async def story() -> None:
        shared = chain.head
        chain.announce(chain.add(11, POOL, 101))
        await chain.settle()
        chain.tell(chain.head.logs[0])  # late
        await chain.settle()
        assert len(chain.feed._seen) == 1
        chain.announce(chain.add(11, branch=1, parent=shared))
        await chain.settle()
        assert len(chain.feed._seen) == 0

    chain.run(story)


def asked_logs(chain: ScriptedChain) -> Sequence[dict[str, Any]]:
    return [query for method, query in chain.asked if method == "eth_getLogs"]


def test_logs_are_asked_for_by_the_block_s_hash(chain: ScriptedChain) -> None:
    async def story() -> None:
        chain.methods()
        block = chain.add(11, POOL, 101)
        chain.announce(block)
        await chain.settle()
        (query,) = asked_logs(chain)
        assert query["blockHash"] == block.hash
        assert query["address"] == ["0x" + POOL.body.hex()]
        assert log_of(sync(1, 1))["topics"][0] in query["topics"][0]

    chain.run(story)


def test_nothing_else_is_published(chain: ScriptedChain) -> None:
    kinds: set[type[TLV]] = set()

    async def story() -> None:
        chain.announce(chain.add(11, POOL, 101))
        await chain.settle()
        kinds.update(type(tlv) for tlv in chain.sent())

    chain.run(story)
    assert kinds == {GasPrice, InstrumentMeta, PoolState, PoolSync}
    assert call_key(POOL.body, "getReserves()")[1] == "0x0902f1ac"
