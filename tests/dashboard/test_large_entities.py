"""Entities with more values and steps than a page shows: it says so, and leads to all of them."""

from __future__ import annotations

import html
import importlib
import re
from pathlib import Path

import pytest

from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

STEPS = 7
PAGE = importlib.import_module("runlore.dashboard.pages.entity")


def write(log: LogBuilder) -> None:
    for number in range(STEPS):
        log.log(f"step:it's/s{number}::x", {"loss": number / 7, "n": number})
    log.log("model:wide@1", {f"k{number:02}": number for number in range(23)})


def links(page: str, label: str) -> list[str]:
    return [html.unescape(href) for href in re.findall(rf'href="([^"]+)">\s*{label}', page)]


def test_values_come_in_pages_that_together_have_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PAGE, "LINES", 10)
    with client_of(tmp_path, write) as client:
        web = web_over(client)
        first = web.get("/entity?ref=model:wide@1").text
        assert "23 values:" in first
        pages = [first, *(web.get(href).text for href in links(first, r"(?:11–20|21–23)</a>"))]
        keys = [re.findall(r'data-row data-key="(k\d\d)"', page) for page in pages]
        assert [len(part) for part in keys] == [10, 10, 3]
        assert sorted(key for part in keys for key in part) == [f"k{number:02}" for number in range(23)]
        assert '<a aria-current="page">' in pages[1]


def test_a_run_shows_its_first_steps_and_leads_to_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PAGE, "STEPS", 3)
    with client_of(tmp_path, write) as client:
        web = web_over(client)
        page = web.get("/entity?ref=run:it's").text
        assert page.count('class="bar ') == 3
        (everything,) = links(page, f"{STEPS} steps</a>")
        assert all(f"s{number}::x" in web.get(everything).text for number in range(STEPS))
        (failed,) = links(page, "those that failed</a>")
        assert "s1::x" not in web.get(failed).text
        # The values of a step stand on a card of its own, whatever its name.
        assert "s6::x › " not in page
        assert 'data-key="s6::x"' in page
