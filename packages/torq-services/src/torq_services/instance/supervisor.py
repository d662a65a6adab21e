"""Processes under supervisord: its configuration, and conversation over its own Unix socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

import msgspec
from supervisor.xmlrpc import SupervisorTransport

from torq_relays.transports.paths import check_socket_path
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance, Rank, ServiceSpec
from torq_types import ConfigError, TorqError

__all__ = ["ProcessStatus", "Supervisor"]

_CONFIG = """\
[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=4MB
logfile_backups=1
pidfile={pid}
childlogdir={logs}
directory={runtime_dir}
"""
_PROGRAM = """
[program:{name}]
command={python} -m {module} {name} --runtime-dir {runtime_dir}
autorestart=true
startsecs=1
startretries=20
stopwaitsecs=6
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=8MB
stdout_logfile_backups=2
"""
_GROUP = """
[group:{group}]
programs={programs}
priority={priority}
"""
_START_SECONDS = 60
_STOP_SECONDS = 90
_LOOK_SECONDS = 0.02
"""Each look makes supervisord notice who has ended; by itself it does once a second."""


class ProcessStatus(msgspec.Struct, frozen=True):
    """One supervised process."""

    name: str
    state: str
    """supervisord's word, in lower case: running, starting, backoff, stopped, fatal, …"""
    pid: int
    uptime_seconds: int
    restarts: int


class Supervisor:
    """The supervisord of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def write_config(self, config: Config) -> None:
        """Write supervisord's configuration for the services of ``config``."""
        instance = self._instance
        # supervisord first binds a socket with its pid appended to the name.
        check_socket_path(instance.runtime_dir / f"{instance.supervisor_socket.name}.{2**22}")
        if any(character in str(instance.runtime_dir) for character in " %;\"'"):
            raise ConfigError(
                f"{instance.runtime_dir} holds a space, quote, percent sign or semicolon;"
                " choose another --runtime-dir"
            )
        text = _CONFIG.format(
            socket=instance.supervisor_socket,
            logs=instance.logs,
            pid=instance.supervisor_pid,
            runtime_dir=instance.runtime_dir,
        )
        specs = instance.services(config)
        text += "".join(map(self._program, specs))
        for rank in Rank:
            names = [spec.name for spec in specs if spec.rank is rank]
            if names:
                text += _GROUP.format(
                    group=rank.group, programs=",".join(names), priority=int(rank)
                )
        instance.supervisor_config.write_text(text)

    def _program(self, spec: ServiceSpec) -> str:
        instance = self._instance
        return _PROGRAM.format(
            name=spec.name,
            python=sys.executable,
            module=spec.module,
            runtime_dir=instance.runtime_dir,
            logs=instance.logs,
        )

    def command(self, *, foreground: bool) -> list[str]:
        """How to start supervisord."""
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord"]
        command += ["-c", str(self._instance.supervisor_config)]
        return [*command, "--nodaemon", "--silent"] if foreground else command

    def start(self) -> None:
        """Start supervisord in the background and wait until it answers."""
        log = self._instance.logs / "supervisord.log"
        done = subprocess.run(
            self.command(foreground=False), capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if done.returncode or time.monotonic() > deadline:
                detail = (done.stderr or done.stdout).strip() or f"see {log}"
                raise TorqError(f"supervisord did not start: {detail}")
            time.sleep(0.05)

    def is_up(self) -> bool:
        """Whether a supervisord answers for this instance."""
        if not self._instance.supervisor_socket.exists():
            return False
        try:
            self._call("getPID")
        except TorqError:
            return False
        return True

    def stop(self) -> bool:
        """Stop every process rank by rank, then supervisord; returns whether anything ran."""
        pid = self._pid()
        if not self.is_up():
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
                self._wait_for_end(pid)
            self._sweep()
            return pid is not None
        self._stop_all()
        self._call("shutdown")
        if pid is not None:
            self._wait_for_end(pid)
        self._sweep()
        return True

    def restart(self, name: str | None) -> None:
        """Restart one service, or all of them."""
        full_names = {str(info["name"]): _full_name(info) for info in self._infos()}
        if name is None:
            self._stop_all()
            for rank in Rank:
                self._call("startProcessGroup", rank.group, False, ignore="BAD_NAME")
            return
        if name not in full_names:
            raise TorqError(f"no service is called {name!r}; 'torq status' lists them")
        self._call("stopProcess", full_names[name], True, ignore="NOT_RUNNING")
        self._call("startProcess", full_names[name], False, ignore="ALREADY_STARTED")

    def _stop_all(self) -> None:
        """All of a rank at once; the next lower one when they have ended."""
        for rank in reversed(Rank):
            self._call("stopProcessGroup", rank.group, False, ignore="BAD_NAME")
            deadline = time.monotonic() + _STOP_SECONDS
            while any(i["group"] == rank.group and i["pid"] for i in self._infos()):
                if time.monotonic() > deadline:
                    raise TorqError(f"not all {rank.group} stopped within {_STOP_SECONDS} s")
                time.sleep(_LOOK_SECONDS)

    def processes(self) -> list[ProcessStatus]:
        """Every supervised process, in the order of starting."""
        found = []
        for info in self._infos():
            name = str(info["name"])
            running = info["statename"] == "RUNNING"
            found.append(
                ProcessStatus(
                    name=name,
                    state=str(info["statename"]).lower(),
                    pid=int(info["pid"]),
                    uptime_seconds=int(info["now"]) - int(info["start"]) if running else 0,
                    restarts=self._restarts(name),
                )
            )
        return found

    def _infos(self) -> list[dict[str, Any]]:
        """supervisord's own account of each process."""
        found: list[dict[str, Any]] = self._call("getAllProcessInfo")
        return found

    def _restarts(self, name: str) -> int:
        """How often supervisord started a process beyond the first time, by its own log."""
        log = self._instance.logs / "supervisord.log"
        needle = f"spawned: '{name}'"
        try:
            starts = sum(needle in line for line in log.read_text(errors="replace").splitlines())
        except OSError:
            return 0
        return max(0, starts - 1)

    def _pid(self) -> int | None:
        """The pid of this instance's supervisord, if it is alive and really one."""
        try:
            pid = int(self._instance.supervisor_pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self._instance.supervisor_config) in command else None

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            if time.monotonic() > deadline:
                raise TorqError(f"supervisord ({pid}) did not stop within {_STOP_SECONDS} s")
            self.is_up()  # being asked, it notices at once that it has nothing left to do
            time.sleep(_LOOK_SECONDS)

    def _sweep(self) -> None:
        """Remove what belongs to a running instance only; logs and data stay."""
        instance = self._instance
        for path in instance.runtime_dir.glob("*.sock*"):
            path.unlink(missing_ok=True)
        for path in (instance.supervisor_pid, instance.supervisor_config, instance.config_path):
            path.unlink(missing_ok=True)

    def _call(self, method: str, *arguments: Any, ignore: str = "") -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._instance.supervisor_socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if ignore and ignore in fault.faultString:
                return None
            raise TorqError(f"supervisord refuses: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise TorqError(
                f"no Torq instance answers in {self._instance.runtime_dir}; 'torq up' starts one"
            ) from error
        finally:
            transport.close()


def _full_name(info: dict[str, Any]) -> str:
    return f"{info['group']}:{info['name']}"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
