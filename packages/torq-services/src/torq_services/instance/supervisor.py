"""Processes under supervisord: its configuration, and conversation over its own Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from types import FrameType
from typing import Any
from xml.parsers.expat import ExpatError

import msgspec
from supervisor.xmlrpc import SupervisorTransport

from torq_relays.transports.paths import check_socket_path
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance, Rank, ServiceSpec, using
from torq_services.instance.parent import signal_with_parent
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
_ANSWER_SECONDS = 15.0
"""More than a process has to stop, for which supervisord waits before it answers."""
_ORPHAN_SECONDS = 10.0
"""So long have services to end by themselves whose supervisord was killed; as with it, and more."""
_LOOK_SECONDS = 0.02
"""Each look makes supervisord notice who has ended; by itself it does once a second."""


class _AbsentError(TorqError):
    """No supervisord is there."""


class _EndingError(TorqError):
    """supervisord is stopping everything, and takes no orders."""


class _SilentError(TorqError):
    """supervisord is there, and does not answer."""


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
        with using(instance.supervisor_config):
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

    def run(self) -> None:
        """Run supervisord in the foreground until it ends; Ctrl-C and a closed terminal end it."""
        ends: list[int] = []
        started: list[subprocess.Popen[bytes]] = []

        def end(number: int, frame: FrameType | None) -> None:
            ends.append(number)
            for process in started:
                process.terminate()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        # In a session of its own: the terminal's signals come here, and go on as SIGTERM.
        started.append(
            subprocess.Popen(
                self.command(foreground=True), start_new_session=True, preexec_fn=signal_with_parent
            )
        )
        if ends:
            started[0].terminate()
        status = started[0].wait()
        self.end_orphans()
        self._sweep()
        if status and not ends:
            log = self._instance.logs / "supervisord.log"
            raise TorqError(f"supervisord ended with status {status}; see {log}")

    def is_up(self) -> bool:
        """Whether a supervisord answers for this instance.

        Raises :class:`TorqError` when one is there that does not answer.
        """
        if not self._instance.supervisor_socket.exists():
            return False
        try:
            self._call("getPID")
        except (_AbsentError, _EndingError) as answer:
            return isinstance(answer, _EndingError)
        return True

    def stop(self) -> bool:
        """Stop every process rank by rank, then supervisord; returns whether anything ran.

        A supervisord that does not answer is killed, and its services end with it.
        """
        runtime_dir = self._instance.runtime_dir
        if runtime_dir.exists() and not runtime_dir.is_dir():
            raise ConfigError(f"{runtime_dir} is not a directory; expected one that 'up' has made")
        pid = self._pid()
        number = signal.SIGTERM
        was_up = False
        try:
            was_up = self.is_up()
            if was_up:
                self._stop_all()
                self._call("shutdown")
        except _EndingError:  # somebody else has told it: what is left is to wait
            was_up = True
        except _AbsentError:  # it has ended meanwhile
            was_up = True
        except _SilentError:
            if pid is None:
                raise
            number = signal.SIGKILL
        if pid is not None:
            if not was_up or number is signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            self._wait_for_end(pid, asking=number is not signal.SIGKILL)
        had_orphans = self.end_orphans()
        self._sweep()
        return was_up or pid is not None or had_orphans

    def end_orphans(self) -> bool:
        """Wait for services whose supervisord is gone; returns whether there were any.

        The kernel has told them to end; those that do not are killed.
        """
        deadline = time.monotonic() + _ORPHAN_SECONDS
        found = False
        while orphans := self._orphans():
            found = True
            if time.monotonic() > deadline:
                for pid in orphans:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                if time.monotonic() > deadline + _STOP_SECONDS:
                    raise TorqError(f"processes {orphans} do not end; 'kill' them")
            time.sleep(_LOOK_SECONDS)
        return found

    def _orphans(self) -> list[int]:
        """Processes that a supervisord of this instance has started."""
        mark = b"SUPERVISOR_SERVER_URL=unix://" + os.fsencode(self._instance.supervisor_socket)
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    environment = (folder / "environ").read_bytes()
                except OSError:  # it has ended, or is somebody else's
                    continue
                if mark in environment.split(b"\0"):
                    found.append(int(folder.name))
        return found

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
        """How often supervisord started a process beyond the first time, by its own log.

        Its own: what an earlier supervisord has written before it does not count.
        """
        log = self._instance.logs / "supervisord.log"
        needle = f"spawned: '{name}'"
        try:
            text = log.read_text(errors="replace")
        except OSError:
            return 0
        starts = text[max(0, text.rfind("supervisord started with pid")) :].count(needle)
        return max(0, starts - 1)

    def _pid(self) -> int | None:
        """The pid of this instance's supervisord, if it is alive and really one."""
        try:
            pid = int(self._instance.supervisor_pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self._instance.supervisor_config) in command else None

    def _wait_for_end(self, pid: int, *, asking: bool = True) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            if time.monotonic() > deadline:
                raise TorqError(f"supervisord ({pid}) did not stop within {_STOP_SECONDS} s")
            if asking:  # then it notices at once that it has nothing left to do
                with contextlib.suppress(_SilentError):
                    self.is_up()
            time.sleep(_LOOK_SECONDS)

    def _sweep(self) -> None:
        """Remove what belongs to a running instance only; logs and data stay."""
        instance = self._instance
        sockets = [path for path in instance.runtime_dir.glob("*.sock*") if path.is_socket()]
        files = (instance.supervisor_pid, instance.supervisor_config, instance.config_path)
        for path in (*sockets, *files):
            if path.exists():
                with using(path):
                    path.unlink(missing_ok=True)

    def _absent(self) -> _AbsentError:
        return _AbsentError(
            f"no Torq instance answers in {self._instance.runtime_dir}; 'torq up' starts one"
        )

    def _call(self, method: str, *arguments: Any, ignore: str = "") -> Any:
        transport = _Transport(self._instance.supervisor_socket)
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if ignore and ignore in fault.faultString:
                return None
            if "SHUTDOWN_STATE" in fault.faultString:
                raise _EndingError(
                    f"Torq in {self._instance.runtime_dir} is being stopped; wait for it"
                ) from fault
            raise TorqError(f"supervisord refuses: {fault.faultString}") from fault
        except TimeoutError as error:
            raise _SilentError(
                f"supervisord in {self._instance.runtime_dir} has not answered for"
                f" {_ANSWER_SECONDS:g} s; 'torq down' ends it"
            ) from error
        except (ExpatError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            if isinstance(error, http.client.RemoteDisconnected):
                raise self._absent() from error
            raise TorqError(
                f"supervisord in {self._instance.runtime_dir} answers what is no answer ({error});"
                " 'torq down' and 'torq up' start it anew"
            ) from error
        except OSError as error:
            raise self._absent() from error
        finally:
            transport.close()


class _Connection(http.client.HTTPConnection):
    """To a Unix socket. It gives up when the other side is silent."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(SupervisorTransport):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        super().__init__(None, None, f"unix://{path}")
        self._get_connection = lambda: _Connection(path)


def _full_name(info: dict[str, Any]) -> str:
    return f"{info['group']}:{info['name']}"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
