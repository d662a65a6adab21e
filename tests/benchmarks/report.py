"""Runs every benchmark and writes the summary.

``uv run torq bench [--quick]`` calls this. pyperf's JSON reports, the summary (Markdown) and its
picture (SVG) go to ``bench-reports/``; ``--update-docs`` puts the last two into
docs/performance.md as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyperf
from goals import GOALS, Goal
from picture import picture
from pools import CROSSINGS, crossing_amount, ranged
from rivals import nats_server
from sessions import FRAMES, write

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", nargs="?", default="all", choices=["all", "adapters"])
    parser.add_argument("--quick", action="store_true", help="in under five minutes")
    parser.add_argument("--update-docs", action="store_true", help="rewrite docs/performance.md")
    options = parser.parse_args()
    reports = ROOT / "bench-reports"
    reports.mkdir(exist_ok=True)
    if options.subject == "adapters":
        run_adapters(reports, "--processes", "3", "--values", "3", "--warmups", "1", "--loops", "1")
        sys.stdout.write("\n".join(table(read(reports), only="adapters")) + "\n")
        return
    small = ("--processes", "2", "--values", "3", "--warmups", "1", "--min-time", "0.05")
    whole = ("--processes", "5", "--values", "3", "--warmups", "1", "--min-time", "0.1")
    few = ("--processes", "1", "--values", "3", "--warmups", "0", "--loops", "1")
    many = ("--processes", "3", "--values", "3", "--warmups", "1", "--loops", "1")
    codec, relay = (small, few) if options.quick else (whole, many)
    run("bench_codec.py", reports / "codec.json", *codec)
    run("bench_codec.py", reports / "codec-pure.json", *codec, pure=True)
    run("bench_relay.py", reports / "relay.json", *relay)
    run("bench_pools.py", reports / "pools.json", *codec)
    run("bench_cycles.py", reports / "cycles.json", *few)
    run_rivals(reports, *codec)
    run_adapters(reports, *(few if options.quick else many))
    stopped = reports / "stopped.json"
    script = [sys.executable, str(HERE / "bench_stopped.py")]
    subprocess.run([*script, "5" if options.quick else "60", str(stopped)], check=True)
    medians = read(reports)
    summary = "\n".join(
        [
            f"`uv run torq bench{' --quick' if options.quick else ''}` on {machine()}.",
            "",
            *table(medians),
            "",
            *stopped_reader(json.loads(stopped.read_text())),
        ]
    )
    drawing = picture(medians)
    (reports / "summary.md").write_text(summary + "\n")
    (reports / "performance.svg").write_text(drawing)
    sys.stdout.write(summary + "\n")
    if options.update_docs:
        update_docs(summary, drawing)


def run(
    script: str, target: Path, *options: str, pure: bool = False, python: str = sys.executable,
) -> None:  # fmt: skip
    """Run one file of benchmarks into a fresh report."""
    target.unlink(missing_ok=True)
    environment = {**os.environ, "TORQ_PURE_PYTHON": "1" if pure else ""}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    command = [python, str(HERE / script), "--quiet", "--output", str(target), *options]
    command += ["--inherit-environ", f"TORQ_PURE_PYTHON,PYTHONPATH,{FRAMES}"]
    sys.stderr.write(f"running {script}{' (pure kernel)' if pure else ''}\n")
    subprocess.run(command, env=environment, check=True)


def run_adapters(reports: Path, *options: str) -> None:
    """Every exchange's recorded session; cryptofeed's handlers too, where it is installed."""
    rivals = ("bench_cryptofeed.py", "cryptofeed.json"), ("bench_ccxt.py", "ccxt.json")
    for _, name in rivals:
        (reports / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="sessions-") as folder:
        unpacked = Path(folder) / "sessions.json"
        write(unpacked)
        os.environ[FRAMES] = str(unpacked)
        run("bench_adapters.py", reports / "adapters.json", *options)
        python = os.environ.get("TORQ_BENCH_RIVALS", "")
        if not python:
            sys.stderr.write("cryptofeed, ccxt left out: tests/benchmarks/bench_cryptofeed.py\n")
        for script, name in rivals if python else ():
            run(script, reports / name, *options, python=python)
        del os.environ[FRAMES]


def run_rivals(reports: Path, *options: str) -> None:
    """degenbot, in the interpreter that TORQ_BENCH_RIVALS names; left out without one."""
    target = reports / "degenbot.json"
    target.unlink(missing_ok=True)
    python = os.environ.get("TORQ_BENCH_RIVALS")
    if python is None:
        sys.stderr.write("degenbot left out: see tests/benchmarks/bench_degenbot.py\n")
        return
    pool = ranged()
    amounts = {str(crossings): crossing_amount(pool, crossings) for crossings in CROSSINGS}
    expected = {
        name: pool.swap_exact_in(pool.token0, amount).amount_out for name, amount in amounts.items()
    }
    subject = {
        "ticks": dict(pool.ticks), "liquidity": pool.liquidity, "amounts": amounts,
        "expected": expected,
    }  # fmt: skip
    command = [python, str(HERE / "bench_degenbot.py"), "--quiet", "--output", str(target)]
    command += [*options, "--inherit-environ", "TORQ_BENCH_V3,TORQ_BENCH_HOME"]
    sys.stderr.write("running bench_degenbot.py\n")
    with tempfile.TemporaryDirectory(prefix="degenbot-") as home:
        environment = {
            **os.environ, "TORQ_BENCH_V3": json.dumps(subject), "TORQ_BENCH_HOME": home,
        }  # fmt: skip
        environment.pop("PYTHONPATH", None)
        subprocess.run(command, env=environment, check=True)


def read(reports: Path) -> dict[str, float]:
    """The median of every benchmark, in seconds per message."""
    medians: dict[str, float] = {}
    for name in (
        "codec.json",
        "codec-pure.json",
        "relay.json",
        "pools.json",
        "cycles.json",
        "degenbot.json",
        "adapters.json",
        "cryptofeed.json",
        "ccxt.json",
    ):
        if not (reports / name).exists():
            continue
        for bench in pyperf.BenchmarkSuite.load(str(reports / name)).get_benchmarks():
            medians[bench.get_name()] = bench.median()
    return medians


def table(medians: dict[str, float], only: str = "") -> list[str]:
    """One row for each goal; ``only`` those of one subject."""
    rows = [
        "| what | measured | floor (goal) | ratio | ratio's floor (goal) | met | beside it |",
        "|---|---|---|---|---|---|---|",
    ]
    for goal in GOALS:
        if only not in goal.subject:
            continue
        if goal.bench not in medians:
            rows.append(f"| {goal.name} | not measured here | | | | | |")
            continue
        rows.append(row(goal, medians))
    return rows


def row(goal: Goal, medians: dict[str, float]) -> str:
    """A goal's figures."""
    found = medians[goal.bench]
    rival = medians.get(goal.rival)
    verdicts = []
    wanted = ""
    if goal.floor:
        limit = goal.floor if goal.is_delay else 1 / goal.floor
        verdicts.append(verdict(found / limit))
        wanted = figure(limit, goal.is_delay)
        if goal.aim:
            wanted += f" ({figure(goal.aim if goal.is_delay else 1 / goal.aim, goal.is_delay)})"
    ratio = ratio_wanted = ""
    if rival is not None:
        times = found / rival if goal.is_delay else rival / found
        ratio = f"{times:.2f} x {goal.rival}"
        if goal.ratio_floor:
            sign = "≤" if goal.is_delay else "≥"
            ratio_wanted = f"{sign} {goal.ratio_floor:g} x"
            if goal.ratio_aim:
                ratio_wanted += f" ({goal.ratio_aim:g} x)"
            missed = times / goal.ratio_floor if goal.is_delay else goal.ratio_floor / times
            verdicts.append(verdict(missed))
    beside = ", ".join(
        f"{name.split(', ', 1)[1]} {figure(medians[name], goal.is_delay)}"
        for name in (goal.rival, *goal.others)
        if name in medians
    )
    measured = figure(found, goal.is_delay)
    met = "; ".join(verdicts)
    return f"| {goal.name} | {measured} | {wanted} | {ratio} | {ratio_wanted} | {met} | {beside} |"


