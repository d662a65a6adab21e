"""Values that several tests use."""

from __future__ import annotations

from typing import Any

from torq_types import Decimal64, InstrumentId, Side, Trade, Venue

BTC_USD = InstrumentId.pair(Venue.COINBASE, "BTC-USD")
BTCUSD = InstrumentId.pair(Venue.GEMINI, "BTCUSD")


def trade(**changes: Any) -> Trade:
    """A Coinbase trade, with ``changes``."""
    values: dict[str, Any] = {
        "instrument": BTC_USD,
        "price": Decimal64.parse("65083.67"),
        "quantity": Decimal64.parse("0.00218600"),
        "exchange_timestamp_ns": 1_786_309_548_228_568_804,
        "side": Side.SELL,
        "trade_id": "1068572090",
    }
    return Trade(**{**values, **changes})
