"""Unix sockets: who is on the other side is the kernel's word."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

from torq_relays.transports.paths import check_socket_path
from torq_types import TransportError

__all__ = ["OUT_OF_DESCRIPTORS", "connect", "listen", "peer_uid"]

OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept() fails with when this process, or the machine, has no room for one more."""

_SEND_BUFFER = 1 << 20
"""Bytes; the kernel grants what net.core.wmem_max allows."""
_LONGEST_SECONDS = 86_400.0
"""The kernel's own limit is not far above; infinite patience is a day's."""
_CREDENTIALS = struct.Struct("3i")


def listen(path: Path, backlog: int = 128) -> socket.socket:
    """A non-blocking listening socket at ``path``, mode 0600.

    A socket that a dead relay left behind is replaced; raises :class:`TransportError` when a
    living one answers there.
    """
    check_socket_path(path)
    if path.is_socket():
        if _answers(path):
            raise TransportError(f"a relay already listens on {path}; 'torq down' stops it")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise TransportError(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


def connect(path: Path, timeout: float) -> socket.socket:
    """A connected socket. Raises :class:`TransportError` naming the path and what to do."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise TransportError(f"cannot open a socket to {path}: {error.strerror}") from error
    try:
        # More under way between two processes means fewer changes from one to the other.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        connection.settimeout(min(timeout, _LONGEST_SECONDS))
        connection.connect(os.fspath(check_socket_path(path)))
    except OSError as error:
        connection.close()
        raise TransportError(
            f"no relay answers on {path} ({error.strerror or error}); is Torq up? try 'torq status'"
        ) from error
    return connection


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process on the other side."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


def _answers(path: Path) -> bool:
    try:
        connect(path, timeout=1).close()
    except TransportError:
        return False
    return True
