"""Sample mutants of packages, and see whether the packages' own tests kill them."""

from __future__ import annotations

import argparse
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import msgspec
from coverage import CoverageData
from mutants import Mutant, draw

ROOT: Final = Path(__file__).parents[2]
_TESTS: Final = {
    "torq-types": ("packages/torq-types", "packages/torq-types/tests"),
    "torq-codec": ("packages/torq-codec", "packages/torq-codec/tests"),
    "torq-amm": ("packages/torq-amm", "packages/torq-amm/tests"),
    "torq-relays": ("packages/torq-relays", "packages/torq-relays/tests"),
    "torq-services": ("packages/torq-services", "packages/torq-services/tests"),
    "web": ("web", "web/tests"),
}
_ROOMS: Final = {"torq-services": ("state", "strategies", "adapters", "nodes")}
"""Of this package, only these are sampled: the rest joins processes, which no unit test sees."""
_FEWEST_LINES: Final = 8
_WORKERS: Final = 2
_LEAST_SECONDS: Final = 20


class Verdict(msgspec.Struct, frozen=True):
    """What became of a mutant."""

    module: str
    mutant: Mutant
    killed: bool
    how: str


class Reach(msgspec.Struct, frozen=True):
    """Which tests come by each line of each module, and how long each takes."""

    tests: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def of(self, module: str, mutant: Mutant) -> list[str]:
        """The tests to run for a mutant, the quickest first."""
        if mutant.at_import:  # done before any test: whoever imports the module may notice
            found = set(self.seconds)
        else:
            found = {test for test in self.tests.get(module, {}).get(mutant.line, ()) if test}
        return sorted(found, key=lambda test: (self.seconds.get(test, 0), test))


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that no test can kill."""

    module: str
    before: str
    after: str
    why: str


def known_equivalents() -> list[Equivalent]:
    """Those of ``equivalent.toml``."""
    text = (Path(__file__).parent / "equivalent.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, list[Equivalent]])["mutants"]


def main() -> int:
    """Draw, run, report; exit status 1 when a mutant survived that is not known as equivalent."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory(prefix="torq-mutants-") as folder:
        workers = [_copy(Path(folder) / str(number)) for number in range(_WORKERS)]
        verdicts: list[Verdict] = []
        for package in chosen.packages or list(_TESTS):
            verdicts += _sample(package, chosen.seed, chosen.count, chosen.module, workers)
    return _report(verdicts, chosen.seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("packages", nargs="*", choices=[*_TESTS, []], metavar="PACKAGE",
                        help=f"of {', '.join(_TESTS)}; all without it")  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="to repeat a run")
    parser.add_argument("--count", type=int, default=10, help="mutants of each module (10)")
    parser.add_argument("--module", default="", help="only modules whose path has this in it")
    return parser.parse_args()


def _copy(target: Path) -> Path:
    """The workspace as it stands, with what was compiled, for one worker to change."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.split(b"\0")  # fmt: skip
    names = [os.fsdecode(name) for name in listed if name]
    names += [str(path.relative_to(ROOT)) for path in ROOT.glob("packages/*/src/**/*.so")]
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def _environment(work: Path) -> dict[str, str]:
    folders = ["tests/mutation", *(f"{folder}/src" for folder, _ in _TESTS.values())]
    sources = [str(work / folder) for folder in folders]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(sources),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _pytest(work: Path, *arguments: str, seconds: float | None = None) -> tuple[int, str]:
    """Exit status and output; -1 when it took ``seconds`` of a processor, and was killed.

    Of a processor, not of the clock: a busy machine kills no mutant. What waits for ever is given
    up after three times as long.
    """

    def limit() -> None:
        if seconds is not None:
            most = int(seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (most, most))

    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0",
         *arguments],
        cwd=work, env=_environment(work), start_new_session=True, preexec_fn=limit,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=None if seconds is None else 3 * seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return -1, ""
    return (-1 if process.returncode < 0 else process.returncode), output


def _reach(package: str, work: Path) -> Reach:
    """Run the package's tests once, and note who comes by where."""
    folder, tests = _TESTS[package]
    data_file = work / ".coverage"
    data_file.unlink(missing_ok=True)
    report = work / "durations.json"
    status, output = _pytest(
        work, tests, f"--cov={folder}/src", "--cov-context=test", "--cov-report=",
        "-p", "durations", f"--durations-file={report}",
    )  # fmt: skip
    if status:
        raise SystemExit(f"the tests of {package} fail without any mutant:\n{output[-3000:]}")
    data = CoverageData(str(data_file))
    data.read()
    reached: dict[str, dict[int, list[str]]] = {}
    for file in data.measured_files():
        contexts = data.contexts_by_lineno(file)
        reached[str(Path(file).relative_to(work))] = {
            line: sorted({context.partition("|")[0] for context in names})
            for line, names in contexts.items()
        }
    return Reach(reached, msgspec.json.decode(report.read_bytes(), type=dict[str, float]))


