"""Demonstrations: a made-up opportunity, labelled as such, and a relay that shows what it gets."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from torq_relays import Publisher, Relay, RingLog, Subscriber, prepare, socket_path
from torq_services.processes.sources import DEMO
from torq_types import (
    ArbitrageSignal,
    CloseReason,
    Decimal64,
    Domain,
    Economics,
    InstrumentId,
    SignalIdentity,
    SignalStatus,
    StateReference,
    Venue,
)

__all__ = ["mock_relay", "send_demo_arbitrage"]


def send_demo_arbitrage(runtime_dir: Path | None = None, *, timeout: float = 5.0) -> int:
    """Publish one synthetic opportunity on the signal relay; returns its sequence.

    It is marked synthetic: the console labels it, and no executor acts on it. Raises
    :class:`TransportError` when no relay answers.
    """
    now_ns = time.time_ns()
    arbitrage = ArbitrageSignal(
        buy_instrument=InstrumentId.pair(Venue.COINBASE, "DEMO-USD"),
        sell_instrument=InstrumentId.pair(Venue.GEMINI, "DEMOUSD"),
        opportunity_id=now_ns,
        opened_ns=now_ns,
        expires_ns=now_ns + 2_000_000_000,
        duration_ns=0,
        size=Decimal64.parse("1.50000000"),
        buy_price=Decimal64.parse("100.00"),
        sell_price=Decimal64.parse("101.00"),
        status=SignalStatus.OPENED,
        close_reason=CloseReason.NONE,
        synthetic=1,
    )
    # 1.5 bought for 150.00 and sold for 151.50; fees of 5 and 3 basis points.
    economics = Economics(
        gross=1_500_000, fees=120_450, gas=0, net=1_379_550, cost=150_000_000, exponent=-6,
        currency="USD",
    )  # fmt: skip
    with Publisher.connect(
        Domain.SIGNAL, source=DEMO, runtime_dir=runtime_dir, name="demo", timeout=timeout
    ) as publisher:
        return publisher.send(
            arbitrage,
            economics,
            StateReference(0, now_ns, DEMO, Domain.SIGNAL),
            SignalIdentity(DEMO, "demo", "1"),
        )


def mock_relay(
    domain: Domain, runtime_dir: Path, *, limit: int = 0, output: TextIO | None = None
) -> int:
    """Run a relay with a small ring, and print each message that it gets, until interrupted.

    Ends after ``limit`` messages when it is not 0; returns how many there were.
    """
    out = output or sys.stdout
    prepare(runtime_dir)
    relay = Relay(domain, RingLog(1 << 20), socket_path(domain, runtime_dir))
    serving = threading.Thread(target=relay.run, name="mock-relay")
    serving.start()
    out.write(f"listening on {relay.path}; Ctrl-C ends it\n")
    out.flush()
    count = 0
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Subscriber.connect(
            domain, start="earliest", runtime_dir=runtime_dir, name="mock-relay"
        ) as reader:
            for message in reader:
                out.write(f"{message!r}\n")
                out.writelines(f"    {tlv}\n" for tlv in message.tlvs)
                out.flush()
                count += 1
                if count == limit:
                    break
    except KeyboardInterrupt:
        out.write("interrupted\n")
    finally:
        relay.stop()
        serving.join()
    return count
