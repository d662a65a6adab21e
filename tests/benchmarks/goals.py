"""What the benchmarks are to reach: a floor that must hold, and a goal."""

from __future__ import annotations

import msgspec

__all__ = ["GOALS", "Goal"]


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the summary. Figures are messages a second, or seconds where ``is_delay``."""

    name: str
    bench: str
    floor: float = 0
    aim: float = 0
    is_delay: bool = False
    rival: str = ""
    """The benchmark of the rival that the ratio is about; others are listed beside it."""
    ratio_floor: float = 0
    """At least so many times the rival's rate; of a delay or a cost, at most so much of it."""
    ratio_aim: float = 0
    others: tuple[str, ...] = ()
    subject: str = ""
    """What ``torq bench SUBJECT`` picks it by."""


M = 1e6
GOALS = (
    Goal(
        name="build a Trade, compiled kernel", bench="build, compiled", floor=5 * M,
        rival="build, msgspec", ratio_floor=1.0, ratio_aim=1.5,
        others=("build, protobuf", "build, struct and zlib"),
    ),
    Goal(
        name="parse and verify a Trade, compiled kernel", bench="parse, compiled", floor=5 * M,
        rival="parse, msgspec", ratio_floor=1.0, ratio_aim=1.5,
        others=("parse, protobuf", "parse, struct and zlib"),
    ),
    Goal(
        name="build a Trade, pure kernel", bench="build, pure", floor=1.09 * M,
        rival="build, struct and zlib",
    ),
    Goal(
        name="parse and verify a Trade, pure kernel", bench="parse, pure", floor=1.64 * M,
        rival="parse, struct and zlib",
    ),
    Goal(
        name="scan a buffer", bench="scan", floor=25 * M,
        rival="scan, zlib.crc32 of the same bytes", others=("scan, copying the same bytes",),
    ),
    Goal(name="filter to 1 of 1,000 instruments", bench="filter 1 of 1000", floor=10 * M),
    Goal(
        name="relay, 1 to 1", bench="relay 1 to 1, torq", floor=7 * M,
        rival="relay 1 to 1, zeromq", ratio_floor=7, ratio_aim=12,
        others=("relay 1 to 1, nats",),
    ),
    Goal(
        name="relay, 1 to 1, beside copying alone", bench="relay 1 to 1, torq",
        rival="relay 1 to 1, raw copy", ratio_floor=0.6,
    ),
    Goal(
        name="relay, 1 to 4, one filtered (each)", bench="relay 1 to 4, torq", floor=4 * M,
        rival="relay 1 to 4, zeromq", ratio_floor=10, ratio_aim=20,
        others=("relay 1 to 4, nats", "relay 1 to 4, raw copy"),
    ),
    Goal(
        name="the relay's own time per message, 1 to 4", bench="relay's own cost 1 to 4, torq",
        is_delay=True, rival="relay's own cost 1 to 1, torq", ratio_floor=1.1,
    ),
    Goal(
        name="one message, p50, busy_poll", bench="latency p50, torq, busy_poll", is_delay=True,
        floor=10e-6, aim=5e-6, rival="latency p50, zeromq, sleeping",
    ),
    Goal(
        name="one message, p99, busy_poll", bench="latency p99, torq, busy_poll", is_delay=True,
        floor=20e-6, aim=8e-6, rival="latency p99, zeromq, sleeping",
    ),
    Goal(
        name="one message, p50, both sides sleep", bench="latency p50, torq, sleeping",
        is_delay=True, rival="latency p50, zeromq, sleeping", ratio_floor=0.75, ratio_aim=0.5,
    ),
    Goal(
        name="one message, p99, both sides sleep", bench="latency p99, torq, sleeping",
        is_delay=True, rival="latency p99, zeromq, sleeping", ratio_floor=0.75, ratio_aim=0.5,
    ),
    Goal(
        name="many small sends", bench="small sends, torq", floor=1 * M,
        rival="small sends, zeromq",
    ),
    Goal(name="a V2 swap, with the pool after it", bench="quote V2, torq"),
    Goal(
        name="a V2 swap's amount alone", bench="amount V2, torq", rival="amount V2, degenbot",
    ),
    Goal(
        name="a V3 swap over 1 tick", bench="quote V3 over 1, torq",
        rival="quote V3 over 1, degenbot",
    ),
    Goal(
        name="a V3 swap over 20 ticks", bench="quote V3 over 20, torq",
        rival="quote V3 over 20, degenbot",
    ),
    Goal(
        name="decode a V2 Swap log", bench="decode V2, torq", rival="decode V2, web3",
        ratio_floor=10, others=("decode V2, torq from JSON", "decode V2, eth-abi"),
    ),
    Goal(
        name="decode a V3 Swap log", bench="decode V3, torq", rival="decode V3, web3",
        ratio_floor=10, others=("decode V3, torq from JSON", "decode V3, eth-abi"),
    ),
    Goal(
        name="all cycles through a changed pool, 1,000 pools", is_delay=True,
        bench="cycles of 1000 pools, torq p50", floor=1e-3,
        others=("cycles of 1000 pools, torq p90", "cycles of 1000 pools, torq between hubs p50"),
    ),
    Goal(
        name="all cycles through a changed pool, 10,000 pools", is_delay=True,
        bench="cycles of 10000 pools, torq p50", floor=1e-3,
        others=("cycles of 10000 pools, torq p90", "cycles of 10000 pools, torq between hubs p50"),
    ),
    *(
        Goal(
            name=f"{name}: frame to message, the book kept and checked",
            bench=f"adapter {name}, torq", rival=f"adapter {name}, {rival}",
            ratio_floor=3 * (rival == "cryptofeed"), others=others, subject="adapters",
        )
        for name, rival, others in (
            ("coinbase", "cryptofeed", ("adapter coinbase, ccxt",)),
            ("gemini", "cryptofeed", ("adapter gemini, ccxt",)),
            ("kraken", "cryptofeed", ()),
            ("kraken v2", "ccxt", ()),
            ("binance", "ccxt", ()),
        )
    ),
    *(
        Goal(
            name=f"{name}: from its socket to the relay's acknowledgement",
            bench=f"whole way {name}, torq", subject="adapters",
        )
        for name in ("coinbase", "gemini", "kraken", "kraken v2", "binance")
    ),
    Goal(
        name="kraken: book updates with checksums", bench="checked updates kraken, torq",
        floor=0.1 * M, rival="checked updates kraken, cryptofeed", ratio_floor=3,
        others=("checked updates kraken v2, torq",), subject="adapters",
    ),
    Goal(
        name="messages from a WebSocket, picows", bench="websocket client, picows",
        rival="websocket client, websockets", others=("websocket client, aiohttp",),
        subject="adapters",
    ),
)  # fmt: skip
