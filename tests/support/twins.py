"""Both kinds of clients behind one face, for tests that hold for each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from torq_codec import Message, MessageBuilder
from torq_relays import (
    AsyncPublisher,
    AsyncSubscriber,
    Publisher,
    Subscriber,
)
from torq_types import (
    Domain,
    SignalIdentity,
)

SIGNAL = Domain.SIGNAL


class Blocking:
    """Calls the blocking twins."""

    def publisher(self, **how: Any) -> Any:
        return Publisher.connect(SIGNAL, **how)

    def subscriber(self, **how: Any) -> Any:
        return Subscriber.connect(SIGNAL, **how)

    def call(self, method: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        return method(*arguments, **how)

    def read(self, subscriber: Subscriber, count: int) -> list[Message]:
        messages: list[Message] = []
        for message in subscriber:
            messages.append(message)
            if len(messages) == count:
                break
        return messages


class Asynchronous:
    """Calls the asyncio twins, in an event loop of another thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop(self) -> None:
        async def others_end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            assert not tasks, tasks  # a client that was closed leaves no task behind

        try:
            self.run(others_end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def publisher(self, **how: Any) -> Any:
        return self.run(AsyncPublisher.connect(SIGNAL, **how))

    def subscriber(self, **how: Any) -> Any:
        return self.run(AsyncSubscriber.connect(SIGNAL, **how))

    def call(self, method: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        async def work() -> Any:
            result = method(*arguments, **how)
            return await result if asyncio.iscoroutine(result) else result

        return self.run(work())

    def read(self, subscriber: AsyncSubscriber, count: int) -> list[Message]:
        async def work() -> list[Message]:
            messages: list[Message] = []
            async for message in subscriber:
                messages.append(message)
                if len(messages) == count:
                    break
            return messages

        messages: list[Message] = self.run(work())
        return messages


Twins = Blocking | Asynchronous


def identity(number: int) -> SignalIdentity:
    return SignalIdentity(number, "", "")


def built(source: int, first: int, count: int) -> bytes:
    builder = MessageBuilder(SIGNAL, source)
    messages = b""
    for number in range(first, first + count):
        message = builder.add(identity(number)).build(sequence=number, timestamp_ns=time.time_ns())
        messages += message
    return messages


def numbers(messages: list[Message]) -> list[int]:
    return [message[SignalIdentity].strategy_id for message in messages]
