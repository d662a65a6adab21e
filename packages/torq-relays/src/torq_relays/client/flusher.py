"""A thread that sends what a publisher collected and then left lying."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Flusher"]

_FIRST_SECONDS = 50e-6
_LONGEST_SECONDS = 1e-3


class Flusher:
    """Calls ``flush`` soon after :meth:`wake`, and again until it says that nothing is left.

    The thread begins with the first wake-up. It holds its owner weakly, so that an owner that is
    dropped takes it along.
    """

    def __init__(self, flush: Callable[[], bool]) -> None:
        """``flush`` is a bound method; it returns whether anything waits on."""
        self._flush = weakref.WeakMethod(flush)
        # Its put() is one step: a signal handler that raises leaves no lock of an Event's behind.
        self._awake: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to flush."""
        if self._thread is None:
            thread = threading.Thread(
                target=_run,
                args=(self._flush, self._awake),
                name="torq-publisher",
                daemon=True,
            )
            thread.start()
            self._thread = thread
        self._awake.put(True)

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        self._awake.put(False)

    def join(self) -> None:
        """End the thread."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None


def _run(reference: weakref.WeakMethod[Callable[[], bool]], awake: SimpleQueue[bool]) -> None:
    """Until False is in the queue, or the owner is gone."""
    while awake.get():
        pause = _FIRST_SECONDS
        while True:
            flush = reference()
            if flush is None:
                return
            waits_on = flush()
            del flush
            if not waits_on or not awake.empty():  # told something: perhaps to end
                break
            time.sleep(pause)
            # Each look takes the GIL from the sender: the longer it sends, the fewer.
            pause = min(2 * pause, _LONGEST_SECONDS)
