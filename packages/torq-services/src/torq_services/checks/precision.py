"""Finds float arithmetic on money: by the names of the values, in the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

__all__ = ["Finding", "check_paths", "check_source"]

_MONEY = frozenset(
    [
        "amount",
        "amounts",
        "ask",
        "asks",
        "balance",
        "bid",
        "bids",
        "cost",
        "costs",
        "fee",
        "fees",
        "gross",
        "mantissa",
        "net",
        "notional",
        "price",
        "prices",
        "proceeds",
        "profit",
        "profits",
        "qty",
        "quantities",
        "quantity",
        "reserve",
        "reserves",
        "wei",
    ]
)
_NOT_MONEY = frozenset(
    ["_name", "_text", "_pips", "_bps", "_exponent", "_factor", "_type", "_id", "_ids", "_count"]
)
_ALLOWED = "# not money:"


class Finding(msgspec.Struct, frozen=True):
    """One place where digits could be lost."""

    path: str
    line: int
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.why}; {self.instead}"


def check_paths(paths: Iterable[Path]) -> Iterator[Finding]:
    """Every finding in the Python files among and below ``paths``.

    Raises OSError for a path that cannot be read, and SyntaxError for a file that is no Python.
    """
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            yield from check_source(file.read_text(), str(file))


def check_source(source: str, path: str = "<source>") -> Iterator[Finding]:
    """Every finding in ``source``; a line with ``# not money: reason`` is left out."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source, path)):
        problem = _problem(node)
        if problem is not None:
            line: int = getattr(node, "lineno", 1)
            if _ALLOWED not in lines[line - 1]:
                yield Finding(path, line, *problem)


def _problem(node: ast.AST) -> tuple[str, str] | None:
    if isinstance(node, ast.Assign) and any(map(_is_money, node.targets)):
        return _float_value(node.value, "assigned")
    if isinstance(node, ast.AnnAssign) and _is_money(node.target):
        if _names_float(node.annotation):
            return "a money value is annotated float", "use int, Decimal64 or Fraction"
        return _float_value(node.value, "assigned") if node.value else None
    if isinstance(node, ast.arg) and _is_money_name(node.arg) and _names_float(node.annotation):
        return f"the argument {node.arg} is annotated float", "use int, Decimal64 or Fraction"
    if isinstance(node, ast.keyword) and node.arg and _is_money_name(node.arg):
        return _float_value(node.value, "passed")
    if isinstance(node, ast.BinOp):
        return _arithmetic(node)
    if isinstance(node, ast.AugAssign) and _is_money(node.target):
        if isinstance(node.op, ast.Div):
            return "true division of a money value", "use // on scaled integers"
        return _float_value(node.value, "added")
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(map(_has_money, sides)) and any(map(_is_float, sides)):
            return "a money value is compared with a float", "compare scaled integers"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        if node.func.id == "float" and _has_money(node.args[0]):
            return "float() of a money value", "keep the int, or use Decimal64"
        if node.func.id == "round" and _has_money(node.args[0]):
            return (
                "round() of a money value",
                "scale exactly, or divide with // in a named direction",
            )
    return None


def _arithmetic(node: ast.BinOp) -> tuple[str, str] | None:
    sides = (node.left, node.right)
    if not any(map(_has_money, sides)):
        return None
    if isinstance(node.op, ast.Div) and not any(map(_is_path_part, sides)):
        return "true division of a money value", "use // on scaled integers, or Fraction"
    if any(map(_is_float, sides)):
        return "arithmetic of a money value with a float", "use integers of a common scale"
    return None


def _float_value(value: ast.expr, verb: str) -> tuple[str, str] | None:
    if _is_float(value):
        return f"a float is {verb} to a money value", "use Decimal64.parse('...') or an integer"
    return None


def _is_float(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_float(node.operand)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "float"
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _names_float(annotation: ast.expr | None) -> bool:
    return annotation is not None and any(
        isinstance(part, ast.Name) and part.id == "float" for part in ast.walk(annotation)
    )


def _is_path_part(node: ast.expr) -> bool:
    """``folder / "prices"`` joins a path; it divides nothing."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _has_money(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _has_money(node.left) or _has_money(node.right)
    if isinstance(node, ast.UnaryOp):
        return _has_money(node.operand)
    if isinstance(node, ast.Call):
        return any(map(_has_money, node.args))
    return _is_money(node)


def _is_money(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return _is_money_name(node.id)
    if isinstance(node, ast.Attribute):
        return _is_money_name(node.attr)
    return isinstance(node, ast.Subscript) and _is_money(node.value)


def _is_money_name(name: str) -> bool:
    lowered = name.lower()
    if any(lowered.endswith(ending) for ending in _NOT_MONEY):
        return False
    return any(word in _MONEY for word in lowered.split("_"))
