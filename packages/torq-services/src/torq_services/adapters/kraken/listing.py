"""Kraken's assets and pairs, which both versions of its WebSocket API share.

Kraken has three names for a currency: the asset's code (XXBT), its altname (XBT), and the one
that WebSocket version 2 and everybody else use (BTC). The first two come from the list of assets;
the third differs from the altname for two of them only.
Source: Kraken's REST reference, "Get Asset Info" and "Get Tradable Asset Pairs".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from torq_services.adapters.exchange.instruments import InstrumentStatus, Listed, increment, pips
from torq_types import UNKNOWN_FEE, Decimal64

__all__ = ["ASSETS", "PAIRS", "STATUS", "read_pairs"]

ASSETS = "/0/public/Assets"
PAIRS = "/0/public/AssetPairs"

_CANONICAL = {"XBT": "BTC", "XDG": "DOGE"}
STATUS = {
    "online": InstrumentStatus.TRADING,
    "cancel_only": InstrumentStatus.HALTED,
    "post_only": InstrumentStatus.HALTED,
    "limit_only": InstrumentStatus.TRADING,
    "reduce_only": InstrumentStatus.HALTED,
    "delisted": InstrumentStatus.DELISTED,
}


class _Asset(msgspec.Struct):
    altname: str


class _Assets(msgspec.Struct):
    result: dict[str, _Asset] = {}
    error: list[str] = []


class _Pair(msgspec.Struct):
    altname: str
    base: str
    quote: str
    pair_decimals: int
    lot_decimals: int
    wsname: str = ""
    ordermin: str = "0"
    tick_size: str = ""
    status: str = "online"
    fees: list[tuple[msgspec.Raw, msgspec.Raw]] = []
    fees_maker: list[tuple[msgspec.Raw, msgspec.Raw]] = []


class _Pairs(msgspec.Struct):
    result: dict[str, _Pair] = {}
    error: list[str] = []


_assets = msgspec.json.Decoder(_Assets)
_pairs = msgspec.json.Decoder(_Pairs)


def read_pairs(bodies: Mapping[str, bytes], *, version: int) -> Iterator[Listed]:
    """Every pair under the symbol that WebSocket ``version`` 1 (XBT/USD) or 2 (BTC/USD) uses.

    Raises ValueError for an answer that is an error.
    """
    assets = _assets.decode(bodies[ASSETS])
    pairs = _pairs.decode(bodies[PAIRS])
    for problem in (*assets.error, *pairs.error):
        raise ValueError(f"Kraken says: {problem}")
    for key, pair in pairs.result.items():
        if not pair.wsname:
            continue  # not to be had over WebSockets
        base, quote = (
            _CANONICAL.get(asset.altname, asset.altname)
            for asset in (assets.result[pair.base], assets.result[pair.quote])
        )
        current = f"{base}/{quote}"
        symbol, other = (pair.wsname, current) if version == 1 else (current, pair.wsname)
        tick = increment(pair.tick_size) if pair.tick_size else Decimal64(1, -pair.pair_decimals)
        yield Listed(
            symbol=symbol,
            base=base,
            quote=quote,
            price_increment=tick,
            quantity_increment=Decimal64(1, -pair.lot_decimals),
            minimum_quantity=increment(pair.ordermin),
            status=STATUS.get(pair.status, InstrumentStatus.HALTED),
            other_names=(pair.altname, other, key),
            maker_fee_pips=_first_tier(pair.fees_maker),
            taker_fee_pips=_first_tier(pair.fees),
        )


def _first_tier(fees: list[tuple[msgspec.Raw, msgspec.Raw]]) -> int:
    """The fee of those who have traded nothing yet."""
    return pips(bytes(fees[0][1]).decode()) if fees else UNKNOWN_FEE
