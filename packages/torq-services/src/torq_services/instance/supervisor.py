"""Processes under supervisord: its configuration, and conversation over its own Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from xml.parsers.expat import ExpatError

import msgspec
from supervisor.xmlrpc import SupervisorTransport

from torq_relays.transports.paths import check_socket_path
from torq_services.instance.config import Config
from torq_services.instance.folder import Instance, Rank, ServiceSpec, using
from torq_services.instance.lock import WAIT_SECONDS, locked
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
_MODULES = (b"torq_services.processes", b"torq_web")
"""What services are; each is told its folder at the end of its command."""
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
            if done.returncode or self.pid() is None or time.monotonic() > deadline:
                detail = (done.stderr or done.stdout).strip() or f"see {log}"
                raise TorqError(f"supervisord did not start: {detail}")
            time.sleep(0.05)

    def run(self, when_up: Callable[[], None]) -> None:
        """Run supervisord in the foreground until it ends; Ctrl-C and a closed terminal end it.

        ``when_up`` is called when it answers, and not at all when it ends before.
        """
        ends: list[int] = []
        started: list[subprocess.Popen[bytes]] = []

        def end(number: int, frame: FrameType | None) -> None:
            ends.append(number)
            for process in started:
                process.terminate()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, end)
        # In a session of its own: the terminal's signals come here, and go on as SIGTERM.
        started.append(
            subprocess.Popen(
                self.command(foreground=True), start_new_session=True, preexec_fn=signal_with_parent
            )
        )
        if ends:
            started[0].terminate()
        if self._answers_before_the_end_of(started[0]):
            when_up()
            status = started[0].wait()
            with locked(self._instance, seconds=WAIT_SECONDS):
                self._clear()
        else:
            status = started[0].wait()
            self._clear()
        if status and not ends:
            log = self._instance.logs / "supervisord.log"
            raise TorqError(f"supervisord ended with status {status}; see {log}")

    def _answers_before_the_end_of(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None:
            try:
                if self.is_up() or time.monotonic() > deadline:
                    return True
            except _SilentError:  # it has a socket, and is as slow as it is
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _clear(self) -> None:
        """What this supervisord left behind; what is there of a later one is that one's."""
        if self.pid() is None:
            self.end_orphans()
            self._sweep()

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

    def is_stopping(self) -> bool:
        """Whether there is no supervisord any more, or one that is stopping everything."""
        try:
            self._call("getAllProcessInfo")
        except (_AbsentError, _EndingError):
            return True
        return False

    def stop(self) -> bool:
        """Stop every process rank by rank, then supervisord; returns whether anything ran.

        A supervisord that does not answer is killed, and its services end with it.
        """
        runtime_dir = self._instance.runtime_dir
        if runtime_dir.exists() and not runtime_dir.is_dir():
            raise ConfigError(f"{runtime_dir} is not a directory; expected one that 'up' has made")
        pid = self.pid()
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
        """Services that a supervisord of this instance has started, and that have none now."""
        mark = b"SUPERVISOR_SERVER_URL=unix://" + os.fsencode(self._instance.supervisor_socket)
        kept = {os.getpid(), *_ancestors(os.getpid())}
        processes = dict(_processes())
        supervisors = {pid for pid, command in processes.items() if self._is_supervisor(command)}
        found = []
        for pid, command in processes.items():
            if pid in kept or not self._is_service(command) or _parent(pid) in supervisors:
                continue
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            if mark in environment.split(b"\0"):
                found.append(pid)
        return found

    def _is_service(self, command: list[bytes]) -> bool:
        is_ours = any(
            option == b"-m" and module in _MODULES for option, module in itertools.pairwise(command)
        )
        return is_ours and command[-2:] == [
            b"--runtime-dir",
            os.fsencode(self._instance.runtime_dir),
        ]

    def _is_supervisor(self, command: list[bytes]) -> bool:
        wanted = [b"supervisor.supervisord", b"-c", os.fsencode(self._instance.supervisor_config)]
        return any(command[at : at + 3] == wanted for at in range(len(command)))

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

    def pid(self) -> int | None:
        """The pid of this instance's supervisord, if it lives; its pid file may be lost."""
        try:
            pid = int(self._instance.supervisor_pid.read_text())
        except (OSError, ValueError):
            pid = 0
        if self._is_supervisor(_command(pid)):
            return pid
        found = {pid for pid, command in _processes() if self._is_supervisor(command)}
        # A child looks like its parent until it is a program of its own.
        return min((pid for pid in found if _parent(pid) not in found), default=None)

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


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Every process's pid and command."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            yield int(folder.name), _command(int(folder.name))


def _command(pid: int) -> list[bytes]:
    """Nothing of a process that is over."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def _ancestors(pid: int) -> Iterator[int]:
    while pid := _parent(pid):
        yield pid


def _parent(pid: int) -> int:
    """0 when there is none."""
    state = _state(pid)
    return int(state[1]) if state else 0


def _is_zombie(pid: int) -> bool:
    return _state(pid)[:1] in ([], ["Z"])


def _state(pid: int) -> list[str]:
    """What /proc says behind the command's name; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
