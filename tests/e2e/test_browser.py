"""The console in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import missing
from playwright.sync_api import Browser, Page, sync_playwright
from running import Running, instance_up

_CHROMIUM = shutil.which("chromium")
_PATIENCE_MS = 120_000
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if _CHROMIUM is None:
        missing("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield launched
        launched.close()


def _watched(page: Page) -> list[str]:
    problems: list[str] = []
    page.set_default_timeout(_PATIENCE_MS)
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    return problems


@pytest.mark.browser
def test_signals_appear_without_a_reload_and_without_an_error(
    browser: Browser, runtime_dir: Path
) -> None:
    with instance_up(runtime_dir, "--speed", "4") as running:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        problems = _watched(page)
        page.goto(running.url)
        page.evaluate("window.neverReloaded = true")
        page.wait_for_selector("#connection:text('connected')")
        first = page.wait_for_selector("#signals tbody tr[id]", timeout=120_000)
        assert first is not None
        newest = page.get_attribute("#signals tbody tr[id]", "id")
        page.wait_for_function(
            "old => document.querySelector('#signals tbody tr[id]').id !== old",
            arg=newest,
            timeout=120_000,
        )
        times = page.locator("#signals tbody td[data-label=time]").all_inner_texts()
        assert times[0] >= times[-1]
        running.torq("demo", "arbitrage")
        page.wait_for_selector("#signals tr.synthetic:has-text('DEMO-USD')", timeout=120_000)
        assert "sample data" in page.inner_text("header").lower()
        page.wait_for_selector("[data-venue=coinbase] .books .verified", timeout=120_000)
        page.wait_for_selector("#pools [data-chain=sample] td.verified", timeout=120_000)
        page.wait_for_selector("#signals tr:has-text('WETH/USDC')", timeout=240_000)
        assert page.evaluate("window.neverReloaded")
        _check_phone(browser, running)
        assert problems == []
        # While the console is away the browser complains of refused connections; then it is back.
        running.torq("restart", "console")
        page.wait_for_selector("#connection:text('connected')", timeout=120_000)
        assert page.evaluate("window.neverReloaded")
        page.close()


def _check_phone(browser: Browser, running: Running) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
    problems = _watched(page)
    page.goto(running.url)
    page.wait_for_selector("#signals tbody tr[id]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(16, 22, 28)"
    assert problems == []
    page.close()
