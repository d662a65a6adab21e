from __future__ import annotations

import errno
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import trade

from torq_codec import MessageBuilder, iter_messages
from torq_relays import DiskLog, RingLog, default_runtime_dir, prepare, socket_path
from torq_relays.log.disk import FsyncPolicy
from torq_relays.log.recovery import recover_ledger
from torq_types import ConfigError, Domain, LogError


def message(sequence: int, text: str = "") -> bytes:
    builder = MessageBuilder(Domain.MARKET_DATA, 1).add(trade(trade_id=text))
    return builder.build(sequence=sequence, timestamp_ns=1)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 4)), min_size=1, max_size=60))
def test_a_ring_holds_exactly_the_newest_whole_messages(appends: list[tuple[int, int]]) -> None:
    ring = RingLog(4096)
    everything = b""
    boundaries = {0}
    for length, repeat in appends:
        messages = b"".join(message(n + 1, "x" * length) for n in range(repeat))
        for _ in range(repeat):
            boundaries.add(len(everything) + len(messages) // repeat * (_ + 1))
        ring.append(messages)
        everything += messages
        assert ring.tail == len(everything)
        assert ring.head in boundaries
        assert ring.tail - ring.head <= 4096
        assert ring.head == 0 or any(
            ring.tail - earlier > 4096 for earlier in boundaries if earlier < ring.head
        )
        assert ring.read(ring.head, 1 << 20) == everything[ring.head :]
        first = ring.read_messages(ring.head, 8)
        assert sum(1 for _ in iter_messages(first)) == 1
    ring.close()


def test_a_ring_refuses_what_it_could_not_hold() -> None:
    with pytest.raises(LogError, match="4096"):
        RingLog(100)
    ring = RingLog(4096)
    with pytest.raises(LogError, match="does not fit"):
        ring.append(message(1) + message(2, "x" * 5000))
    ring.close()


def test_a_disk_log_rolls_its_segments_and_reads_across_them(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, segment_size=1000)
    everything = b""
    for number in range(1, 51):
        log.append(message(number))
        everything += message(number)
    log.sync()
    identity = log.log_id
    log.close()
    assert len(list(tmp_path.glob("*.torqlog"))) > 5
    log = DiskLog(tmp_path, segment_size=1000, fsync="always")
    assert (log.log_id, log.tail, log.bytes_cut) == (identity, len(everything), 0)
    log.append(message(51))
    log.sync()
    everything += message(51)
    position, found = 0, b""
    while position < log.tail:
        chunk = log.read_messages(position, 300)
        found += chunk
        position += len(chunk)
    assert found == everything
    log.close()


@pytest.mark.parametrize("damage", ["cut", "flip", "zeros"])
def test_a_torn_tail_is_cut_and_never_the_messages_before_it(tmp_path: Path, damage: str) -> None:
    log = DiskLog(tmp_path)
    log.append(message(1) + message(2))
    whole = log.tail
    log.append(message(3))
    log.close()
    path = next(tmp_path.glob("*.torqlog"))
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        del raw[-5:]
    elif damage == "flip":
        raw[-20] ^= 1
    else:
        raw[whole:] = bytes(len(raw) - whole)
    path.write_bytes(raw)
    log = DiskLog(tmp_path)
    assert log.tail == whole
    assert log.bytes_cut == len(raw) - whole
    assert path.stat().st_size == whole
    log.append(message(3))
    assert log.read_messages(0, 1 << 20) == message(1) + message(2) + message(3)
    log.close()


def test_a_full_disk_costs_the_append_and_nothing_before_it(tmp_path: Path) -> None:
    log = DiskLog(tmp_path)
    log.append(message(1))
    before = log.tail
    child = os.fork()
    if child == 0:  # the limit would hold for the rest of the test run
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (before + 20, before + 20))
        try:
            log.append(message(2))
        except LogError:
            os._exit(0 if log.tail == before else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.close()
    reopened = DiskLog(tmp_path)
    assert (reopened.tail, reopened.bytes_cut) == (before, 0)
    reopened.close()


def filled(folder: Path, **options: Any) -> DiskLog:
    """A log of some twenty small segments."""
    log = DiskLog(folder, segment_size=500, **options)
    for number in range(1, 81):
        log.append(message(number))
    return log


def test_retention_by_size_spares_what_a_reader_needs_up_to_twice_the_limit(
    tmp_path: Path,
) -> None:
    log = filled(tmp_path, keep_bytes=2000)
    everything = log.tail
    log.retain([0])
    assert everything - 4000 - 1000 < log.head <= everything - 4000 + 1000
    reader = log.head
    log.retain([reader])
    assert log.head == reader
    log.retain([reader + 600, log.tail])
    assert reader < log.head <= reader + 600
    log.retain([])
    assert everything - 3000 <= log.head <= everything - 2000
    assert log.gauge.head == log.head
    assert log.read(log.head, 4) == b"TORQ"
    bases = sorted(int(path.stem) for path in tmp_path.glob("*.torqlog"))
    assert bases[0] == log.head
    log.close()
    again = DiskLog(tmp_path, segment_size=500)
    assert (again.head, again.tail) == (bases[0], everything)
    again.close()


def test_retention_by_age(tmp_path: Path) -> None:
    now = [time.time_ns()]
    log = filled(tmp_path, keep_seconds=60, clock=lambda: now[0])
    log.retain([])
    assert log.head == 0
    now[0] += 61_000_000_000
    log.retain([])
    assert len(list(tmp_path.glob("*.torqlog"))) == 1
    log.close()


def test_without_limits_everything_is_kept(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.retain([])
    assert log.head == 0
    log.close()


def test_fsync_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def note(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    always = DiskLog(tmp_path / "always", fsync="always")
    always.append(message(1))
    assert (always.durable, synced) == (0, [])
    always.sync()
    assert always.durable == always.tail
    assert len(synced) == 1
    always.sync()
    assert len(synced) == 1
    never = DiskLog(tmp_path / "never", fsync="never")
    never.append(message(1))
    never.sync()
    assert (never.durable, len(synced)) == (never.tail, 1)
    now = [10**12]
    done = threading.Event()
    interval = DiskLog(
        tmp_path / "interval",
        fsync="interval",
        interval_ms=100,
        clock=lambda: now[0],
        on_durable=done.set,
    )
    interval.append(message(1))
    first = interval.tail
    interval.sync()
    assert done.wait(10)
    assert interval.durable == first
    interval.append(message(2))
    interval.sync()
    assert len(synced) == 2, "the interval is not over"
    done.clear()
    now[0] += 100_000_000
    interval.sync()
    assert done.wait(10)
    assert interval.durable == interval.tail
    for log in (always, never, interval):
        log.close()


@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_a_disk_that_refuses_to_sync_promises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: FsyncPolicy
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "the disk is dying")

    monkeypatch.setattr(os, "fdatasync", fail)
    log = DiskLog(tmp_path, fsync=fsync, interval_ms=0)
    log.append(message(1))

    def keep_syncing() -> None:
        for _ in range(1000):
            log.sync()
            time.sleep(0.001)

    with pytest.raises(LogError, match="dying"):
        keep_syncing()
    assert log.durable == 0
    log.close()


def test_a_folder_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot open"):
        DiskLog(tmp_path / "file")


def test_runtime_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert default_runtime_dir() == Path("/run/user/1/torq")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_runtime_dir().name == f"torq-{os.getuid()}"
    made = prepare(tmp_path / "new")
    assert oct(made.stat().st_mode)[-3:] == "700"
    made.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod"):
        prepare(made)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--runtime-dir"):
        prepare(tmp_path / "file")


def test_a_socket_path_past_the_kernels_limit_is_refused_by_name() -> None:
    base = "/tmp/" + "x" * (107 - len("/tmp//market-data.sock"))
    assert socket_path(Domain.MARKET_DATA, base)
    with pytest.raises(ConfigError, match="108 bytes; the kernel allows 107"):
        socket_path(Domain.MARKET_DATA, base + "x")


@pytest.mark.parametrize("damage", ["missing", "cut at a boundary", "cut in a header"])
def test_a_segment_in_the_middle_that_is_not_whole_is_an_error_that_says_where(
    tmp_path: Path, damage: str
) -> None:
    """Not an endless search for its rest, and no crash."""
    log = DiskLog(tmp_path / "log", segment_size=200)
    for number in range(1, 13):
        log.append(message(number))
    log.close()
    segments = sorted((tmp_path / "log").glob("*.torqlog"))
    assert len(segments) > 2
    size = len(message(1))
    if damage == "missing":
        segments[1].unlink()
    else:
        os.truncate(segments[1], size if damage == "cut at a boundary" else size + 10)
    again = DiskLog(tmp_path / "log", segment_size=200)
    with pytest.raises(LogError, match=r"a segment is missing, or was cut|ends in its header"):
        recover_ledger(again)
    again.close()


def test_a_disk_that_cannot_be_read_is_a_log_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DiskLog(tmp_path / "log")
    log.append(message(1))

    def broken(descriptor: int, size: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(LogError, match="Input/output error"):
        log.read_messages(0, 100)
    monkeypatch.undo()
    log.close()


def test_what_a_predecessor_wrote_is_durable_before_anything_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have died between writing and the disk."""
    log = DiskLog(tmp_path / "log", fsync="always")
    log.append(message(1))
    log.close()
    synced: list[int] = []
    original = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(descriptor)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    DiskLog(tmp_path / "log", fsync="always").close()
    opened = len(synced)
    synced.clear()
    DiskLog(tmp_path / "log", fsync="never").close()
    assert opened == len(synced) + 2  # the segment and the folder


def test_an_error_of_the_disk_s_own_thread_is_not_forgotten_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DiskLog(tmp_path / "log", fsync="interval", interval_ms=0)
    log.append(message(1))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    log.sync()
    assert log._syncing is not None
    with pytest.raises(OSError, match="Input/output error"):
        log._syncing.result(60)
    monkeypatch.undo()
    with pytest.raises(LogError, match="cannot make"):
        log.finish()
    assert log.durable == 0
    log.close()