def verdict(share: float) -> str:
    """``share`` of what was allowed was used."""
    return f"yes, {1 / share:.2f} x" if share <= 1 else f"**no, {1 / share:.2f} x**"


def figure(seconds: float, is_delay: bool) -> str:
    """A delay in microseconds, or a rate."""
    if is_delay:
        return f"{seconds * 1e6:.3g} µs"
    return f"{1 / seconds / 1e6:.3g} M/s"


def stopped_reader(found: dict[str, Any]) -> list[str]:
    """What a subscriber that stands still costs."""
    running, stopped = found["rate with both running"], found["rate with one stopped"]
    before, after = found["relay's memory before"], found["relay's memory after"]
    one, other = found["the stopped one"], found["the other"]
    return [
        f"One of two subscribers stopped for {found['seconds']:g} s under full load: the publisher"
        f" sent {running / 1e6:.2f} M/s before and {stopped / 1e6:.2f} M/s meanwhile; the relay's"
        f" resident memory went from {before / 2**20:.1f} to {after / 2**20:.1f} MiB. Going on, the"
        f" stopped one read {one['read']:,} bytes and was told exactly which {one['lost']:,} were"
        f" overwritten; the other read {other['read']:,} and lost {other['lost']:,}.",
    ]


def machine() -> str:
    """The machine, for whoever compares."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release().split('-')[0]},"
        f" {platform.python_implementation()} {platform.python_version()},"
        f" {'with' if nats_server() else 'without'} nats-server"
    )


def update_docs(summary: str, drawing: str) -> None:
    """Replace the measured part of docs/performance.md, and its picture."""
    page = ROOT / "docs" / "performance.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{summary}\n\n{END}{after}")
    (ROOT / "docs" / "performance.svg").write_text(drawing)


if __name__ == "__main__":
    main()
