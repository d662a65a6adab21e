"""Finds what would make a replay differ: clocks, randomness and I/O where only arguments may be.

Nodes, strategies, execution and state, the rules and the data below them are told the time, and
open nothing; the same messages at the same times then give the same bytes. This looks at the syntax
tree: whatever name a forbidden thing is imported under, using it is a finding.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["EXCEPTIONS", "ROOMS", "Allowed", "Impurity", "check_rooms", "check_source"]

_SERVICES = "packages/torq-services/src/torq_services"
ROOMS: Final = (
    "packages/torq-types/src",
    "packages/torq-codec/src",
    "packages/torq-amm/src",
    f"{_SERVICES}/state",
    f"{_SERVICES}/strategies",
    f"{_SERVICES}/execution",
    f"{_SERVICES}/nodes",
)
"""Where everything is replayable, relative to the workspace's root."""


class Allowed(msgspec.Struct, frozen=True):
    """One forbidden thing that a file may use."""

    path: str
    """Relative to the workspace's root."""
    name: str
    """As a finding names it."""
    reason: str


EXCEPTIONS: Final[tuple[Allowed, ...]] = (
    Allowed(
        "packages/torq-codec/src/torq_codec/kernel/__init__.py",
        "os.environ",
        "TORQ_PURE_PYTHON picks the kernel once, at import; both give the same bytes",
    ),
    Allowed(
        "packages/torq-codec/src/torq_codec/kernel/_pure/streams.py",
        "mmap.mmap",
        "a type of the buffers that it is handed; nothing is mapped here",
    ),
)

_TIME: Final = "take now_ns as an argument"
_CHANCE: Final = "take the number, or a seeded random.Random, as an argument"
_WORLD: Final = "do it in processes/, and pass what comes of it"
_ORDER: Final = "it differs from run to run; use a value that does not"
_OUTSIDE: Final = (
    "aiohttp", "asyncio", "builtins", "bz2", "concurrent", "ctypes", "fcntl", "gzip", "http",
    "httpx", "importlib", "io", "lzma", "mmap", "multiprocessing", "os", "pathlib", "picows",
    "requests",
    "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys",
    "tempfile", "threading", "urllib", "uvloop", "web3", "websockets", "zipfile",
)  # fmt: skip
"""Modules that open things, start things or wait."""
_FORBIDDEN: Final = {
    "time": _TIME,
    "sched": _TIME,
    "datetime.datetime.now": _TIME,
    "datetime.datetime.today": _TIME,
    "datetime.datetime.utcnow": _TIME,
    "datetime.date.today": _TIME,
    "random": _CHANCE,
    "secrets": _CHANCE,
    "uuid": _CHANCE,
    "numpy.random": _CHANCE,
    "os.urandom": _CHANCE,
    "os.getrandom": _CHANCE,
    **dict.fromkeys(_OUTSIDE, _WORLD),
}
"""Modules whole, or single things of modules that are welcome otherwise; and what to do instead."""
_BUILTINS: Final = {
    "__import__": _WORLD,
    "input": _WORLD,
    "open": _WORLD,
    "print": _WORLD,
    "hash": _ORDER,
    "id": _ORDER,
}
_PURE: Final = frozenset({"io.BytesIO", "io.StringIO", "os.PathLike", "os.fspath", "sys.maxsize"})
_CYTHON_IMPORT: Final = re.compile(
    r"^\s*(?:c?import|from)\s+(?:libc\.|posix\.)?(time|random|secrets|uuid|unistd|stdio|fcntl)\b"
)


class Impurity(msgspec.Struct, frozen=True):
    """One use of a forbidden thing."""

    path: str
    line: int
    name: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name} where a replay must be exact; {self.instead}"


def check_rooms(root: Path) -> Iterator[str]:
    """Every finding below ``root``, and every exception that nothing needs any more."""
    wanted = {(allowed.path, allowed.name) for allowed in EXCEPTIONS}
    used: set[tuple[str, str]] = set()
    for room in ROOMS:
        folder = root / room
        if not folder.is_dir():
            yield f"{room}: no such folder; name the room that took its place in replayable.py"
        for file in sorted(folder.rglob("*.p*")):
            if file.suffix not in (".py", ".pyx", ".pxi", ".pxd"):
                continue
            path = str(file.relative_to(root))
            check = check_source if file.suffix == ".py" else _check_cython
            for finding in check(file.read_text(), path):
                if (path, finding.name) in wanted:
                    used.add((path, finding.name))
                else:
                    yield str(finding)
    for path, name in sorted(wanted - used):
        yield f"{path}: the exception for {name} is not needed any more; take it out"


def check_source(source: str, path: str = "<source>") -> Iterator[Impurity]:
    """Every finding in a Python file's text."""
    tree = ast.parse(source, path)
    names = _imported(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        line: int = getattr(node, "lineno", 1)
        for dotted in _uses(node, names, inner):
            found = _forbidden(dotted)
            if found is not None:
                yield Impurity(path, line, *found)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _BUILTINS:
            yield Impurity(path, line, node.id, _BUILTINS[node.id])


def _uses(node: ast.AST, names: dict[str, str], inner: set[int]) -> Iterable[str]:
    """The modules, and parts of them, that a node stands for, by their own names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if _is_whole(alias.name)]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    # The innermost name of a dotted one is part of it, and no use of its own.
    if isinstance(node, ast.Attribute) and id(node) not in inner:
        dotted = _dotted(node, names)
        return [] if dotted is None else [dotted]
    if isinstance(node, ast.Name) and id(node) not in inner and node.id in names:
        return [names[node.id]]
    return []


def _is_whole(module: str) -> bool:
    """Whether importing a module is a finding; one with welcome parts is judged by its uses."""
    return module not in {name.partition(".")[0] for name in _PURE}


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local names, and the full names of what was imported under them."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def _forbidden(dotted: str) -> tuple[str, str] | None:
    """The forbidden thing that ``dotted`` is or belongs to, by its longest name, and the remedy."""
    parts = dotted.split(".")
    if ".".join(parts[:2]) in _PURE:
        return None
    for count in range(len(parts), 0, -1):
        instead = _FORBIDDEN.get(".".join(parts[:count]))
        if instead is not None:
            return ".".join(parts[: max(count, min(2, len(parts)))]), instead
    return None


def _check_cython(source: str, path: str) -> Iterator[Impurity]:
    for number, line in enumerate(source.splitlines(), 1):
        match = _CYTHON_IMPORT.match(line)
        if match is not None:
            yield Impurity(path, number, match[1], _WORLD)
