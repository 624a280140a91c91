"""A browser for tests of the page: Debian's Chromium, watched for complaints and for questions to other hosts."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.conftest import Server
from tests.patience import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip

IN_CHROMIUM = [
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="no chromium on PATH: apt-get install chromium (in CI its absence is a failure)",
    ),
]
"""Marks of a module whose tests need the browser."""

SOON = 1000 * PATIENCE
"""Milliseconds that a page may take: news come at once, or after the 3 s that a browser gives a lost server."""
expect.set_options(timeout=SOON)
SELECTED = "getSelection().toString()"
SELECT = """(selector) => {
    const range = document.createRange();
    range.selectNodeContents(document.querySelector(selector));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
}"""


class Watched:
    """A browser's page, and everything it complained about or asked of other hosts."""

    def __init__(self, browser: Browser, server: Server, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(SOON)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self._url = server.url
        self._scripts = options.get("java_script_enabled", True)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._interrupted)
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _interrupted(self, dialog: Any) -> None:
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self._url}/", "data:", "blob:")):
            self.complaints.append(f"asked {request.url}")

    def open(self, path: str) -> Page:
        self.page.goto(self._url + path)
        if self._scripts and self.page.locator("[data-chart], [data-charts]").count():
            self.page.wait_for_selector("[data-drawn]", state="attached", timeout=SOON)
        return self.page

    def close(self) -> None:
        """The end of a visit, which was a quiet one."""
        assert self.complaints == []
        self.context.close()


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in found if item["impact"] in ("serious", "critical")
    ]


def live(page: Page) -> None:
    """Until the page listens."""
    page.wait_for_selector("[data-badge].live", timeout=SOON)
