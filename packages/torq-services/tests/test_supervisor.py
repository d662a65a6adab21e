"""What becomes of a supervisord that is silent, ends, or has ended; no instance is needed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from torq_services.cli import lifecycle
from torq_services.cli.options import instance_at
from torq_services.instance import supervisor as module
from torq_services.instance.config import sample
from torq_services.instance.folder import Instance
from torq_services.instance.lock import locked
from torq_services.instance.supervisor import Supervisor
from torq_types import ConfigError, TorqError


class _Handler(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False

    def log_message(self, *_: object) -> None:
        """Not on the tests' output."""


class _Server(ThreadingUnixStreamServer, SimpleXMLRPCDispatcher):
    daemon_threads = True
    logRequests = False  # noqa: N815 - xmlrpc gives the name

    def __init__(self, path: Path) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        ThreadingUnixStreamServer.__init__(self, str(path), _Handler)


@contextmanager
def answering(instance: Instance, **methods: Callable[..., Any]) -> Iterator[None]:
    """Somebody who answers in supervisord's place."""
    with _Server(instance.supervisor_socket) as server:
        for name, method in methods.items():
            server.register_function(method, f"supervisor.{name}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def saying(instance: Instance, answer: bytes) -> Iterator[None]:
    """Somebody who accepts connections and says ``answer``; nothing when it is empty."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(instance.supervisor_socket))
        listener.listen()
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


@contextmanager
def waiting(
    *arguments: str, heeding: bool = False, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is there until it is told to end."""
    ignore = "" if heeding else "signal.signal(15, signal.SIG_IGN); "
    program = f"import signal; {ignore}print(flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def unheard() -> None:
    """Told by none: nobody answers in these tests."""
    raise AssertionError


@contextmanager
def handlers_put_back() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_supervisord(instance: Instance) -> tuple[str, ...]:
    return "supervisor.supervisord", "-c", str(instance.supervisor_config)


def as_service(instance: Instance, module: str = "torq_services.processes") -> tuple[str, ...]:
    return "-m", module, "a", "--runtime-dir", str(instance.runtime_dir)


@pytest.fixture
def instance(runtime_dir: Path) -> Instance:
    """A folder as 'up' prepares it."""
    made = Instance(runtime_dir)
    made.prepare(sample(venue_port=1))
    made.supervisor_config.write_text("")
    return made


def test_a_supervisord_that_does_not_answer_is_told_of_and_down_ends_it(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.05)
    supervisor = Supervisor(instance)
    with saying(instance, b""):
        for look in (supervisor.is_up, supervisor.processes, supervisor.stop):
            with pytest.raises(
                TorqError, match=r"has not answered for 0.05 s; 'torq down' ends it"
            ):
                look()
        with waiting(*as_supervisord(instance)) as process:
            instance.supervisor_pid.write_text(str(process.pid))
            assert supervisor.stop()
            assert process.wait() == -signal.SIGKILL
    assert not instance.supervisor_config.exists()
    assert not instance.config_path.exists()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n<a>\x01</a>....",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n<a>",
        b"HTTP/1.0 500 No\r\n\r\n",
        b"none of it\r\n",
    ],
)
def test_an_answer_that_is_none_is_one_sentence(answer: bytes, instance: Instance) -> None:
    with saying(instance, answer), pytest.raises(TorqError, match="answers what is no answer"):
        Supervisor(instance).processes()


def test_who_comes_second_with_down_waits_for_the_first(instance: Instance) -> None:
    def refuse(*_: Any) -> int:
        raise Fault(6, "SHUTDOWN_STATE")

    with answering(instance, getPID=lambda: 1, stopProcessGroup=refuse):
        assert Supervisor(instance).stop()
        instance.prepare(sample(venue_port=1))
    with answering(instance, getPID=refuse, getAllProcessInfo=refuse):
        assert Supervisor(instance).is_up()
        with pytest.raises(TorqError, match="is being stopped; wait for it"):
            Supervisor(instance).processes()


