from __future__ import annotations

from typing import Any

import pytest
from dex_events import CASES, EVENTS, V2, as_log, pool_of, types_of
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from torq_codec import MessageBuilder, parse_message
from torq_codec.dex import (
    VENUES,
    EventCounter,
    EventLog,
    decode_event,
    encode_event,
    parse_log,
    topics_of,
)
from torq_types import (
    Domain,
    EventError,
    InstrumentId,
    MalformedEventError,
    PoolBalanceChange,
    PoolBurn,
    PoolSwap,
    UnknownEventError,
    Venue,
)


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Every legal value of an ABI type, bounded where no balance could be larger."""
    if kind.endswith("]"):
        base, _, length = kind[:-1].partition("[")
        size = int(length) if length else 3
        return st.lists(values_of(base), min_size=size, max_size=size)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32)
    bits = int(kind.lstrip("uint"))
    if kind.startswith("uint"):
        return st.integers(0, (1 << min(bits, 255)) - 1)
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


def drawn(data: st.DataObject, venue: Venue, event: str) -> tuple[EventLog, InstrumentId]:
    """A legal log of the event."""
    pool = pool_of(venue)
    values = [data.draw(values_of(kind)) for kind, _ in types_of(event)]
    if "bytes32*" in event:
        values[0] = pool.body
    if event.startswith("ModifyLiquidity"):
        values[4] = data.draw(st.integers(1 - (1 << 128), (1 << 128) - 1))
    if event.startswith("SwapFee"):
        values[0] = data.draw(st.integers(0, 10**18))
    if venue is Venue.CURVE and "int128" in event:
        values = [
            data.draw(st.integers(0, 7)) if kind == "int128" else value
            for (kind, _), value in zip(types_of(event), values, strict=True)
        ]
    if event == "RemoveLiquidityOne(address*,uint256,uint256,uint256)":
        values[3] = max(1, values[3])
    return as_log(event, values, pool), pool


def test_every_event_has_its_topic_and_no_other_is_claimed() -> None:
    for venue, events in EVENTS.items():
        expected = {bytes(keccak(text=event.replace("*", ""))) for event in events}
        if venue is Venue.CURVE:
            expected |= {
                bytes(keccak(text=text))
                for text in (
                    "RampA(uint256,uint256,uint256,uint256)",
                    "StopRampA(uint256,uint256)",
                    "NewFee(uint256,uint256)",
                )
            }
        assert set(topics_of(venue)) == expected
    assert {venue for venue in Venue if venue.value >= 100} == set(VENUES)


@pytest.mark.parametrize(("venue", "event"), CASES)
@settings(max_examples=30)
@given(data=st.data())
def test_log_to_tlv_to_message_to_tlv_to_log_is_the_identity(
    venue: Venue, event: str, data: st.DataObject
) -> None:
    log, pool = drawn(data, venue, event)
    tlv = decode_event(log, pool)
    message = (
        MessageBuilder(Domain.MARKET_DATA, source=7).add(tlv).build(sequence=1, timestamp_ns=2)
    )
    (carried,) = parse_message(message).tlvs
    assert carried == tlv
    back = encode_event(carried, log.address, dynamic_arrays="[]" in event)
    assert back == log
    assert (tlv.block_number, tlv.log_index) == (50_000_000, 7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("venue", "event"), CASES)
@settings(max_examples=30)
@given(data=st.data())
def test_truncated_or_longer_logs_are_named_errors(
    venue: Venue, event: str, data: st.DataObject
) -> None:
    log, pool = drawn(data, venue, event)
    if log.payload:
        cut = log.payload[: data.draw(st.integers(0, len(log.payload) - 1))]
        with pytest.raises(MalformedEventError):
            decode_event(_with(log, payload=cut), pool)
    with pytest.raises(MalformedEventError):
        decode_event(_with(log, payload=log.payload + bytes(32)), pool)
    with pytest.raises(EventError):
        decode_event(_with(log, topics=(*log.topics, bytes(32))), pool)


@given(st.data())
def test_any_bytes_decode_or_raise_a_named_error(data: st.DataObject) -> None:
    venue, event = data.draw(st.sampled_from(CASES))
    topic = bytes(keccak(text=event.replace("*", "")))
    topics = [topic, *data.draw(st.lists(st.binary(min_size=32, max_size=32), max_size=3))]
    log = EventLog(bytes(20), tuple(topics), data.draw(st.binary(max_size=400)))
    counter = EventCounter()
    decoded = list(counter.decode_all([(log, pool_of(venue))]))
    assert len(decoded) + counter.errors.total() == 1


def test_a_number_out_of_range_is_named() -> None:
    pool = pool_of(Venue.UNISWAP_V2)
    log = as_log("Sync(uint112,uint112)", [1, 2], pool)
    with pytest.raises(MalformedEventError, match=r"reserve1.*uint112"):
        decode_event(_with(log, payload=log.payload[:32] + b"\xff" * 32), pool)


def test_the_pool_s_side_of_a_swap() -> None:
    v2 = pool_of(Venue.UNISWAP_V2)
    account = "0x" + "aa" * 20
    swap = decode_event(as_log(V2[1], [account, 100, 0, 0, 90, account], v2), v2)
    assert isinstance(swap, PoolSwap)
    assert (swap.amount0, swap.amount1, swap.amount1_out) == (100, -90, 90)
    v4 = pool_of(Venue.UNISWAP_V4)
    values = [v4.body, account, -100, 90, 1 << 96, 5, -3, 3000]
    swap = decode_event(as_log(EVENTS[Venue.UNISWAP_V4][1], values, v4), v4)
    assert isinstance(swap, PoolSwap)
    assert (swap.amount0, swap.amount1, swap.tick, swap.fee_pips) == (100, -90, -3, 3000)
    values = [v4.body, account, -60, 60, -12345, bytes(32)]
    burn = decode_event(as_log(EVENTS[Venue.UNISWAP_V4][2], values, v4), v4)
    assert isinstance(burn, PoolBurn)
    assert burn.liquidity == 12345


def test_what_a_curve_removal_takes_is_negative() -> None:
    pool = pool_of(Venue.CURVE)
    values = ["0x" + "aa" * 20, [5, 6], [0, 0], 100]
    event = decode_event(
        as_log("RemoveLiquidity(address*,uint256[2],uint256[2],uint256)", values, pool), pool
    )
    assert isinstance(event, PoolBalanceChange)
    assert [change.amount for change in event.changes] == [-5, -6]
    assert event.share_supply == 100


def test_unknown_and_unmodelled_events_say_so() -> None:
    pool = pool_of(Venue.CURVE)
    with pytest.raises(UnknownEventError, match="no event of curve"):
        decode_event(EventLog(bytes(20), (b"\x01" * 32,), b""), pool)
    ramp = bytes(keccak(text="RampA(uint256,uint256,uint256,uint256)"))
    with pytest.raises(UnknownEventError, match="RampA is not modelled"):
        decode_event(EventLog(bytes(20), (ramp,), bytes(128)), pool)
    with pytest.raises(UnknownEventError, match="without topics"):
        decode_event(EventLog(bytes(20), (), b""), pool)


def test_a_node_s_json() -> None:
    text: dict[str, Any] = {
        "address": "0x" + "ab" * 20, "topics": ["0x" + "01" * 32], "data": "0x00ff",
        "blockNumber": "0x2faf080", "blockHash": "0x" + "11" * 32,
        "transactionHash": "0x" + "22" * 32, "logIndex": "0x7", "removed": True,
    }  # fmt: skip
    log = parse_log(text)
    assert (log.block_number, log.log_index, log.payload, log.removed) == (
        50_000_000, 7, b"\x00\xff", True,
    )  # fmt: skip
    for name, wrong in (
        ("data", "00ff"), ("topics", None), ("blockNumber", None), ("blockHash", "0x11"),
        ("logIndex", "seven"), ("address", "0xzz"),
    ):  # fmt: skip
        with pytest.raises(MalformedEventError):
            parse_log({**text, name: wrong})
    del text["transactionHash"]
    with pytest.raises(MalformedEventError, match="transactionHash"):
        parse_log(text)


def _with(log: EventLog, **changes: Any) -> EventLog:
    values = {name: getattr(log, name) for name in log.__struct_fields__}
    return EventLog(**{**values, **changes})
