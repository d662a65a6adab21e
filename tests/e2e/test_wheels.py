"""The wheels alone, in an empty environment, give a working instance."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from components import missing
from running import instance_up


def _uv(*arguments: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        ["uv", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_wheels_alone_carry_an_instance(tmp_path: Path, runtime_dir: Path) -> None:
    if shutil.which("uv") is None:
        missing("uv", "pip install uv")
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    _uv("build", "--all-packages", "--wheel", "--out-dir", str(wheels), "-q")
    built = sorted(path.name.split("-")[0] for path in wheels.glob("*.whl"))
    assert built == [
        "torq_amm", "torq_codec", "torq_relays", "torq_services", "torq_types", "torq_web",
    ]  # fmt: skip
    _uv("venv", "-q", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    _uv("pip", "install", "-q", "--python", str(python), *map(str, wheels.glob("*.whl")))
    where = subprocess.run(
        [python, "-c", "import torq_codec as c; print(c.__file__, c.kernel.implementation)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(environment))
    assert where.stdout.split()[1] == ("compiled" if shutil.which("gcc") else "pure")
    assert (environment / "bin" / "torq").exists()
    with instance_up(runtime_dir, "--speed", "4", python=str(python)) as running:
        assert running.is_healthy()
