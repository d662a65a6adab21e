"""The commands that need no running instance; tests/e2e has the others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest

from torq_relays import Publisher, Subscriber
from torq_services.checks.protocol_tables import BEGIN, END, insert
from torq_services.cli.logs import render
from torq_services.cli.setup import checks
from torq_services.demos.arbitrage import mock_relay, send_demo_arbitrage
from torq_services.instance.config import load
from torq_types import ArbitrageSignal, Domain, Economics, Heartbeat


def torq(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "torq_services.cli", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_init_writes_what_load_reads_and_never_overwrites(tmp_path: Path) -> None:
    done = torq("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not load(tmp_path / "torq.toml").is_sample
    again = torq("init", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr == "torq: torq.toml exists already; nothing was changed\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status",), "no Torq instance"),
        (("restart",), "no Torq instance"),
        (("logs",), "there are: none"),
        (("demo", "arbitrage"), "no relay answers"),
        (("demo", "tlv-info", "Trad"), "there are 1 Trade"),
        (("demo", "mock-relay", "--domain", "x"), "market-data"),
        (("up", "--speed", "0"), "speed"),
        (("up", "--config", "none.toml"), "cannot read none.toml"),
        (("up", "--port", "99999"), "99999"),
    ],
)
def test_a_users_mistake_is_one_line_that_helps(
    arguments: tuple[str, ...], words: str, runtime_dir: Path
) -> None:
    done = torq(*arguments, "--runtime-dir", str(runtime_dir), cwd=runtime_dir)
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert done.stderr.startswith("torq: ")
    assert done.stderr.count("\n") == 1


def test_down_where_nothing_is_up(runtime_dir: Path) -> None:
    done = torq("down", "--runtime-dir", str(runtime_dir))
    assert (done.returncode, "Nothing was up" in done.stdout) == (0, True)


def test_a_taken_port_is_named(runtime_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = torq("up", "--port", port, "--runtime-dir", str(runtime_dir), cwd=runtime_dir)
    assert done.returncode == 1
    assert f"port {port} is not free" in done.stderr
    assert "--port" in done.stderr


def test_a_runtime_directory_whose_sockets_would_be_too_long(runtime_dir: Path) -> None:
    long = runtime_dir / ("x" * 90)
    done = torq("up", "--runtime-dir", str(long), cwd=runtime_dir)
    assert done.returncode == 1
    assert "the kernel allows 107" in done.stderr


def test_tlv_info() -> None:
    everything = torq("demo", "tlv-info")
    assert "ArbitrageSignal" in everything.stdout
    for name in ("1", "trade"):
        one = torq("demo", "tlv-info", name)
        assert "price.mantissa" in one.stdout
        assert "trade_id" in one.stdout


def test_doctor_says_what_to_do(runtime_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = {check.name: check for check in checks(runtime_dir, port)}
        assert not found[f"port {port} for the console"].is_good
        assert "--port" in found[f"port {port} for the console"].mend
    assert found["Python"].is_good
    assert found["runtime directory"].is_good
    long = {check.name: check for check in checks(runtime_dir / ("x" * 90), port)}
    assert "107" in long["runtime directory"].found
    done = torq("doctor", "--port", str(port), "--runtime-dir", str(runtime_dir), cwd=runtime_dir)
    assert done.returncode == 0, done.stdout


def test_logs_are_words() -> None:
    line = json.dumps(
        {
            "timestamp": "2026-08-09T21:05:48.228568Z",
            "level": "warning",
            "service": "adapter-gemini",
            "event": "books in [doubt]",
            "reason": "crossed",
        }
    )
    text = render(line)
    assert "21:05:48.228" in text
    assert "reason=crossed" in text
    assert render("plain [red] text") == "plain \\[red] text"


def test_mock_relay_and_the_demo_opportunity(runtime_dir: Path) -> None:
    output = StringIO()
    serving = threading.Thread(
        target=mock_relay, args=(Domain.SIGNAL, runtime_dir), kwargs={"limit": 2, "output": output}
    )
    serving.start()
    with Subscriber.connect(Domain.SIGNAL, runtime_dir=runtime_dir) as reader:
        assert send_demo_arbitrage(runtime_dir) == 1
        message = next(iter(reader))
    signal, economics = message[ArbitrageSignal], message[Economics]
    assert signal.synthetic == 1
    assert economics.net == economics.gross - economics.fees
    with Publisher.connect(Domain.SIGNAL, source=3, runtime_dir=runtime_dir) as publisher:
        publisher.send(Heartbeat(1, 1))
    serving.join(10)
    assert not serving.is_alive()
    assert "ArbitrageSignal(" in output.getvalue()
    assert "Heartbeat(" in output.getvalue()


def test_protocol_tables_stand_between_their_marks() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter"
    new = insert(document)
    assert new.startswith("before\n")
    assert new.endswith("\nafter")
    assert "\nold\n" not in new
    assert "| 1 | [Trade](#1-trade) |" in new
    assert insert(new) == new
    with pytest.raises(ValueError, match="expected the lines"):
        insert("nothing")
