from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import trade

from torq_codec import MessageBuilder, iter_messages
from torq_relays import DiskLog, RingLog, default_runtime_dir, prepare, socket_path
from torq_types import ConfigError, Domain, LogError


def message(sequence: int, text: str = "") -> bytes:
    builder = MessageBuilder(Domain.MARKET_DATA, 1).add(trade(trade_id=text))
    return builder.build(sequence=sequence, timestamp_ns=1)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 4)), min_size=1, max_size=60))
@settings(deadline=None)
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
