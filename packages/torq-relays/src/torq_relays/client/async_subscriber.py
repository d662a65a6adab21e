"""The subscriber for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType

from torq_codec import Message
from torq_relays.client.asyncio_wire import AsyncWire
from torq_relays.client.batch import Batch
from torq_relays.client.subscribing import DESCRIPTORS, SubscriberCore, SubscriberFace
from torq_relays.client.subscribing_session import Start
from torq_types import TLV, Domain, InstrumentId, Role

__all__ = ["AsyncSubscriber"]


class AsyncSubscriber(SubscriberFace):
    """The asyncio twin of :class:`Subscriber`: ``async for`` over it, or over its batches."""

    def __init__(self, core: SubscriberCore) -> None:
        self._core = core
        self._wire = AsyncWire(core.link.path, descriptors=DESCRIPTORS)

    @classmethod
    async def connect(
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
    ) -> AsyncSubscriber:
        """Connect, and be at ``start``; see :meth:`Subscriber.connect`.

        There is no ``busy_poll``: polling would keep the event loop from everything else.
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
        )
        subscriber = cls(core)
        try:
            await subscriber._wire.perform(core.connect())
        except BaseException:  # cancelled, too: nobody else would close it
            await subscriber.close()
            raise
        return subscriber

    async def batches(self) -> AsyncIterator[Batch]:
        """Verified runs of messages, as they arrive, for ever."""
        core = self._core
        while not core.is_over:
            batch = core.inbox.next_batch()
            if batch is not None:
                yield batch
            else:
                await self._fetch()

    async def __aiter__(self) -> AsyncIterator[Message]:
        core = self._core
        while not core.is_over:
            for message in core.inbox.messages():
                yield message
            await self._fetch()

    async def close(self) -> None:
        """Leave; a task that waits for messages ends."""
        self._core.leave()
        self._wire.hang_up()
        self._core.let_go()

    def __del__(self) -> None:
        # A loop over what connect() returned leaves nobody else to close it.
        self._core.let_go()
        self._wire.hang_up()

    async def __aenter__(self) -> AsyncSubscriber:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _fetch(self) -> None:
        """Put what comes next into the inbox; may find nothing."""
        if self._core.read():
            await asyncio.sleep(0)  # others' turn: a busy log would never let go
        else:
            await self._wire.perform(self._core.wait())
