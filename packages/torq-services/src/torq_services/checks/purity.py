"""What a source text uses that the same arguments do not decide: clocks, chance, the outside world.

Only modules known to be pure are welcome; of some others single parts are. A module that nobody has
looked at is a finding: whoever needs one looks, and adds it to a list here. Names are followed
through imports, aliases and plain assignments; a set is known where it stands written.

Not found, and for readers to look at: a clock that comes in as an argument, a default, an
attribute, an element of a tuple or of a loop; one that is asked of an instance
(``moment.now()``) or called by its name as a text; a set that comes out of a variable or a call;
``__hash__()``, and the address in a default ``repr()``; ``timestamp()`` of a time without a zone;
what stands in ``numpy.empty``; what a pure module's objects do (``ndarray.tofile``,
``NormalDist().samples``); decimal's context, which others may change.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Final

import msgspec

__all__ = ["Impurity", "check_cython", "check_header", "check_python"]

_TIME: Final = "take now_ns as an argument"
_CHANCE: Final = "take the number, or a seeded random.Random, as an argument"
_WORLD: Final = "do it in processes/, and pass what comes of it"
_ORDER: Final = "it differs from run to run; use a value that does not"
_UNKNOWN: Final = "not known to be pure: do it elsewhere, or add it to checks/purity.py"

_PURE_MODULES: Final = frozenset({
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib",
    "copy", "dataclasses", "datetime", "decimal", "enum", "eth_abi", "eth_hash", "eth_typing",
    "fractions", "functools", "graphlib", "hashlib", "heapq", "hmac", "itertools", "json", "math",
    "msgspec", "numbers", "numpy", "operator", "re", "statistics", "string", "struct", "textwrap",
    "torq_amm", "torq_codec", "torq_types", "types", "typing", "typing_extensions", "unicodedata",
    "zlib",
})  # fmt: skip
_PURE_PARTS: Final = frozenset({
    "eth_utils.keccak", "http.HTTPStatus", "io.BytesIO", "io.SEEK_SET", "io.StringIO",
    "numpy.random.Generator", "os.PathLike", "os.fspath", "pathlib.PurePath",
    "pathlib.PurePosixPath", "random.Random", "sys.byteorder", "sys.maxsize", "sys.version_info",
    "torq_relays.CollectingSink", "torq_relays.MessageSink", "torq_services.execution",
    "torq_services.nodes", "torq_services.state", "torq_services.strategies", "urllib.parse",
    "uuid.NAMESPACE_URL", "uuid.UUID", "uuid.uuid5",
})  # fmt: skip
"""Of modules that are not pure as a whole."""
_IMPURE_PARTS: Final = {
    "datetime.date.today": _TIME,
    "datetime.datetime.now": _TIME,
    "datetime.datetime.today": _TIME,
    "datetime.datetime.utcnow": _TIME,
    "functools.RLock": _WORLD,
    "numpy.DataSource": _WORLD,
    "numpy.datetime64": _TIME,
    "numpy.fromfile": _WORLD,
    "numpy.genfromtxt": _WORLD,
    "numpy.lib": _WORLD,
    "numpy.load": _WORLD,
    "numpy.loadtxt": _WORLD,
    "numpy.memmap": _WORLD,
    "numpy.random": _CHANCE,
    "numpy.save": _WORLD,
    "numpy.savez": _WORLD,
    "numpy.savetxt": _WORLD,
    "numpy.savez_compressed": _WORLD,
}
"""Of modules that are."""
_BETTER: Final = {
    **dict.fromkeys(("sched", "time", "timeit"), _TIME),
    **dict.fromkeys(("random", "secrets", "uuid"), _CHANCE),
    **dict.fromkeys(
        ("asyncio", "io", "os", "pathlib", "select", "socket", "sys", "threading"), _WORLD
    ),
}
"""What to do instead, where it is not the same for all."""
_MODULES: Final = frozenset({*_BETTER, "builtins", "codecs"})
_BUILTINS: Final = {
    **dict.fromkeys(("__import__", "breakpoint", "eval", "exec", "input", "open", "print"), _WORLD),
    **dict.fromkeys(("hash", "id"), _ORDER),
}
_ORDERED: Final = "its order differs from run to run: sort it, or keep a dict's keys"
_SETS: Final = frozenset({"set", "frozenset"})
_TAKES_IN_ORDER: Final = frozenset({"enumerate", "iter", "list", "map", "reversed", "tuple", "zip"})
_PURE_CYTHON: Final = frozenset({"cpython", "cython"})
_PURE_C: Final = frozenset({"limits", "math", "stddef", "stdint", "string"})
"""Of ``libc``, and of the headers in angle brackets."""
_PURE_HEADERS: Final = re.compile(
    r"(?:std(?:atomic|bool|def|int)|limits|string|[a-z]+intrin|cpuid|arm_acle|Python|structmember)"
    r"\.h"
)
_OWN_HEADERS: Final = frozenset({"atomics.h", "crc32.h"})
"""They are looked at themselves."""


class Impurity(msgspec.Struct, frozen=True):
    """One use of something that is not pure."""

    path: str
    line: int
    name: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name} where a replay must be exact; {self.instead}"


def check_python(source: str, path: str = "<source>") -> Iterator[Impurity]:
    """Every finding in a Python text. Raises SyntaxError."""
    tree = ast.parse(source, path)
    finder = _Finder(_imported(tree))
    finder.visit(tree)
    for line, name, instead in finder.found:
        yield Impurity(path, line, name, instead)


def check_cython(source: str, path: str = "<source>") -> Iterator[Impurity]:
    """Every finding in a Cython text, by its words: what is imported, declared, called."""
    statement: list[str] = []
    line = 1
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        if token.type == tokenize.NEWLINE or token.string in (";", ":"):
            for name, instead in _cython_statement(statement):
                yield Impurity(path, line, name, instead)
            statement = []
            continue
        if not statement:
            line = token.start[0]
        if token.string == "(" and statement and statement[-1] in _BUILTINS and before != ".":
            yield Impurity(path, token.start[0], statement[-1], _BUILTINS[statement[-1]])
        before = statement[-1] if statement else ""
        statement.append(token.string)


def check_header(source: str, path: str = "<source>") -> Iterator[Impurity]:
    """Every finding in a C header: what it includes."""
    for number, text in enumerate(source.splitlines(), 1):
        match = re.match(r"\s*#\s*include\s*<([^>]+)>", text)
        if match is not None and not _PURE_HEADERS.fullmatch(match[1]):
            yield Impurity(path, number, match[1], _UNKNOWN)


def _verdict(dotted: str) -> tuple[str, str] | None:
    """What of a dotted name is impure, and what to do instead; None when nothing is."""
    parts = dotted.split(".")
    prefixes = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    if not _PURE_PARTS.isdisjoint(prefixes):
        return None
    for prefix in prefixes:
        if prefix in _IMPURE_PARTS:
            return prefix, _IMPURE_PARTS[prefix]
    if parts[0] in _PURE_MODULES:
        # Modules that a pure one uses are not part of it: json.codecs, collections._sys.
        names = {part.lstrip("_") for part in parts[1:-1]}
        used = names & _MODULES and not dotted.startswith("datetime.time.")
        return (dotted, _WORLD) if used else None
    return ".".join(parts[:2]), _BETTER.get(parts[0], _UNKNOWN)


def _has_pure_parts(module: str) -> bool:
    return any(part.startswith(f"{module}.") for part in _PURE_PARTS)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local names, and the full names of what stands behind them."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            behind = _dotted(node.value, names)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if behind is not None and isinstance(target, ast.Name):
                    names[target.id] = behind
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


class _Finder(ast.NodeVisitor):
    """Walks a tree with the names that each scope binds."""

    def __init__(self, names: dict[str, str]) -> None:
        self.found: list[tuple[int, str, str]] = []
        self._names = names
        self._scopes: list[frozenset[str]] = []
        self._functions: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if not _has_pure_parts(alias.name):
                self._judge(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level > 1:  # from the own folder it is looked at there
            name = "." * node.level + (node.module or "")
            self.found.append((node.lineno, name, "import it by its full name"))
        for alias in node.names if not node.level else ():
            if alias.name == "*" and not str(node.module).startswith("torq_"):
                self.found.append((node.lineno, f"{node.module}.*", "name what you import"))
            else:
                self._judge(node, f"{node.module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node, self._names)
        if dotted is None or self._is_bound(_first(node)):
            self.generic_visit(node)
        else:
            self._judge(node, dotted)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) or self._is_bound(node.id):
            return
        if node.id in self._names:
            if not _has_pure_parts(self._names[node.id]):
                self._judge(node, self._names[node.id])
        elif node.id in _BUILTINS and not (node.id == "hash" and "__hash__" in self._functions):
            self.found.append((node.lineno, node.id, _BUILTINS[node.id]))

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            given = len(node.args) + len(node.keywords)
            # Without a zone it is the machine's.
            if (node.func.attr, given) in {("fromtimestamp", 1), ("astimezone", 0)}:
                self.found.append((node.lineno, node.func.attr, "name a zone, such as UTC"))
            if node.func.attr == "pop" and not given:
                self._look_for_order(node.func.value)
            if node.func.attr == "join":
                self._look_for_order(*node.args)
        if self._is_builtin(node.func, _TAKES_IN_ORDER):
            self._look_for_order(*node.args)
        if _dotted(node.func, self._names) == "random.Random":
            seeds = [*node.args, *(keyword.value for keyword in node.keywords)]
            if not seeds or (isinstance(seeds[0], ast.Constant) and seeds[0].value is None):
                self.found.append((node.lineno, "random.Random()", _CHANCE))
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._look_for_order(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._look_for_order(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self._look_for_order(node.value)
        self.generic_visit(node)

    def _look_for_order(self, *taken: ast.expr) -> None:
        """What is taken one after the other is no set."""
        for node in taken:
            if self._is_set(node):
                self.found.append((node.lineno, "a set's order", _ORDERED))

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            return self._is_set(node.left) or self._is_set(node.right)
        is_call = isinstance(node, ast.Call) and self._is_builtin(node.func, _SETS)
        return is_call or isinstance(node, ast.Set | ast.SetComp)

    def _is_builtin(self, node: ast.expr, names: frozenset[str]) -> bool:
        return isinstance(node, ast.Name) and node.id in names and not self._is_bound(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in (*node.decorator_list, node.args, node.returns):
            if outside is not None:
                self.visit(outside)
        self._functions.append(node.name)
        self._in_scope(node, node.body)
        self._functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast gives the name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._in_scope(node, [node.body])

    def _in_scope(self, scope: ast.AST, body: list[ast.stmt] | list[ast.expr]) -> None:
        self._scopes.append(_bound(scope, self._names))
        for node in body:
            self.visit(node)
        self._scopes.pop()

    def _is_bound(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _judge(self, node: ast.AST, dotted: str) -> None:
        verdict = _verdict(dotted)
        if verdict is not None:
            self.found.append((getattr(node, "lineno", 1), *verdict))


def _first(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope; those of the functions within it are theirs."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _inside(node)


def _bound(scope: ast.AST, names: dict[str, str]) -> frozenset[str]:
    """Arguments, and what is assigned; but for other names of what was imported."""
    bound: set[str] = set()
    for node in _inside(scope):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign) and _dotted(node.value, names) is None:
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For | ast.NamedExpr):
            targets = [node.target]
        bound |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return frozenset(bound)


def _cython_statement(words: list[str]) -> Iterator[tuple[str, str]]:
    """What an import, or a declaration of C functions, brings in that is not pure."""
    if words[:3] == ["cdef", "extern", "from"]:
        header = words[3].strip("'\"<>") if len(words) > 3 else ""
        is_pure = _PURE_HEADERS.fullmatch(header) is not None or header in _OWN_HEADERS
        if words[3:4] != ["*"] and not is_pure:
            yield header, _UNKNOWN
        return
    if "import" not in words and "cimport" not in words:
        yield from _cython_attributes(words)
        return
    place = words.index("cimport" if "cimport" in words else "import")
    text = "".join(words[place + 1 :]).strip("()")
    imported = [name.split("as")[0] if " " in name else name for name in text.split(",") if name]
    if "from" in words[:place]:
        module = "".join(words[words.index("from") + 1 : place])
        imported = [f"{module}.{name}" for name in imported]
    for name in imported:
        top, _, rest = name.partition(".")
        if top in _PURE_CYTHON and not rest.startswith("time"):
            continue
        if top == "libc" and rest.partition(".")[0] in _PURE_C:
            continue
        verdict = _verdict(name)
        if verdict is not None and not (top == name and _has_pure_parts(name)):
            yield verdict


def _cython_attributes(words: list[str]) -> Iterator[tuple[str, str]]:
    """``numpy.random``, ``os.urandom``: impure parts by their last two words."""
    for first, dot, last in zip(words, words[1:], words[2:], strict=False):
        if dot == "." and (first, last) in {("np", "random"), ("numpy", "random"),
                                            ("datetime", "now"), ("os", "urandom")}:  # fmt: skip
            yield f"{first}.{last}", _UNKNOWN