def test_down_waits_for_services_whose_supervisord_was_killed(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ORPHAN_SECONDS", 0)
    server = f"unix://{instance.supervisor_socket}"
    with (
        waiting(*as_service(instance), SUPERVISOR_SERVER_URL=server) as service,
        waiting(*as_service(instance, "torq_web"), SUPERVISOR_SERVER_URL=server) as console,
        waiting(*as_service(instance), SUPERVISOR_SERVER_URL=server + "t") as other,
        waiting(*as_service(instance)) as by_hand,
        waiting(*as_service(instance), "more", SUPERVISOR_SERVER_URL=server) as longer,
        waiting(*as_service(instance, "torq_other"), SUPERVISOR_SERVER_URL=server) as foreign,
        waiting(SUPERVISOR_SERVER_URL=server) as shell,
    ):
        assert Supervisor(instance).stop()
        assert service.wait() == console.wait() == -signal.SIGKILL
        assert not any(p.poll() for p in (other, by_hand, longer, foreign, shell))
    assert not Supervisor(instance).stop()


def test_services_of_a_living_supervisord_are_no_orphans(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(instance)
    server = f"unix://{instance.supervisor_socket}"
    with waiting(*as_service(instance), SUPERVISOR_SERVER_URL=server) as service:
        assert supervisor._orphans() == [service.pid]
        with waiting(*as_supervisord(instance)) as process:
            parents = {service.pid: process.pid, process.pid: 1}
            monkeypatch.setattr(module, "_parent", lambda pid: parents.get(pid, 0))
            assert supervisor._orphans() == []
        assert supervisor._orphans() == [service.pid]
        monkeypatch.setattr("torq_services.instance.supervisor.os.getpid", lambda: 7)
        monkeypatch.setattr(module, "_parent", lambda pid: service.pid if pid == 7 else 0)
        assert supervisor._orphans() == [], "who asks was started by it"


@pytest.mark.parametrize("written", ["", "1", "x"])
def test_a_supervisord_is_found_without_its_pid_file_and_socket(
    written: str, instance: Instance
) -> None:
    if written:
        instance.supervisor_pid.write_text(written)
    supervisor = Supervisor(instance)
    assert supervisor.pid() is None
    other = (*as_supervisord(instance)[:2], f"{instance.supervisor_config}x")
    with (
        waiting(*as_supervisord(instance), heeding=True) as process,
        waiting(*other) as stranger,
    ):
        assert supervisor.pid() == process.pid
        with pytest.raises(TorqError, match="out of reach; 'torq down' stops it"):
            lifecycle.up(runtime_dir=instance.runtime_dir)
        assert supervisor.stop()
        assert process.wait() == -signal.SIGTERM
        assert stranger.poll() is None


def test_a_foreground_that_ends_late_leaves_a_later_supervisord_alone(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os, signal; os.kill(os.getppid(), signal.SIGHUP); signal.pause()"
    command = [sys.executable, "-c", program]
    monkeypatch.setattr(Supervisor, "command", lambda self, *, foreground: command)
    server = f"unix://{instance.supervisor_socket}"
    with (
        handlers_put_back(),
        waiting(*as_supervisord(instance)),
        waiting(*as_service(instance), SUPERVISOR_SERVER_URL=server) as service,
    ):
        Supervisor(instance).run(unheard)
        assert instance.supervisor_config.exists()
        assert service.poll() is None


def test_the_foreground_says_when_it_answers_and_clears_up_alone(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    monkeypatch.setattr(Supervisor, "command", lambda self, *, foreground: command)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0)
    with (
        handlers_put_back(),
        answering(instance, getPID=lambda: 1),
        locked(instance, create=True),
        pytest.raises(TorqError, match="is under way"),
    ):
        Supervisor(instance).run(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert instance.supervisor_config.exists()


def test_under_nohup_a_closed_terminal_is_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getppid(), 1); exit(3)"]
    monkeypatch.setattr(Supervisor, "command", lambda self, *, foreground: command)
    with handlers_put_back():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with pytest.raises(TorqError, match="ended with status 3"):
            Supervisor(instance).run(unheard)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_who_starts_or_stops_is_alone(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = instance.runtime_dir
    with locked(instance):
        assert not (folder / "up.lock").exists(), "nobody has started anything"
    monkeypatch.setattr(lifecycle, "WAIT_SECONDS", 0)
    with locked(instance, create=True):
        for order in (lifecycle.up, lifecycle.down):
            with pytest.raises(TorqError, match=f"is under way in {folder}; wait for it"):
                order(runtime_dir=folder)
    assert instance.config_path.exists()
    lifecycle.down(runtime_dir=folder)
    assert not instance.config_path.exists()
    lifecycle.down(runtime_dir=folder / "none")
    assert not (folder / "none").exists()


def test_down_waits_for_up(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as starting:
        starting.enter_context(locked(instance, create=True))
        looks = []

        def look(_: float) -> None:
            looks.append(instance.config_path.exists())
            starting.close()

        monkeypatch.setattr("torq_services.instance.lock.time.sleep", look)
        lifecycle.down(runtime_dir=instance.runtime_dir)
    assert looks == [True]
    assert not instance.config_path.exists()


def test_an_up_that_was_stopped_meanwhile_says_so(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_require_free", lambda port: None)
    monkeypatch.setattr(lifecycle, "_require_console", lambda: None)
    monkeypatch.setattr(Supervisor, "start", lambda self: None)

    def wait(instance: Instance) -> None:
        lifecycle.down(runtime_dir=runtime_dir)
        instance.config()

    monkeypatch.setattr(lifecycle, "_wait_until_healthy", wait)
    with pytest.raises(TorqError, match="was stopped while it started; 'torq up' starts it again"):
        lifecycle.up(runtime_dir=runtime_dir)


def test_an_instance_is_the_same_by_every_name(runtime_dir: Path) -> None:
    (runtime_dir / "real").mkdir()
    (runtime_dir / "link").symlink_to("real")
    for name in ("real", "link", "link/../real", "real/."):
        assert instance_at(runtime_dir / name).runtime_dir == runtime_dir.resolve() / "real"


def test_restarts_are_counted_from_this_supervisords_start(instance: Instance) -> None:
    log = instance.logs / "supervisord.log"
    supervisor = Supervisor(instance)
    assert supervisor._restarts("a") == 0
    spawned = "INFO spawned: 'a' with pid 3\nINFO spawned: 'b' with pid 4\n"
    log.write_text(f"INFO supervisord started with pid 1\n{spawned}{spawned}")
    assert supervisor._restarts("a") == 1
    with log.open("a") as file:
        file.write(f"INFO supervisord started with pid 2\n{spawned}")
    assert supervisor._restarts("a") == 0
    with log.open("a") as file:
        file.write(spawned)
    assert supervisor._restarts("b") == 1


def test_a_closed_terminal_ends_the_foreground_and_nothing_is_left(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os, signal; os.kill(os.getppid(), signal.SIGHUP); signal.pause()"
    command = [sys.executable, "-c", program]
    monkeypatch.setattr(Supervisor, "command", lambda self, *, foreground: command)
    with handlers_put_back():
        Supervisor(instance).run(unheard)
        assert not instance.supervisor_config.exists()
        assert not instance.config_path.exists()
        monkeypatch.setattr(
            Supervisor, "command", lambda self, *, foreground: [sys.executable, "-c", "exit(3)"]
        )
        with pytest.raises(TorqError, match="ended with status 3"):
            Supervisor(instance).run(unheard)


def test_what_stands_in_the_way_of_an_instances_files_is_named(runtime_dir: Path) -> None:
    for name in ("logs", "data"):
        (runtime_dir / name).write_text("")
        with pytest.raises(ConfigError, match=f"cannot use {runtime_dir / name}: File exists"):
            Instance(runtime_dir).prepare(sample(venue_port=1))
        (runtime_dir / name).unlink()
        (runtime_dir / name).mkdir()
    instance = Instance(runtime_dir)

    def write() -> None:
        instance.prepare(sample(venue_port=1))
        Supervisor(instance).write_config(sample())

    for path in (instance.config_path, instance.supervisor_config):
        path.mkdir()
        with pytest.raises(ConfigError, match=f"cannot use {path}: Is a directory"):
            write()
        with pytest.raises(ConfigError, match=f"cannot use {path}: Is a directory"):
            Supervisor(instance).stop()
        path.rmdir()
    (runtime_dir / "x.sock").mkdir()
    assert not Supervisor(instance).stop()
    with pytest.raises(ConfigError, match="is not a directory"):
        Supervisor(Instance(Path("/etc/passwd"))).stop()


def test_a_process_whose_supervisor_has_ended_ends_before_it_begins(instance: Instance) -> None:
    program = (
        "import ctypes; from torq_services.instance.parent import die_with_parent\n"
        "die_with_parent(); asked = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(asked))"
        "\nprint(asked.value)"
    )
    command = [sys.executable, "-c", program, str(instance.runtime_dir)]
    server = {"SUPERVISOR_SERVER_URL": f"unix://{instance.supervisor_socket}"}

    def status(environment: dict[str, str]) -> tuple[int, str]:
        """And the signal that it has asked for."""
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout.strip()

    instance.supervisor_pid.write_text("1")
    assert status({}) == (0, "0"), "by hand"
    assert status({"SUPERVISOR_SERVER_URL": "unix:///other/supervisor.sock"}) == (0, "0")
    assert status(server) == (1, "")
    instance.supervisor_pid.write_text(str(os.getpid()))
    assert status(server) == (0, "15")
    instance.supervisor_pid.unlink()
    assert status(server) == (0, "15")


def test_nothing_slow_is_imported_before_a_process_says_so() -> None:
    program = "import sys, torq_services.processes.__main__; print('structlog' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