def _sample(package: str, seed: int, count: int, only: str, workers: list[Path]) -> list[Verdict]:
    reach = _reach(package, workers[0])
    waiting: queue.SimpleQueue[tuple[str, Mutant]] = queue.SimpleQueue()
    for module in _modules(package, only):
        chance = random.Random(f"{seed} {module}")
        for mutant in draw((workers[0] / module).read_text(), count, chance):
            waiting.put((module, mutant))
    verdicts: list[Verdict] = []

    def work_off(work: Path) -> None:
        while True:
            try:
                module, mutant = waiting.get_nowait()
            except queue.Empty:
                return
            verdict = _try(work, module, mutant, reach)
            verdicts.append(verdict)
            word = "killed  " if verdict.killed else "SURVIVED"
            print(f"{word} {module}:{mutant.line} ({verdict.how})", flush=True)

    threads = [threading.Thread(target=work_off, args=(work,)) for work in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


def _modules(package: str, only: str) -> list[str]:
    folder, _ = _TESTS[package]
    found = []
    for path in sorted((ROOT / folder / "src").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        rooms = _ROOMS.get(package)
        in_room = rooms is None or path.relative_to(ROOT / folder / "src").parts[1] in rooms
        if in_room and only in name and len(path.read_text().splitlines()) >= _FEWEST_LINES:
            found.append(name)
    return found


def _try(work: Path, module: str, mutant: Mutant, reach: Reach) -> Verdict:
    tests = reach.of(module, mutant)
    if not tests:
        return Verdict(module, mutant, killed=False, how="no test comes here")
    took_before = [reach.seconds.get(test, 0) for test in tests]
    limit = _LEAST_SECONDS + 4 * sum(took_before)
    each = f"--timeout={_LEAST_SECONDS + 4 * max(took_before):.0f}"
    path = work / module
    original = path.read_text()
    path.write_text(mutant.code)
    started = time.monotonic()
    try:
        status, _ = _pytest(
            work, "-x", "-p", "no:xdist", each, "--timeout-method=thread", *tests, seconds=limit
        )
    finally:
        path.write_text(original)
    took = time.monotonic() - started
    how = "endless" if status == -1 else f"{len(tests)} tests, {took:.0f} s"
    return Verdict(module, mutant, killed=status != 0, how=how)


def _report(verdicts: list[Verdict], seed: int) -> int:
    equivalent = {(each.module, each.before, each.after) for each in known_equivalents()}
    rows: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        mutant = verdict.mutant
        if verdict.killed or (verdict.module, mutant.before, mutant.after) not in equivalent:
            rows[verdict.module].append(verdict)
    survivors = 0
    print(f"\nseed {seed}\n\n| module | mutants | killed |\n|---|---|---|")
    for module, tried in sorted(rows.items()):
        killed = sum(verdict.killed for verdict in tried)
        survivors += len(tried) - killed
        print(f"| {module} | {len(tried)} | {killed} |")
    total = sum(map(len, rows.values()))
    print(f"| all | {total} | {total - survivors} |")
    for verdict in sorted(verdicts, key=lambda each: (each.module, each.mutant.line)):
        mutant = verdict.mutant
        if verdict.killed or (verdict.module, mutant.before, mutant.after) in equivalent:
            continue
        print(f"\n{verdict.module}:{mutant.line} ({verdict.how})")
        print(f"    - {mutant.before}\n    + {mutant.after}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
