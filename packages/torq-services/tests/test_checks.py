from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from torq_services.checks.docs import broken_links
from torq_services.checks.precision import check_source

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
