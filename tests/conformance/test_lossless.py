"""Text, TLV, bytes, TLV, text: the same characters, for everything that was ever recorded."""

from __future__ import annotations

from collections import Counter

from recordings import price_and_quantity_texts
from samples import BTC_USD

from torq_codec import MessageBuilder, parse_message
from torq_types import Decimal64, Domain, L2Delta, Level, Side, Trade


def test_every_recorded_number_comes_back_character_by_character() -> None:
    seen: Counter[str] = Counter()
    texts = list(price_and_quantity_texts())
    for at in range(0, len(texts), 2000):
        chunk = texts[at : at + 2000]
        levels = tuple(Level(Decimal64.parse(text), Decimal64.parse(text)) for _, text in chunk)
        builder = MessageBuilder(Domain.MARKET_DATA, 1)
        raw = builder.add(L2Delta(BTC_USD, 1, 0, 0, levels, ())).build(sequence=1, timestamp_ns=0)
        for (session, text), level in zip(chunk, parse_message(raw)[L2Delta].bids, strict=True):
            assert str(level.price) == text, session
            assert str(level.quantity) == text, session
            seen[session] += 1
    assert set(seen) == {"coinbase", "gemini", "kraken", "binance"}
    assert all(count > 1000 for count in seen.values()), seen


def test_a_trade_keeps_its_digits_through_a_whole_message() -> None:
    texts = sorted({text for session, text in price_and_quantity_texts() if session != "kraken"})
    for text in texts[:: max(1, len(texts) // 500)]:
        trade = Trade(BTC_USD, Decimal64.parse(text), Decimal64.parse(text), 0, Side.BUY, text)
        raw = MessageBuilder(Domain.MARKET_DATA, 1).add(trade).build(sequence=1, timestamp_ns=0)
        found = parse_message(raw)[Trade]
        assert (str(found.price), str(found.quantity), found.trade_id) == (text, text, text)
