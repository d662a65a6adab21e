"""MessageSink: what a producer of messages knows of the relay behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torq_relays.client.async_publisher import AsyncPublisher
from torq_types import TLV, ProtocolError

__all__ = ["BatchingSink", "CollectingSink", "DirectSink", "MessageSink"]


class MessageSink(ABC):
    """Takes messages, one call each. Adapters and strategies write to nothing else."""

    @abstractmethod
    def send(self, *tlvs: TLV) -> None:
        """Take one message with ``tlvs``. Raises :class:`ProtocolError` for an illegal one."""

    @abstractmethod
    async def flush(self) -> None:
        """Wait until everything taken so far is where it goes."""


class DirectSink(MessageSink):
    """Every message goes to the publisher at once: the least delay."""

    def __init__(self, publisher: AsyncPublisher) -> None:
        self._publisher = publisher

    def send(self, *tlvs: TLV) -> None:
        """Send now."""
        self._publisher.send(*tlvs)

    async def flush(self) -> None:
        """Wait for the relay's acknowledgement."""
        await self._publisher.flush()


class BatchingSink(MessageSink):
    """Collects messages and passes them on together: fewer system calls under load.

    A message waits at most ``max_delay_ns``, as long as others keep coming or somebody calls
    :meth:`poll`; ``flush`` passes everything on at once.
    """

    def __init__(
        self,
        publisher: AsyncPublisher,
        clock: Callable[[], int],
        *,
        max_messages: int = 64,
        max_delay_ns: int = 1_000_000,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._max_messages = max_messages
        self._max_delay_ns = max_delay_ns
        self._waiting: list[tuple[TLV, ...]] = []
        self._oldest_ns = 0

    def send(self, *tlvs: TLV) -> None:
        """Take a message; pass the batch on when it is full or old."""
        if not self._waiting:
            self._oldest_ns = self._clock()
        self._waiting.append(tlvs)
        if len(self._waiting) >= self._max_messages:
            self._pass_on()
        else:
            self.poll()

    def poll(self) -> None:
        """Pass the batch on if its oldest message has waited long enough."""
        if self._waiting and self._clock() - self._oldest_ns >= self._max_delay_ns:
            self._pass_on()

    async def flush(self) -> None:
        """Pass everything on and wait for the relay's acknowledgement."""
        self._pass_on()
        await self._publisher.flush()

    def _pass_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._publisher.send_messages(waiting)
        except ProtocolError:  # one of them: it must not cost the others
            self._pass_on_one_by_one(waiting)
        except BaseException:  # nothing was taken: it waits on
            self._waiting = waiting + self._waiting
            raise

    def _pass_on_one_by_one(self, waiting: list[tuple[TLV, ...]]) -> None:
        """Leave out what is refused; raises the last refusal when all others are sent."""
        refused: ProtocolError | None = None
        for place, tlvs in enumerate(waiting):
            try:
                self._publisher.send(*tlvs)
            except ProtocolError as error:
                refused = error
            except BaseException:
                self._waiting = waiting[place:] + self._waiting
                raise
        if refused is not None:
            raise refused


class CollectingSink(MessageSink):
    """Keeps everything, for tests."""

    def __init__(self) -> None:
        self.messages: list[tuple[TLV, ...]] = []

    def send(self, *tlvs: TLV) -> None:
        """Keep the message."""
        self.messages.append(tlvs)

    async def flush(self) -> None:
        """Nothing to wait for."""

    @property
    def tlvs(self) -> list[TLV]:
        """Every TLV of every message, in order."""
        return [tlv for message in self.messages for tlv in message]
