"""The commands that need no running instance; tests/e2e has the others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from torq_relays import Publisher, Subscriber
from torq_services.checks.protocol_tables import BEGIN, END, insert
from torq_services.cli import logs as logs_module
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
        (("logs", "/etc/passwd"), "no log of '/etc/passwd'"),
        (("logs", "**"), "no log of '**'"),
        (("logs", "[/red]"), "no log of '[/red]'"),
        (("restart", "[/red]"), "no Torq instance"),
        (("demo", "tlv-info", "[/red]"), "no TLV type '[/red]'"),
        (("up", "--config", "[/x].toml"), "cannot read [/x].toml"),
        (("up", "--config", ":x:"), "cannot read :x:"),
        (("up", "--speed", "[/x]"), "'[/x]'"),
        (("up", "--port", "0"), "--port is 0; expected 1 to 65535"),
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


def test_folders_that_cannot_be_used_are_one_line(runtime_dir: Path) -> None:
    (runtime_dir / "up.lock").mkdir()
    for arguments, words in (
        (("up", "--runtime-dir", str(runtime_dir)), "up.lock: Is a directory"),
        (("down", "--runtime-dir", "/etc/passwd"), "is not a directory"),
    ):
        done = torq(*arguments, cwd=runtime_dir)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert words in done.stderr


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


def test_a_line_without_a_time_stands_where_it_was_written(runtime_dir: Path) -> None:
    """A traceback, above all: it is not cut off with what is older."""

    def line(event: str, second: int) -> str:
        stamp = f"2026-08-09T21:05:{second:02}.000000Z"
        return json.dumps({"event": event, "service": "s", "level": "info", "timestamp": stamp})

    logs = runtime_dir / "logs"
    logs.mkdir()
    trace = ["Traceback (most recent call last):", "ValueError: build [/failed]"]
    (logs / "a.log").write_text("\n".join([line("before", 58), *trace]) + "\n")
    early = [line(f"early {second}", second) for second in range(55)]
    (logs / "b.log").write_text("\n".join([*early, line("after", 59)]) + "\n")
    (logs / "c.log").write_text("SyntaxError: no line has a time\n")
    own = f"{datetime(2026, 8, 9, 21, 5, 57, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S},000"
    (logs / "supervisord.log").write_text(f"{own} INFO spawned\n")
    done = torq("logs", "-n", "6", "--runtime-dir", str(runtime_dir))
    assert done.returncode == 0, done.stderr
    assert [shown.split()[-1] for shown in done.stdout.splitlines()] == [
        "spawned", "before", "last):", "[/failed]", "after", "time",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "2026-99-99 00:00:00,000 from a library",
        "0000-00-00 00:00:00,000 x",
        "0001-01-01 00:00:00,000 x",
        "9999-12-31 23:59:59,000 x",
        '{"event":' + "[" * 50_000,
        '{"event":' + "[" * 5000 + "]" * 5000 + "}",
    ],
    ids=lambda line: line[:24],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_what_is_no_entry_is_shown_as_it_stands(
    line: str, zone: str, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # as in the command: hypothesis raises it beyond the C stack
    try:
        assert shown(runtime_dir, f"{line}\n", monkeypatch) == f"{line}\n"
    finally:
        sys.setrecursionlimit(limit)
        monkeypatch.undo()
        time.tzset()


def shown(runtime_dir: Path, text: str, monkeypatch: pytest.MonkeyPatch, lines: int = 50) -> str:
    """What 'torq logs' makes of a log."""
    (runtime_dir / "logs").mkdir(exist_ok=True)
    (runtime_dir / "logs" / "a.log").write_text(text)
    output = StringIO()
    monkeypatch.setattr("torq_services.cli.logs.printer.file", output)
    logs_module.logs("a", lines=lines, runtime_dir=runtime_dir)
    return output.getvalue()


def test_the_last_lines_are_shown_however_long_they_are(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [f"{number}{'x' * 70_000}" for number in range(3)]
    text = "\n".join([*map(str, range(30)), *long])
    for end in ("", "\n"):
        assert shown(runtime_dir, text + end, monkeypatch, 1) == long[2] + "\n"
        assert shown(runtime_dir, text + end, monkeypatch, 4).splitlines() == ["29", *long]
        assert len(shown(runtime_dir, text + end, monkeypatch, 99).splitlines()) == 33
        assert shown(runtime_dir, text + end, monkeypatch, 0) == ""


def test_fewer_than_no_lines_are_refused(runtime_dir: Path) -> None:
    assert torq("logs", "-n", "-1", "--runtime-dir", str(runtime_dir)).returncode == 2


def test_a_table_shows_a_text_as_it_stands(runtime_dir: Path) -> None:
    odd = runtime_dir / "[bold]"
    odd.mkdir(mode=0o700)
    assert "[bold]" in torq("doctor", "--runtime-dir", str(odd), cwd=runtime_dir).stdout
    assert str(odd) in torq("down", "--runtime-dir", str(odd)).stdout


def test_an_interrupt_while_the_commands_are_imported_is_no_traceback() -> None:
    """The import itself is where it comes."""
    program = """
import sys
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from torq_services.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


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
