from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from torq_services.checks import replayable
from torq_services.checks.docs import broken_links
from torq_services.checks.precision import check_source
from torq_services.checks.purity import check_cython, check_header, check_python

SCRIPT = ROOT / "scripts" / "lib" / "python" / "detect_precision_violations.py"


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("price = 1.5", "assigned"),
        ("self.best_bid = -0.5", "assigned"),
        ("fees: float = 0", "annotated float"),
        ("fees: float | None = None", "annotated float"),
        ("fee: int = 0.1", "assigned"),
        ("def f(price: float): ...", "argument price"),
        ("f(amount=0.1)", "passed"),
        ("x = price / 2", "true division"),
        ("x = (gross - fees) / cost", "true division"),
        ("total_cost /= 2", "true division"),
        ("quantity += 0.5", "added"),
        ("x = order.quantity * 1.01", "arithmetic"),
        ("x = float(price)", "float()"),
        ("x = round(level.price, 2)", "round()"),
        ("if spread_price > 0.5: pass", "compared"),
        ("amount = float(text)", "assigned"),
        ("prices[0] = 1.5", "assigned"),
    ],
)
def test_floats_near_money_are_found(source: str, word: str) -> None:
    findings = list(check_source(f"\n{source}\n", "money.py"))
    assert len(findings) >= 1
    assert str(findings[0]).startswith("money.py:2: ")
    assert word in findings[0].why
    assert findings[0].instead


@pytest.mark.parametrize(
    "source",
    [
        "price = 1",
        "delay = 1.5",
        "x = seconds / 2",
        "x = price // 2",
        "x = price * 3",
        "path = folder / 'prices'",
        "fee_pips = 1 / 2",
        "x = price / 2  # not money: a test's own joke",
        "price_text = '1.5'",
        "amount = Decimal64.parse('1.5')",
    ],
)
def test_what_is_no_float_or_no_money_is_left_alone(source: str) -> None:
    assert list(check_source(source)) == []


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def test_the_script(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("price = 1\n")
    bad.write_text("x = 1\nprice = 1.5\n")
    assert run(str(good)).returncode == 0
    found = run(str(tmp_path))
    assert found.returncode == 1
    assert found.stdout.startswith(f"{bad}:2: ")
    assert run().returncode == 2
    bad.write_text("def")
    for broken in (str(bad), str(tmp_path / "none.py")):
        result = run(broken)
        assert result.returncode == 2
        assert "cannot check" in result.stderr
        assert "Traceback" not in result.stderr


def test_links(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# One Two\n[x](b.md) [y](b.md#there) [z](#one-two) [u](https://example.org)\n"
        "```\n[code](none.md)\n```\n"
    )
    (tmp_path / "b.md").write_text("## There\n")
    assert list(broken_links(tmp_path)) == []
    (tmp_path / "b.md").write_text("[a](a.md#nope) [b](gone.md)\n")
    assert len(list(broken_links(tmp_path))) == 3


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time", "time"),
        ("import time as clock", "time"),
        ("from time import monotonic_ns", "time.monotonic_ns"),
        ("from time import *", "time.*"),
        ("from datetime import *", "datetime.*"),
        ("from datetime import datetime\nd = datetime\nd.now()", "datetime.datetime.now"),
        ("from datetime import datetime\ndatetime.fromtimestamp(1)", "fromtimestamp"),
        ("import random\nrandom.Random()", "random.Random()"),
        ("import logging", "logging"),
        ("import structlog", "structlog"),
        ("import polars", "polars"),
        ("from timeit import default_timer", "timeit.default_timer"),
        ("from eth_account import Account", "eth_account.Account"),
        ("import numpy as np\nnp.load('x')", "numpy.load"),
        ("from torq_relays import Publisher", "torq_relays.Publisher"),
        ("from torq_services.adapters import Feed", "torq_services.adapters"),
        ("def f():\n    breakpoint()", "breakpoint"),
        ("eval('1')", "eval"),
        ("def f():\n    import random\n    random.random()", "random.random"),
        ("from secrets import token_bytes as more", "secrets.token_bytes"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("import os\nos.urandom(8)", "os.urandom"),
        ("import os as o\nnext_byte = o.urandom", "os.urandom"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime as d\nd.now()", "datetime.datetime.now"),
        ("from datetime import datetime, UTC\nclock = datetime.now", "datetime.datetime.now"),
        ("import datetime as d\nd.date.today()", "datetime.date.today"),
        ("import numpy as np\nnp.random.default_rng()", "numpy.random"),
        ("from numpy.random import default_rng", "numpy.random"),
        ("import asyncio", "asyncio"),
        ("from asyncio import sleep", "asyncio.sleep"),
        ("import lzma", "lzma"),
        ("from pathlib import Path", "pathlib.Path"),
        ("open('prices')", "open"),
        ("print(1)", "print"),
        ("__import__('time')", "__import__"),
        ("import importlib", "importlib"),
        ("import sys\nsys.stdin.read()", "sys.stdin"),
        ("sorted(pools, key=hash)", "hash"),
        ("first = min(map(id, pools))", "id"),
        ("for x in {a, b}: f(x)", "a set's order"),
        ("def f(xs): return list(set(xs))", "a set's order"),
        ("def f(xs): return set(xs).pop()", "a set's order"),
        ("def f(xs): return next(iter(frozenset(xs)))", "a set's order"),
        ("def f(xs, ys): return [x for x in set(xs) - ys]", "a set's order"),
        ("def f(xs): return [*{x.name for x in xs}]", "a set's order"),
        ("def f(xs): return ','.join(set(xs))", "a set's order"),
        ("import numpy as np\nnp.datetime64('now')", "numpy.datetime64"),
        ("import numpy as np\nnp.savez_compressed('x', a)", "numpy.savez_compressed"),
        ("from ..observability.health import time", "..observability.health"),
        ("from ... import processes", "..."),
        ("import time as t\ndef g(x, key=lambda t: 0): return t.time()", "time"),
        (
            "from datetime import datetime as d\ndef f():\n    def g(d): ...\n    return d.now()",
            "datetime.datetime.now",
        ),
        ("def f(p):\n    g = lambda open: 0\n    return open(p)", "open"),
        ("def f(p):\n    def g():\n        open = 1\n    return open(p)", "open"),
        ("f = lambda x=open: x", "open"),
        ("import random\nrandom.Random(None)", "random.Random()"),
        ("import random\nrandom.Random(seed=None)", "random.Random()"),
        ("import json\njson.codecs.open('x')", "json.codecs.open"),
        ("import collections\ncollections._sys.argv", "collections._sys.argv"),
        (
            "from datetime import datetime\nclock: type = datetime\nclock.now()",
            "datetime.datetime.now",
        ),
    ],
)
def test_what_a_replay_cannot_repeat_is_found(source: str, name: str) -> None:
    found = list(check_python(source))
    assert name in [finding.name for finding in found], found
    assert f"<source>:{found[-1].line}: " in str(found[-1])


@pytest.mark.parametrize(
    "source",
    [
        "def on_time(self, now_ns): self.time = now_ns",
        "message.time.now()",
        "signal.open_ns + order.id",
        "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)",
        "import os\ndef f(path: os.PathLike[str]): ...",
        "import random\ndef f(chance: random.Random): return chance.random()",
        "import random\nchance = random.Random(7)",
        "import random\nchance = random.Random(x=7)",
        "def f(xs): return sorted(set(xs)), len({*xs}), max(frozenset(xs))",
        "def f(xs, set): return list(set(xs))",
        "def f(stack): return stack.pop()",
        "import datetime\ndatetime.time.min",
        "def f(open):\n    def g(): return open\n    return g",
        "def f(candle):\n    open, high, low, close = candle\n    return close - open",
        "def f(id: int) -> int:\n    return id + 1",
        "def f(block):\n    hash = block.hash\n    return hash",
        "class A:\n    def __hash__(self) -> int:\n        return hash((1, 2))",
        "import sys\nlimit = sys.maxsize",
        "from urllib.parse import urlsplit",
        "from .time import something",
        "import math, itertools, fractions, struct, bisect",
        "from torq_relays import MessageSink",
    ],
)
def test_what_a_replay_repeats_is_not(source: str) -> None:
    assert not list(check_python(source))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from libc cimport time", "libc.time"),
        ("from libc.time cimport time", "libc.time"),
        ("from libc.stdlib cimport rand", "libc.stdlib"),
        ("from posix.time cimport clock_gettime", "posix.time"),
        ("from posix cimport unistd", "posix.unistd"),
        ("from cpython.time cimport time", "cpython.time"),
        ('cdef extern from "time.h":\n    int clock()', "time.h"),
        ("import struct, time", "time"),
        ("import struct; import time", "time"),
        ("if True: import time", "time"),
        ("import asyncio", "asyncio"),
        ("import numpy as np\ndef f():\n    return np.random.rand()", "np.random"),
        ("from datetime import datetime\ndef f():\n    return datetime.now()", "datetime.now"),
        ("def f(x):\n    return open(x)", "open"),
        ("def f(x):\n    return hash(x)", "hash"),
    ],
)
def test_what_a_replay_cannot_repeat_is_found_in_cython(source: str, name: str) -> None:
    assert name in [finding.name for finding in check_cython(source + "\n")]


