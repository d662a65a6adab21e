"""The workspace's own rules."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, copy_to, run_in

MEMBERS = [*sorted((ROOT / "packages").iterdir()), ROOT / "web"]


def project(member: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    return table


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_member_is_whole(member: Path) -> None:
    name = project(member)["name"]
    module = name.replace("-", "_")
    assert re.fullmatch(r"\d+\.\d+\.\d+", project(member)["version"])
    assert (member / "src" / module / "py.typed").exists()
    assert (member / "README.md").read_text().startswith(f"# {name}\n")
    assert f"## {project(member)['version']}" in (member / "CHANGELOG.md").read_text()
    for dependency in project(member)["dependencies"]:
        if dependency.startswith("torq-"):
            assert re.search(r">=\d+\.\d+(\.\d+)?,<\d+\.\d+$", dependency), dependency


def test_there_are_six_members_and_the_root_is_none() -> None:
    names = {project(member)["name"] for member in MEMBERS}
    assert names == {
        "torq-types", "torq-codec", "torq-amm", "torq-relays", "torq-services", "torq-web",
    }  # fmt: skip
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert root["tool"]["uv"]["package"] is False
    assert "build-system" not in root


def test_every_dependency_has_its_line() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text().lower()
    for member in MEMBERS:
        for dependency in project(member)["dependencies"]:
            name = re.split(r"[\[>=<]", dependency)[0]
            if not name.startswith("torq-"):
                assert name in text, name


def test_vendored_files_are_what_their_list_says() -> None:
    import hashlib

    folder = ROOT / "web" / "src" / "torq_web" / "static" / "vendor"
    listed = dict(
        re.findall(r"\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|", (folder / "README.md").read_text())
    )
    assert set(listed) == {path.name for path in folder.glob("*.js")}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_seeded_violations_make_validate_fail_each_by_name(tmp_path: Path) -> None:
    tree = copy_to(tmp_path)
    types = tree / "packages" / "torq-types" / "src" / "torq_types" / "header.py"
    types.write_text(
        types.read_text().replace("import msgspec\n", "import asyncio\n\nimport msgspec\n")
    )
    services = tree / "packages" / "torq-services" / "src" / "torq_services" / "state" / "exact.py"
    services.write_text(services.read_text() + "\n\nprice = 1.5\n")
    node = services.parents[1] / "nodes" / "strategy.py"
    node.write_text(node.read_text().replace("import msgspec\n", "import time\n\nimport msgspec\n"))
    amm = tree / "packages" / "torq-amm" / "src" / "torq_amm" / "__init__.py"
    amm.write_text(amm.read_text() + "\nimport torq_codec\n\nanswer: int = 'x'\n")
    protocol = tree / "docs" / "protocol.md"
    protocol.write_text(protocol.read_text().replace("A trade as", "The trade as"))
    (tree / "README.md").write_text("[nowhere](nowhere.md)\n")
    done = run_in(tree, "-m", "torq_services.cli", "validate")
    assert done.returncode == 1
    for failed in ("ruff check", "mypy --strict", "import-linter", "precision", "replayable",
                   "protocol tables", "docs links"):  # fmt: skip
        assert f"✗ {failed}" in done.stdout, done.stdout
    assert "exact.py:23: a float is assigned to a money value" in done.stdout
    assert "nodes/strategy.py:5: time where a replay must be exact" in done.stdout
    assert "torq_types.header -> asyncio" in done.stdout
    assert "torq_amm -> torq_codec" in done.stdout


FORBIDDEN_IMPORTS = {
    # In the relays: client and relay know each other as little as log, wire and transports do.
    "torq_relays.client.sink": "torq_relays.relay.limits",
    "torq_relays.relay.limits": "torq_relays.client.backoff",
    "torq_relays.wire.status": "torq_relays.log.ledger",
    "torq_relays.log.bookmark": "torq_relays.transports.paths",
    # In the services: neighbours, and what stands above.
    "torq_services.strategies.crossing": "torq_services.execution.risk",
    "torq_services.execution.risk": "torq_services.adapters.exchange.times",
    "torq_services.adapters.exchange.times": "torq_services.strategies.base",
    "torq_services.execution.paper": "torq_services.processes.sources",
    "torq_services.strategies.base": "torq_services.instance.folder",
    "torq_services.adapters.exchange.limits": "torq_services.cli.options",
    "torq_services.state.checksums": "torq_services.execution.paper",
    "torq_services.nodes.base": "torq_services.processes.wiring",
    # One exchange and another.
    "torq_services.adapters.coinbase": "torq_services.adapters.kraken.listing",
}
LOOSE = ("torq_relays", "torq_services")


def test_every_contract_between_rooms_fails_on_a_seeded_violation(tmp_path: Path) -> None:
    tree = copy_to(tmp_path)
    for importer, imported in FORBIDDEN_IMPORTS.items():
        package = importer.partition(".")[0].replace("_", "-")
        path = tree / "packages" / package / "src" / importer.replace(".", "/")
        path = path.with_suffix(".py")
        # At the end, and in a function: where people put what the linter should not see.
        path.write_text(f"{path.read_text()}\n\ndef _seeded():\n    import {imported}\n")
    for package in LOOSE:
        room = tree / "packages" / package.replace("_", "-") / "src" / package
        (room / "loose.py").write_text('"""A module that is in no room."""\n')
    circle = tree / "packages" / "torq-amm" / "src" / "torq_amm" / "swapping.py"
    circle.write_text(f"{circle.read_text()}\nimport torq_amm.weighted\n")
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run_in(tree, "-c", command, "--no-cache")
    assert done.returncode == 1
    # Long lines are wrapped.
    told = " ".join(done.stdout.split())
    for importer, imported in FORBIDDEN_IMPORTS.items():
        assert f"{importer} -> {imported} " in told, f"{importer} -> {imported}"
    for name in ("Rooms of torq-relays", "Rooms of torq-services", "One exchange's adapter",
                 "No circles"):  # fmt: skip
        assert re.search(rf"{name}[^.]*? BROKEN", told), name
    assert told.count("loose") == len(LOOSE)
    assert re.search(r"torq_amm[^╔]*\.swapping -> \.weighted|\.weighted -> \.swapping", told)
