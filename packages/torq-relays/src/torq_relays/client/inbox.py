"""What was read and not handed out yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from torq_codec import Message, walk_messages
from torq_relays.client.batch import Batch

__all__ = ["Inbox"]


class Inbox:
    """Hands out batches, or their messages one by one, and knows the position behind the last.

    Whoever stops in the middle of a batch finds the rest of it here the next time.
    """

    def __init__(self, position: int, log_id: int) -> None:
        self.position = position
        self.log_id = log_id
        """Of the log in which the position means something: it changes with what is handed out."""
        self._pending: deque[Batch] = deque()
        self._current: Batch | None = None
        self._messages: Iterator[Message] = iter(())

    def put(self, batches: Iterable[Batch]) -> None:
        """Take what was read, in order."""
        for batch in batches:
            if not self.log_id and batch.in_log:  # the first of all: here reading begins
                self.position, self.log_id = batch.start, batch.log_id
            self._pending.append(batch)

    @property
    def is_empty(self) -> bool:
        """Whether everything was handed out."""
        return self._current is None and not self._pending

    def reached(self, position: int, log_id: int) -> None:
        """Reading is at ``position`` and everything before it was handed out, or not wanted."""
        if self.is_empty:
            self.position, self.log_id = position, log_id

    def next_batch(self) -> Batch | None:
        """The next batch, or what is left of the current one."""
        batch, self._current = self._current, None
        if batch is not None:
            if not batch.in_log or self.position == batch.position:
                batch = None
            elif self.position > batch.start:
                rest = batch.messages[self.position - batch.start :]
                batch = Batch(rest, self.position, log_id=batch.log_id)
        if batch is None:
            if not self._pending:
                return None
            batch = self._pending.popleft()
        self.position, self.log_id = batch.position, batch.log_id
        return batch

    def messages(self) -> Iterator[Message]:
        """The messages of everything that is here."""
        while True:
            if self._current is None:
                if not self._pending:
                    return
                self._current = self._pending.popleft()
                self._messages = walk_messages(self._current.messages)
                self.position, self.log_id = self._current.start, self._current.log_id
            in_log = self._current.in_log
            for message in self._messages:
                if in_log:
                    self.position += len(message)
                yield message
            self._current = None

    def clear(self) -> None:
        """Forget everything."""
        self._pending.clear()
        self._current = None
