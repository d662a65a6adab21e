"""What the sampler of mutants changes, and what it leaves alone."""

from __future__ import annotations

import random

import msgspec
import pytest
from mutants import draw
from sample import ROOT, Equivalent, known_equivalents


def all_of(source: str) -> set[str]:
    """The changed lines of every mutant that many draws find."""
    return {
        mutant.after for seed in range(40) for mutant in draw(source, 1000, random.Random(seed))
    }


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("x = a + b", {"x = a - b"}),
        ("x = a // b", {"x = a * b", "x = (-(-(a) // b))"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = f(a, b, c)", {"x = f(b, a, c)"}),
        ("f(a)", {"..."}),
        ("x = a < b", {"x = a <= b"}),
        ("x = a == b", {"x = a != b"}),
        ("x = a and b", {"x = a or b"}),
        ("x = True", {"x = False"}),
        ("x = f(a=b)", set()),
        ("x = f(*a)", set()),
    ],
)
def test_each_change(line: str, after: set[str]) -> None:
    assert all_of(f"def g(a, b, c):\n    {line}\n    return x\n") == after


def test_numbers_and_branches() -> None:
    changed = all_of("def g(a):\n    if a > 3:\n        return 1\n    return 0\n")
    assert {"if a >= 3:", "if not a > 3:"} <= changed
    assert any("4" in line for line in changed)


@pytest.mark.parametrize(
    "source",
    [
        "def g(a: int | None) -> int | str:\n    return a\n",
        "WAIT_SECONDS = 90\n",
        "class A(Struct, frozen=True):\n    pass\n",
        "def g(a):\n    raise ValueError(f'{a + 1}')\n",
        "def g(a):\n    log.info('found', number=1)\n",
    ],
)
def test_what_does_nothing_is_left_alone(source: str) -> None:
    assert all_of(source) == set()


def test_a_mutant_knows_where_it_stands() -> None:
    source = "LIMIT = 7\n\n\ndef g(a):\n    return a + LIMIT\n"
    found = {mutant.line: mutant for mutant in draw(source, 10, random.Random(1))}
    assert set(found) == {1, 5}
    assert found[1].at_import
    assert not found[5].at_import
    assert (found[5].before, found[5].after) == ("return a + LIMIT", "return a - LIMIT")
    assert found[5].code == source.replace("a + LIMIT", "a - LIMIT")


def test_the_same_seed_draws_the_same() -> None:
    source = (ROOT / "packages/torq-types/src/torq_types/decimals.py").read_text()
    first, again = (draw(source, 8, random.Random("5 decimals")) for _ in range(2))
    assert first == again
    assert len(first) == 8


def test_every_equivalent_mutant_is_one_of_a_line_that_is_there() -> None:
    """A list that nobody keeps would hide what survives."""
    for each in known_equivalents():
        assert isinstance(each, Equivalent)
        text = (ROOT / each.module).read_text()
        lines = " ".join(line.strip() for line in text.splitlines())
        assert each.before in lines, msgspec.to_builtins(each)
        assert each.why
