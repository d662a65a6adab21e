"""The blocking subscriber."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from torq_codec import Message
from torq_relays.client.batch import Batch
from torq_relays.client.blocking_wire import BlockingWire
from torq_relays.client.subscribing import (
    DESCRIPTORS,
    SILENCE_SECONDS,
    SubscriberCore,
    SubscriberFace,
)
from torq_relays.client.subscribing_session import Start
from torq_types import TLV, Domain, InstrumentId, Role

__all__ = ["Subscriber"]


class Subscriber(SubscriberFace):
    """Reads a domain's messages from a position on; iterate over it, or over its batches.

    It reads the relay's log in place, so a slow subscriber costs nobody anything. A lost
    connection is taken up again at the position reached (``reconnects`` counts). Where messages
    are gone for good, a message with a :class:`torq_types.SequenceGap` stands in their place,
    whatever the filter. ``close()`` ends a loop in another thread.
    """

    def __init__(self, core: SubscriberCore) -> None:
        self._core = core
        self._wire = BlockingWire(core.link.path, SILENCE_SECONDS, descriptors=DESCRIPTORS)
        self._reading = threading.RLock()
        self._reader = 0
        """The thread that is reading."""

    @classmethod
    def connect(
        cls,
        domain: Domain,
        *,
        types: Iterable[type[TLV]] = (),
        instruments: Iterable[InstrumentId] = (),
        start: Start = "live",
        runtime_dir: Path | str | None = None,
        name: str = "subscriber",
        timeout: float = 10.0,
        role: Role = Role.SUBSCRIBER,
        mapped: bool = True,
        busy_poll: bool = False,
    ) -> Subscriber:
        """Connect, and be at ``start``: "live", "earliest", a position or a bookmark.

        ``types`` and ``instruments`` leave out messages without any of them; empty is all. Waits
        up to ``timeout`` seconds for the relay, now and after every lost connection.
        ``role=Role.MONITOR`` yields the relay's own SystemHealth once a second instead.
        ``mapped=False`` has the relay stream the messages over the socket. ``busy_poll`` never
        sleeps: the least delay, for a processor of its own. Raises :class:`TransportError`, or
        its subclass :class:`RefusedError` with the relay's reason.
        """
        core = SubscriberCore.of(
            domain,
            types=types,
            instruments=instruments,
            start=start,
            runtime_dir=runtime_dir,
            name=name,
            timeout=timeout,
            role=role,
            mapped=mapped,
            busy_poll=busy_poll,
        )
        subscriber = cls(core)
        subscriber._wire.perform(core.connect())
        return subscriber

    def batches(self) -> Iterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        core = self._core
        while not core.is_over:
            batch = core.inbox.next_batch()
            if batch is not None:
                yield batch
            else:
                self._fetch()

    def __iter__(self) -> Iterator[Message]:
        core = self._core
        while not core.is_over:
            yield from core.inbox.messages()
            self._fetch()

    def close(self) -> None:
        """Leave; a loop over it ends, in this thread and in others."""
        self._core.leave()
        self._wire.hang_up(wake=True)
        if self._reader == threading.get_ident():
            return  # a signal handler, in the middle of reading: that lets go of the log at its end
        with self._reading:  # until whoever reads in another thread has noticed
            self._core.let_go()

    def __del__(self) -> None:
        # A loop over Subscriber.connect(...) leaves nobody else to close it.
        self._core.let_go()
        self._wire.hang_up()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fetch(self) -> None:
        """Put what comes next into the inbox; may find nothing."""
        with self._reading:
            self._reader = threading.get_ident()
            try:
                if not self._core.read():
                    self._wire.perform(self._core.wait())
            finally:
                self._reader = 0
                if self._core.link.is_closed:
                    self._core.let_go()
