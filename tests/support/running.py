"""A whole instance in a folder of its own, driven through the command line."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from torq_services.instance.folder import Instance
from torq_services.instance.status import (
    InstanceStatus,
    ServiceStatus,
    full_status,
    instance_status,
)
from torq_types import TorqError


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """An instance that is up."""

    def __init__(self, runtime_dir: Path, port: int, python: str = sys.executable) -> None:
        self.runtime_dir = runtime_dir
        self.port = port
        self.python = python
        self.url = f"http://127.0.0.1:{port}/"

    def torq(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command on this instance."""
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
        return subprocess.run(
            [self.python, "-m", "torq_services.cli", *arguments,
             "--runtime-dir", str(self.runtime_dir)],
            cwd=self.runtime_dir, env=environment, capture_output=True, text=True, check=False,
            timeout=timeout,
        )  # fmt: skip

    def status(self) -> InstanceStatus:
        """What ``torq status`` tells, without a process of its own for each look."""
        return asyncio.run(full_status(Instance(self.runtime_dir)))

    def services(self) -> dict[str, ServiceStatus]:
        """The services' rows by name; quicker than the whole status."""
        found = asyncio.run(instance_status(Instance(self.runtime_dir)))
        return {service.name: service for service in found.services}

    def is_healthy(self) -> bool:
        """Whether every service runs and every relay answers."""
        return asyncio.run(instance_status(Instance(self.runtime_dir))).healthy

    def is_up(self) -> bool:
        """The same, of an instance that may not be there yet."""
        try:
            return self.is_healthy()
        except TorqError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this instance."""
        needle = str(self.runtime_dir)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if any(needle in word for word in command) and process.pid != os.getpid():
                found.append(process)
        return found


def until(condition: Callable[[], Any], what: str, seconds: float = 180) -> Any:
    """Wait for ``condition`` to give something true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


@contextmanager
def instance_up(
    runtime_dir: Path, *options: str, python: str = sys.executable
) -> Iterator[Running]:
    """``torq up``, and ``torq down`` whatever happens; nothing may be left behind."""
    running = Running(runtime_dir, free_port(), python)
    up = running.torq("up", "--port", str(running.port), *options)
    try:
        assert up.returncode == 0, up.stdout + up.stderr + all_logs(runtime_dir)
        assert running.url in up.stdout
        assert "Sample data" in up.stdout
        yield running
    finally:
        down = running.torq("down")
        left = running.processes()
        for process in left:
            process.kill()
        assert down.returncode == 0, down.stderr
        assert not left, left
        assert not list(runtime_dir.glob("*.sock*"))


def all_logs(runtime_dir: Path) -> str:
    """What the services wrote, for a failing test's message."""
    texts = [
        f"--- {path.name}\n{path.read_text()[-2000:]}" for path in runtime_dir.glob("logs/*.log")
    ]
    return "\n".join(texts)
