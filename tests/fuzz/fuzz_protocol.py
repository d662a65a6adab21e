#!/usr/bin/env python3
"""A coverage-guided fuzzer over framing, parser, every TLV type and ServiceHello.

``scripts/fuzz [SECONDS]`` runs it; what it finds worth keeping joins ``tests/fuzz/corpus``. Both
kernels get the same bytes and must agree, and nothing but a ProtocolError may come out.

The first byte of an input chooses what the rest is: a raw stream in chunks, the payload of a
message whose header and checksum are right, the value of one TLV, or a ServiceHello.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import atheris

os.environ["TORQ_PURE_PYTHON"] = "1"
with atheris.instrument_imports(include=["torq_codec", "torq_types", "torq_relays"]):
    from torq_codec import Fault, Framer, Run, iter_messages, layout_of
    from torq_codec.kernel import _pure
    from torq_relays.wire.filters import filter_of
    from torq_types import REGISTRY, ProtocolError, ServiceHello, TorqError

KERNELS: list[Any] = [_pure]
if importlib.util.find_spec("torq_codec.kernel._native"):
    KERNELS.append(importlib.import_module("torq_codec.kernel._native"))
TYPES = sorted(REGISTRY)
MAX_PAYLOAD = 1 << 16


def stream(rest: bytes) -> None:
    """Any bytes in any chunks: all are accounted for, and both kernels scan alike."""
    step = rest[0] % 64 + 1 if rest else 1
    framer = Framer(0, MAX_PAYLOAD)
    passed = 0
    for at in range(0, len(rest), step):
        for frame in framer.feed(rest[at : at + step]):
            if isinstance(frame, Run):
                passed += len(frame.messages)
                read_all(bytes(frame.messages))
            elif not isinstance(frame, Fault):
                raise AssertionError("no tracker, and yet something out of order")
    if passed + framer.bytes_skipped + framer.pending != len(rest):
        raise AssertionError("bytes were lost, or counted twice")
    agree([kernel.scan(rest, 0, len(rest), 0, MAX_PAYLOAD) for kernel in KERNELS])


def payload(rest: bytes) -> None:
    """A sound header around any payload."""
    domain = rest[0] % 3 + 1 if rest else 1
    body = rest[1 : 1 + (len(rest) - 1) // 8 * 8] if rest else b""
    message = _pure.build(domain, 7, 1, 1, body)
    scans = [kernel.scan(message, 0, len(message), 0, MAX_PAYLOAD) for kernel in KERNELS]
    agree(scans)
    if scans[0][1]:
        read_all(message)


def value(rest: bytes) -> None:
    """The value of one TLV: both kernels decode the same, and encode it back the same."""
    if len(rest) < 2:
        return
    cls = REGISTRY[TYPES[rest[0] % len(TYPES)]]
    results: list[Any] = []
    for kernel in KERNELS:
        plan = kernel.Plan(layout_of(cls))
        try:
            tlv = plan.decode(rest, 2, len(rest) - 2, rest[1] % 3 + 1)
        except ProtocolError as error:
            results.append(type(error).__name__)
        else:
            results.append((tlv, plan.encode(tlv)))
    agree(results)


def hello(rest: bytes) -> None:
    """What a relay does with a hello before it trusts it."""
    plan = _pure.Plan(layout_of(ServiceHello))
    try:
        found: Any = plan.decode(rest, 0, len(rest), 1)
    except ProtocolError:
        return
    filter_of(
        (entry.tlv_type for entry in found.types),
        (entry.instrument for entry in found.instruments),
    )


def read_all(messages: bytes) -> None:
    """Decode every TLV with both kernels."""
    results = []
    for kernel in KERNELS:
        decoded: list[object] = []
        for message in kernel.walk_messages(messages):
            try:
                decoded.append((message.header, message.types, message.tlvs))
            except ProtocolError as error:
                decoded.append((message.header, message.types, type(error).__name__))
        results.append(decoded)
    agree(results)
    for message in iter_messages(messages):
        repr(message)


def agree(results: list[Any]) -> None:
    """Whether all kernels said the same."""
    if any(result != results[0] for result in results):
        raise AssertionError(f"the kernels differ: {results}")


PARTS = (stream, payload, value, hello)


def fuzz_one(data: bytes) -> None:
    """One input."""
    if data:
        try:
            PARTS[data[0] % len(PARTS)](data[1:])
        except TorqError as error:
            if not isinstance(error, ProtocolError):
                raise


def seed(folder: Path) -> None:
    """A few inputs that reach every part, for a corpus that does not exist yet."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
    from samples import BTC_USD, trade

    from torq_relays.wire.control import hello_message
    from torq_types import Domain, Role

    folder.mkdir(exist_ok=True)
    builder = _pure.MessageBuilder(Domain.MARKET_DATA, 7).add(trade())
    message = builder.build(sequence=1, timestamp_ns=1)
    greeting = hello_message(
        Domain.SIGNAL, Role.SUBSCRIBER, types=[1], instruments=[BTC_USD], name="seed"
    )
    seeds = {
        "stream": b"\0\x20" + message + b"garbage" + message,
        "payload": b"\1\0" + message[32:],
        "value": b"\2\0\0" + message[40:],
        "hello": b"\3" + greeting[40:],
    }
    for name, content in seeds.items():
        (folder / f"seed-{name}").write_bytes(content)


def main() -> None:
    """libFuzzer's command line."""
    if sys.argv[1:2] == ["--seed"]:
        seed(Path(sys.argv[2]))
        return
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
