"""Where an event's numbers cease to fit what a pool can hold."""

from __future__ import annotations

from typing import Any

import pytest
from dex_events import BLOCK, EVENTS, as_log, pool_of
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from torq_codec.dex import EventCounter, EventLog, decode_event, encode_event, parse_log
from torq_types import (
    BalanceChange,
    MalformedEventError,
    PoolBalanceChange,
    PoolBurn,
    PoolFee,
    PoolMint,
    UnknownEventError,
    Venue,
)

ACCOUNT = "0x" + "aa" * 20
VAULT, V4 = pool_of(Venue.BALANCER_V2), pool_of(Venue.UNISWAP_V4)
SWAP, CHANGED, FEE = EVENTS[Venue.BALANCER_V2]
MODIFY, PROTOCOL_FEE = EVENTS[Venue.UNISWAP_V4][2:4]


@pytest.mark.parametrize("place", [3, 4])
def test_a_swap_s_amount_is_less_than_2_to_the_255(place: int) -> None:
    values: list[Any] = [VAULT.body, ACCOUNT, ACCOUNT, 1, 1]
    values[place] = (1 << 255) - 1
    event = decode_event(as_log(SWAP, values, VAULT), VAULT)
    assert isinstance(event, PoolBalanceChange)
    assert abs(event.changes[place - 3].amount) == (1 << 255) - 1
    values[place] = 1 << 255
    with pytest.raises(MalformedEventError, match="fit no balance"):
        decode_event(as_log(SWAP, values, VAULT), VAULT)


@pytest.mark.parametrize(
    ("deltas", "kind"),
    [
        ([0, 0], BalanceChange.ADD),
        ([5, 0], BalanceChange.ADD),
        ([5, -1], BalanceChange.REMOVE),
        ([-(1 << 255), (1 << 255) - 1], BalanceChange.REMOVE),
    ],
)
def test_a_balance_that_sinks_makes_an_exit(deltas: list[int], kind: BalanceChange) -> None:
    values = [VAULT.body, ACCOUNT, [ACCOUNT, ACCOUNT], deltas, [7, (1 << 256) - 1]]
    event = decode_event(as_log(CHANGED, values, VAULT), VAULT)
    assert isinstance(event, PoolBalanceChange)
    assert event.kind is kind
    assert [change.amount for change in event.changes] == deltas
    assert [change.fee for change in event.changes] == [7, (1 << 256) - 1]


def test_arrays_that_do_not_pair_are_refused() -> None:
    for tokens, deltas, fees in ((1, 2, 2), (2, 1, 2), (2, 2, 1)):
        values = [VAULT.body, ACCOUNT, [ACCOUNT] * tokens, [1] * deltas, [1] * fees]
        with pytest.raises(MalformedEventError, match="do not pair"):
            decode_event(as_log(CHANGED, values, VAULT), VAULT)


def test_an_address_has_twenty_bytes() -> None:
    sound = as_log(CHANGED, [VAULT.body, ACCOUNT, [ACCOUNT], [1], [1]], VAULT)
    at = 96 + 32
    long = sound.payload[: at + 11] + b"\x01" + sound.payload[at + 12 :]
    for log in (
        EventLog(sound.address, sound.topics, long, **BLOCK),
        EventLog(sound.address, (*sound.topics[:2], b"\x01" * 32), sound.payload, **BLOCK),
    ):
        with pytest.raises(MalformedEventError, match="address of more than 20"):
            decode_event(log, VAULT)
    burn = as_log("Burn(address*,uint256,uint256,address*)", [ACCOUNT, 1, 1, ACCOUNT],
                  pool_of(Venue.UNISWAP_V2))  # fmt: skip
    for topic in (1, 2):
        topics = list(burn.topics)
        topics[topic] = bytes(11) + b"\x01" + topics[topic][12:]
        log = EventLog(burn.address, tuple(topics), burn.payload, **BLOCK)
        with pytest.raises(MalformedEventError, match="is no address"):
            decode_event(log, pool_of(Venue.UNISWAP_V2))


def test_a_swap_fee_fits_64_bits() -> None:
    fee = decode_event(as_log(FEE, [(1 << 64) - 1], VAULT), VAULT)
    assert isinstance(fee, PoolFee)
    assert fee.fee == (1 << 64) - 1
    with pytest.raises(MalformedEventError, match="18446744073709551616"):
        decode_event(as_log(FEE, [1 << 64], VAULT), VAULT)


@pytest.mark.parametrize("sign", [1, -1])
def test_liquidity_fits_128_bits(sign: int) -> None:
    most = (1 << 128) - 1
    values: list[Any] = [V4.body, ACCOUNT, -60, 60, sign * most, bytes(32)]
    event = decode_event(as_log(MODIFY, values, V4), V4)
    assert isinstance(event, PoolMint if sign > 0 else PoolBurn)
    assert event.liquidity == most
    values[4] = sign * (most + 1)
    with pytest.raises(MalformedEventError, match="more than a pool can hold"):
        decode_event(as_log(MODIFY, values, V4), V4)


