"""Log, relay and clients against a simple model: a list.

Every message is a Heartbeat of the same size, so the message at position p of a log is the
model's number p / size. Whatever publishers, readers, crashes, restarts and hostile bytes do, a
reader sees the list from where it began, without a hole or a repeat, or is told exactly what it
lost.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from relays import running_relay

from torq_codec import Message
from torq_relays import DiskLog, Log, Publisher, Relay, RingLog, Subscriber, socket_path
from torq_relays.wire.control import hello_message
from torq_types import Domain, GapCause, Heartbeat, Role, SequenceGap

SIZE = 56
SOURCES = (1, 2, 3)


class Reader(msgspec.Struct):
    """A subscriber, and the model's position of what it is to see next."""

    client: Subscriber
    position: int
    epoch: int
    mapped: bool


class RelayMachine(RuleBasedStateMachine):
    """Rules are what may happen; the model is ``self.epochs``."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="torq-t-"))
        self.epochs: list[list[tuple[int, int]]] = [[]]
        self.log_ids: list[int] = []
        """Of the ring of each epoch."""
        self.next_number = dict.fromkeys(SOURCES, 1)
        self.publishers: dict[int, Publisher] = {}
        self.readers: list[Reader] = []
        self.relay: Relay
        self.relay_life = ExitStack()
        self.domain = Domain.SIGNAL

    @property
    def log(self) -> list[tuple[int, int]]:
        return self.epochs[-1]

    @initialize(domain=st.sampled_from([Domain.SIGNAL, Domain.MARKET_DATA]))
    def begin(self, domain: Domain) -> None:
        self.domain = domain
        self.start_relay()

    def start_relay(self) -> None:
        log: Log
        if self.domain is Domain.SIGNAL:
            log = DiskLog(self.folder / "log", segment_size=40 * SIZE)
        else:
            log = RingLog(4096)
        self.relay = self.relay_life.enter_context(running_relay(self.domain, self.folder, log=log))
        if self.domain is Domain.MARKET_DATA:
            self.log_ids.append(log.log_id)

    @rule(source=st.sampled_from(SOURCES), count=st.integers(1, 40), one_by_one=st.booleans())
    def publish(self, source: int, count: int, one_by_one: bool) -> None:
        if source not in self.publishers:
            self.publishers[source] = Publisher.connect(
                self.domain, source=source, runtime_dir=self.folder
            )
        publisher = self.publishers[source]
        first = self.next_number[source]
        beats = [Heartbeat(number, source) for number in range(first, first + count)]
        if one_by_one:
            for beat in beats:
                publisher.send(beat)
        else:
            publisher.send_many(beats)
        publisher.flush()
        self.next_number[source] += count
        self.log.extend((source, beat.position) for beat in beats)

    @rule(source=st.sampled_from(SOURCES))
    def restart_publisher(self, source: int) -> None:
        if source in self.publishers:
            self.publishers.pop(source).close()

    @precondition(lambda self: len(self.readers) < 4)
    @rule(earliest=st.booleans(), mapped=st.booleans())
    def subscribe(self, earliest: bool, mapped: bool) -> None:
        client = Subscriber.connect(
            self.domain,
            start="earliest" if earliest else "live",
            runtime_dir=self.folder,
            mapped=mapped,
        )
        position = self.relay.log.head if earliest else len(self.log) * SIZE
        self.readers.append(Reader(client, position, len(self.epochs) - 1, mapped))
        assert client.position == position

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def read_some(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.read(reader, data.draw(st.integers(1, 60)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def crash_reader(self, data: st.DataObject) -> None:
        """It comes back with nothing but its bookmark."""
        reader = data.draw(st.sampled_from(self.readers))
        bookmark = reader.client.bookmark
        reader.client.close()
        reader.client = Subscriber.connect(
            self.domain, start=bookmark, runtime_dir=self.folder, mapped=reader.mapped
        )

    @rule(torn=st.binary(max_size=100))
    def crash_relay(self, torn: bytes) -> None:
        """Its memory is gone; half a message may stand at the end of its files."""
        self.relay_life.close()
        if self.domain is Domain.SIGNAL:
            last = max((self.folder / "log").glob("*.torqlog"))
            with last.open("ab") as file:
                file.write(torn)
        else:
            self.epochs.append([])
        self.start_relay()

    @rule(junk=st.binary(min_size=1, max_size=300), as_publisher=st.booleans())
    def hostile_client(self, junk: bytes, as_publisher: bool) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path(self.domain, self.folder)))
            if as_publisher:
                client.sendall(
                    hello_message(
                        self.domain, Role.PUBLISHER, source=9, session=1, next_sequence=1, name="x"
                    )
                )
            client.sendall(junk)

    def read(self, reader: Reader, most: int) -> None:
        """Read up to ``most`` messages, as many as the model says there are."""
        messages = iter(reader.client)
        while most and not self.is_done(reader):
            most -= 1
            self.check(reader, next(messages))
            assert reader.client.position == reader.position

    def is_done(self, reader: Reader) -> bool:
        if reader.epoch < len(self.epochs) - 1:
            return False  # at least the gap is to come
        return reader.position == len(self.log) * SIZE

    def check(self, reader: Reader, message: Message) -> None:
        gap = message.get(SequenceGap)
        if gap is None:
            expected = self.epochs[reader.epoch][reader.position // SIZE]
            beat = message[Heartbeat]
            assert (message.header.source, beat.position) == expected
            reader.position += SIZE
            return
        assert self.domain is Domain.MARKET_DATA, "a log on disk loses nothing"
        assert gap.from_position in (reader.position, gap.to_position)
        if gap.cause is GapCause.LAPPED:
            lost = gap.to_position - reader.position
            assert lost > 0
            assert len(self.epochs[reader.epoch]) * SIZE - reader.position > 4096 - SIZE
        elif gap.cause is GapCause.LOG_REPLACED:
            # Not always the newest: more relays may have come and gone meanwhile.
            found = self.log_ids.index(reader.client.bookmark.log_id)
            assert found > reader.epoch
            reader.epoch = found
        else:
            assert gap.cause is GapCause.SOURCE_HOLE
            return
        reader.position = gap.to_position
        assert reader.position % SIZE == 0

    @invariant()
    def the_relay_counts_no_fault_of_honest_publishers(self) -> None:
        if not hasattr(self, "relay"):
            return
        for source in SOURCES:
            counts = self.relay.ledger.counts.get(source)
            assert counts is None or (counts.holes, counts.repeats) == (0, 0)

    def teardown(self) -> None:
        try:
            if hasattr(self, "relay"):
                for reader in self.readers:
                    self.read(reader, 10_000)
        finally:
            for reader in self.readers:
                reader.client.close()
            for publisher in self.publishers.values():
                publisher.close()
            self.relay_life.close()
            shutil.rmtree(self.folder)


def test_relay_and_clients_agree_with_the_model() -> None:
    run_state_machine_as_test(
        RelayMachine,
        settings=settings(
            max_examples=400,
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
