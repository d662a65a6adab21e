"""A place in a log that outlives its reader."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from torq_types import ConfigError

__all__ = ["Bookmark"]

_TEXT = re.compile(r"([0-9]{1,20}):([0-9]{1,20})", re.ASCII)


class Bookmark(msgspec.Struct, frozen=True):
    """A position, and the log in which it means something.

    Store :attr:`Subscriber.bookmark` together with the effects of what was read, and pass it as
    ``start`` to go on exactly there. In a log that has replaced the old one (a ring whose relay
    restarted) reading begins at its oldest message, after a ``SequenceGap``.
    """

    log_id: int
    position: int

    def __str__(self) -> str:
        return f"{self.log_id}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """Read what ``str`` wrote. Raises :class:`ConfigError`."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"found {text[:80]!r}; expected a bookmark such as '815:4096'")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def load(cls, path: Path) -> Bookmark | None:
        """The bookmark in a file, or None when there is no file. Raises :class:`ConfigError`."""
        try:
            return cls.parse(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the bookmark {path}: {error}") from error

    def save(self, path: Path) -> None:
        """Put the bookmark in a file: after a crash it holds this one or the one before."""
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("w") as file:
            file.write(f"{self}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
