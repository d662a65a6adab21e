"""All mutants of a source text, and which of them are no change at all."""

from __future__ import annotations

import ast
import random
import re
from collections import defaultdict
from typing import Any, Final

import msgspec
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from operators import OPERATORS, Position

__all__ = ["Mutant", "draw"]

_TUNING: Final = re.compile(
    r"^@lru_cache\(|^_?[A-Z0-9_]*(SECONDS|BYTES|MS|NS|PAUSE|ATTEMPTS)\b[^=]*="
)
"""A patience, a buffer or a cache that is one larger is no fault."""
_TALK: Final = re.compile(r"^\s*(_?log(ger)?\.|raise |f?\"|__all__|class )")
"""What is only said: log lines, the words of an error, what a class promises to type checkers."""


class Mutant(msgspec.Struct, frozen=True):
    """A source text with one change."""

    line: int
    """Where, from 1."""
    before: str
    after: str
    """The changed line or lines, stripped."""
    code: str
    at_import: bool
    """Whether it is executed when the module is imported, outside every function."""


def draw(source: str, count: int, chance: random.Random) -> list[Mutant]:
    """At most ``count`` mutants of ``source``: places by chance, then what to change there."""
    places: dict[Position, list[tuple[Any, int]]] = defaultdict(list)
    lines = source.splitlines()
    for operator in OPERATORS:
        occurrence = 0
        for node in ast_nodes(get_ast(source)):
            for position in operator.mutation_positions(node):
                line = lines[position[0][0] - 1]
                if not (_TUNING.match(line) or _TALK.match(line)):
                    places[position].append((operator, occurrence))
                occurrence += 1
    meaning = _meaning(source)
    inside = _lines_of_functions(source)
    found: list[Mutant] = []
    for position in chance.sample(sorted(places), len(places)):
        operator, occurrence = chance.choice(places[position])
        code = mutate_code(source, operator, occurrence)
        if code is not None and _meaning(code) not in (meaning, None):
            line_number = position[0][0]
            found.append(_mutant(line_number, lines, code, line_number not in inside))
        if len(found) == count:
            break
    return found


def _lines_of_functions(source: str) -> set[int]:
    return {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)
    }


def _mutant(line: int, lines: list[str], code: str, at_import: bool) -> Mutant:
    new = code.splitlines()
    last = 1  # the lines behind the change are equal
    while last < min(len(lines), len(new)) and lines[-last] == new[-last]:
        last += 1
    first = next(i for i in range(len(lines)) if i >= len(new) or lines[i] != new[i])
    before = lines[first : max(len(lines) - last + 1, first + 1)]
    after = new[first : max(len(new) - last + 1, first + 1)]
    return Mutant(line, _joined(before), _joined(after), code, at_import)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


class _Silence(ast.NodeTransformer):
    """Leaves out what does nothing when the code runs: annotations and what errors say."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("said")


def _meaning(code: str) -> str | None:
    """What ``code`` does, to compare; None when it is no code."""
    try:
        return ast.dump(_Silence().visit(ast.parse(code)))
    except SyntaxError:
        return None
