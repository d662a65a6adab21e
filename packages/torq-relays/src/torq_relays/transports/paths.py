"""Where a Torq instance keeps its sockets, logs and process files."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from torq_types import ConfigError, Domain

__all__ = ["MAX_SOCKET_PATH", "check_socket_path", "default_runtime_dir", "prepare", "socket_path"]

MAX_SOCKET_PATH = 107
"""Bytes in a Unix socket's path: the kernel's sun_path has 108, the last one is zero."""


def default_runtime_dir() -> Path:
    """``$XDG_RUNTIME_DIR/torq``, or without one a private folder per user."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        return Path(base) / "torq"
    return Path(tempfile.gettempdir()) / f"torq-{os.getuid()}"


def prepare(runtime_dir: Path) -> Path:
    """Create ``runtime_dir`` for this user alone (mode 0700) where it does not exist.

    Raises :class:`ConfigError` when it belongs to somebody else or others could write to it.
    """
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = runtime_dir.lstat()
    except OSError as error:
        raise ConfigError(
            f"cannot use {runtime_dir} as the runtime directory: {error.strerror};"
            " choose another with --runtime-dir"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{runtime_dir} is not a directory; choose another with --runtime-dir")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{runtime_dir} belongs to uid {found.st_uid}, not to you ({os.geteuid()});"
            " choose another with --runtime-dir"
        )
    if found.st_mode & 0o022:
        raise ConfigError(
            f"others may write to {runtime_dir}; run 'chmod go-w {runtime_dir}' or choose another"
            " with --runtime-dir"
        )
    return runtime_dir


def socket_path(domain: Domain, runtime_dir: Path | str | None = None) -> Path:
    """The socket of a domain's relay. Raises :class:`ConfigError` when the path is too long."""
    base = default_runtime_dir() if runtime_dir is None else Path(runtime_dir)
    return check_socket_path(base / f"{domain.slug}.sock")


def check_socket_path(path: Path) -> Path:
    """``path`` itself, if the kernel can use it for a socket."""
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH:
        raise ConfigError(
            f"the socket path {path} has {size} bytes; the kernel allows {MAX_SOCKET_PATH}:"
            " choose a shorter --runtime-dir"
        )
    return path