def test_no_change_of_liquidity_is_a_burn_of_nothing() -> None:
    event = decode_event(as_log(MODIFY, [V4.body, ACCOUNT, -60, 60, 0, bytes(32)], V4), V4)
    assert isinstance(event, PoolBurn)
    assert event.liquidity == 0


def test_uniswap_v4_packs_two_protocol_fees_of_twelve_bits() -> None:
    event = decode_event(as_log(PROTOCOL_FEE, [V4.body, 0xABC123], V4), V4)
    assert isinstance(event, PoolFee)
    assert (event.protocol_fee0, event.protocol_fee1) == (0x123, 0xABC)


@pytest.mark.parametrize("bits", [112, 128, 160])
def test_each_width_is_kept_to(bits: int) -> None:
    event, at = {
        112: ("Sync(uint112,uint112)", 0),
        160: ("Initialize(uint160,int24)", 0),
        128: ("CollectProtocol(address*,address*,uint128,uint128)", 0),
    }[bits]
    venue = Venue.UNISWAP_V2 if bits == 112 else Venue.UNISWAP_V3
    values = [1 if "int" in kind else ACCOUNT for kind in event.split("(")[1].split(",")]
    sound = as_log(event, values, pool_of(venue))
    for word, is_legal in ((1 << bits) - 1, True), (1 << bits, False):
        payload = encode(["uint256"], [word]) + sound.payload[at + 32 :]
        log = EventLog(sound.address, sound.topics, payload, **BLOCK)
        if is_legal:
            decode_event(log, pool_of(venue))
        else:
            with pytest.raises(MalformedEventError, match=f"no uint{bits}"):
                decode_event(log, pool_of(venue))


@pytest.mark.parametrize(
    ("tick", "is_legal"),
    [((1 << 23) - 1, True), (-(1 << 23), True), (1 << 23, False), (-(1 << 23) - 1, False)],
)
def test_a_tick_has_24_bits_with_its_sign(tick: int, is_legal: bool) -> None:
    pool = pool_of(Venue.UNISWAP_V3)
    topic = bytes(keccak(text="Initialize(uint160,int24)"))
    log = EventLog(pool.body, (topic,), encode(["uint256", "int256"], [1, tick]), **BLOCK)
    if is_legal:
        assert decode_event(log, pool).tick == tick  # type: ignore[attr-defined]
    else:
        with pytest.raises(MalformedEventError, match="no int24"):
            decode_event(log, pool)


def test_an_array_that_points_outside_is_refused() -> None:
    sound = as_log(CHANGED, [VAULT.body, ACCOUNT, [ACCOUNT], [1], [1]], VAULT)
    size = len(sound.payload)
    for place, word in ((0, size - 31), (0, 1 << 255), (96, 6), (96, 1 << 250)):
        payload = sound.payload[:place] + word.to_bytes(32, "big") + sound.payload[place + 32 :]
        with pytest.raises(MalformedEventError, match="array 0"):
            decode_event(EventLog(sound.address, sound.topics, payload, **BLOCK), VAULT)


def test_what_no_log_carries_is_not_encoded() -> None:
    fee = decode_event(as_log(FEE, [3], VAULT), VAULT)
    other = {name: getattr(fee, name) for name in fee.__struct_fields__}
    with pytest.raises(UnknownEventError, match="no log of uniswap_v2 carries a PoolFee"):
        encode_event(PoolFee(**{**other, "pool": pool_of(Venue.UNISWAP_V2)}))
    with pytest.raises(UnknownEventError, match="carries a str"):
        encode_event("text")


def test_the_counter_counts_each_error_by_its_name() -> None:
    pool = pool_of(Venue.UNISWAP_V2)
    sound = as_log("Sync(uint112,uint112)", [1, 2], pool)
    short = EventLog(sound.address, sound.topics, b"", **BLOCK)
    counter = EventCounter()
    logs = [(sound, pool), (short, pool), (EventLog(pool.body, (), b""), pool), (sound, pool)]
    assert len(list(counter.decode_all(logs))) == 2
    assert counter.decoded == 2
    assert counter.errors == {"MalformedEventError": 1, "UnknownEventError": 1}


def test_hashes_of_a_node_s_log_have_32_bytes_each() -> None:
    text: dict[str, Any] = {
        "address": "0x" + "ab" * 20, "topics": ["0x" + "01" * 32], "data": "0x",
        "blockNumber": "0x10", "blockHash": "0x" + "11" * 32,
        "transactionHash": "0x" + "22" * 32, "logIndex": "0x0a",
    }  # fmt: skip
    log = parse_log(text)
    assert (log.block_number, log.log_index, log.removed) == (16, 10, False)
    assert parse_log({**text, "topics": []}).topics == ()
    for name, wrong in (
        ("address", "0x" + "ab" * 32), ("topics", ["0x" + "01" * 31]),
        ("blockHash", "0x" + "11" * 31), ("transactionHash", "0x" + "11" * 33),
    ):  # fmt: skip
        with pytest.raises(MalformedEventError, match="an address of 20 bytes"):
            parse_log({**text, name: wrong})
