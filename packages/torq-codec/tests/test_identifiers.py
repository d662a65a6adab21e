from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ADDRESSES, instruments

from torq_codec import (
    checksum_address,
    format_instrument,
    pack_instrument,
    parse_instrument,
    unpack_instrument,
)
from torq_types import IdentifierError, InstrumentId, Venue


@given(instruments())
def test_bytes_and_text_are_bijective(instrument: InstrumentId) -> None:
    packed = pack_instrument(instrument)
    assert len(packed) == 40
    assert unpack_instrument(packed) == instrument
    text = format_instrument(instrument)
    assert parse_instrument(text) == instrument
    assert format_instrument(parse_instrument(text)) == text


@given(st.binary(min_size=40, max_size=40))
def test_bytes_are_refused_or_come_back_the_same(packed: bytes) -> None:
    try:
        instrument = unpack_instrument(packed)
    except IdentifierError:
        return
    assert pack_instrument(instrument) == packed


@pytest.mark.parametrize(
    "address",
    [
        # The examples of EIP-55.
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_addresses_print_with_their_checksum_and_are_read_without(address: str) -> None:
    assert checksum_address(bytes.fromhex(address[2:])) == address
    for spelling in (address, address.lower(), "0x" + address[2:].upper()):
        token = parse_instrument(f"token@137:{spelling}")
        assert format_instrument(token) == f"token@137:{address}"


@given(ADDRESSES)
def test_a_wrong_checksum_is_refused(address: bytes) -> None:
    text = checksum_address(address)
    wrong = "0x" + text[2:].swapcase()
    if wrong[2:].lower() != wrong[2:] and wrong[2:].upper() != wrong[2:]:
        with pytest.raises(IdentifierError, match="checksum"):
            parse_instrument(f"uniswap_v3@137:{wrong}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "coinbase",
        "coinbase:",
        "nowhere:BTC-USD",
        "coinbase:BTC USD",
        "coinbase:" + "X" * 33,
        "coinbase@1:BTC-USD",
        "uniswap_v3:BTC",
        "uniswap_v3@0:0x" + "11" * 20,
        "uniswap_v3@0137:0x" + "11" * 20,
        "uniswap_v3@137:0x" + "11" * 19,
        "uniswap_v3@4294967296:0x" + "11" * 20,
        "uniswap_v4@1:0x" + "11" * 20,
        "token@137:1111",
        "token:ETH",
        "none:BTC",
    ],
)
def test_illegal_text_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError):
        parse_instrument(text)


def test_filler_and_unknown_numbers_are_refused() -> None:
    packed = bytearray(pack_instrument(InstrumentId.pair(Venue.COINBASE, "BTC-USD")))
    for at in (0, 1, 2, 4, 39):
        wrong = bytearray(packed)
        wrong[at] = 0xEE
        with pytest.raises(IdentifierError):
            unpack_instrument(bytes(wrong))
    with pytest.raises(IdentifierError):
        unpack_instrument(bytes(packed[:39]))