def test_cython_that_only_speaks_of_time_is_sound() -> None:
    source = '''"""Emptied
from time to time.
"""
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_GET_SIZE
cdef extern from "crc32.h":
    int crc(int x)
cdef int f(object book):  # import time
    return book.open()
'''
    assert not list(check_cython(source))


def test_c_headers_are_looked_at_too() -> None:
    found = list(check_header("#include <stdint.h>\n#include <time.h>\n"))
    assert [(finding.line, finding.name) for finding in found] == [(2, "time.h")]


def test_replayable_rooms_are_clean_and_exceptions_are_few() -> None:
    assert not list(replayable.check_rooms(ROOT))
    assert len(replayable.EXCEPTIONS) < 5
    assert all(len(allowed.reason) > 20 for allowed in replayable.EXCEPTIONS)


def test_rooms_that_moved_and_exceptions_without_a_cause_are_told(tmp_path: Path) -> None:
    for room in replayable.ROOMS[1:]:
        (tmp_path / room).mkdir(parents=True)
    (tmp_path / replayable.ROOMS[1] / "clock.pxi").write_text("from posix.time cimport timespec\n")
    first, *rest = replayable.check_rooms(tmp_path)
    assert first.startswith(f"{replayable.ROOMS[0]}: no such folder")
    assert f"{replayable.ROOMS[1]}/clock.pxi:1: posix.time where a replay must be exact" in rest[0]
    assert len(rest) == 1 + len(replayable.EXCEPTIONS)
    assert all("is not needed any more" in problem for problem in rest[1:])
