"""Whoever starts or stops an instance does it alone."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torq_services.instance.folder import Instance, using
from torq_types import TorqError

__all__ = ["WAIT_SECONDS", "locked"]

WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.05


@contextmanager
def locked(instance: Instance, *, seconds: float = 0.0, create: bool = False) -> Iterator[None]:
    """Alone with ``instance``, after waiting for up to ``seconds``.

    Unless it may ``create`` the lock, nobody has started anything where there is none.
    """
    path = instance.runtime_dir / "up.lock"
    with using(path):
        try:
            opened = path.open("a" if create else "r+")
        except (FileNotFoundError, NotADirectoryError):
            if create:
                raise
            opened = None
    if opened is None:
        yield
        return
    with opened as lock:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TorqError(
                        f"another 'torq up' or 'torq down' is under way in {instance.runtime_dir};"
                        " wait for it"
                    ) from None
            time.sleep(_LOOK_SECONDS)
        yield
