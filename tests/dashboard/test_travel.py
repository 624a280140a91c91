"""Time travel: the steps beside the slider are exact, and what a page of the past says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runlore.schemas.events import RunStarted
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of


def steps(page: str) -> list[str]:
    """Where the links beside the slider lead, earlier first."""
    return re.findall(r'<a class="step" href="[^"]*as_of=(\d+)[^"]*"', page)


def positions(page: str) -> list[int]:
    said = re.search(r'data-positions="([^"]*)"', page)
    assert said
    return [int(text) for text in said[1].split()]


def write_long(log: LogBuilder) -> None:
    for number in range(1500):
        log.log("experiment:long@1", {"loss": number})
        log.log("experiment:odd@1", {"loss": number})


def test_one_event_earlier_and_later_are_exact_in_a_long_past(tmp_path: Path) -> None:
    with web_over(client_of(tmp_path, write_long)) as web:
        page = web.get("/entity?ref=experiment:long&as_of=101").text
        assert steps(page) == ["99", "103"]
        stops = positions(page)
        assert len(stops) <= 1000
        assert {1, 101, 2999} <= set(stops)


def test_a_run_steps_through_the_events_of_its_steps(web: TestClient) -> None:
    for path in ("/entity?ref=run:run-1", "/history?ref=run:run-1&path=train::metrics.loss"):
        page = web.get(f"{path}&as_of=6").text
        assert steps(page) == ["5", "7"]
        assert positions(page)[:8] == list(range(1, 9))
    assert 'data-live="run:run-1 step:run-1/train"' in page


def text(page: str) -> str:
    """What a page says, without its elements."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


def write_old(log: LogBuilder) -> None:
    """A run that goes on, three minutes old at position 181."""
    log.add(RunStarted("training", "night"), run="r")
    for number in range(250):
        log.log("model:m@1", {"loss": number})


def test_ages_of_a_page_of_the_past_count_until_then(tmp_path: Path) -> None:
    with web_over(client_of(tmp_path, write_old)) as web:
        then, now = web.get("/?as_of=181").text, web.get("/").text
        running = re.search(r'data-region="running">.*?</section>', then, re.DOTALL)
        assert running
        assert ">3 min</time>" in running[0]
        assert ">3 min</time>" not in now
        assert "3 min before, at position 1" in text(web.get("/entity?ref=run:r&as_of=181").text)
        occurred = "2026-01-01T00:02:01Z&clock=occurred"
        assert "2 min before, at position 1" in text(web.get(f"/entity?ref=run:r&as_of={occurred}").text)


@pytest.mark.parametrize("path", ["/quarantine", "/search?q=acme", "/audit"])
@pytest.mark.parametrize("asked", ["as_of=45", "as_of=2026-01-01T00:00:45Z&clock=occurred"])
def test_pages_of_the_latest_say_so(web: TestClient, path: str, asked: str) -> None:
    page = web.get(f"{path}{'&' if '?' in path else '?'}{asked}")
    assert page.status_code == 200
    assert "This page shows the latest" in page.text
    assert "This is what was known" not in page.text
    assert "this had happened" not in page.text
    assert "As known then" not in page.text
    assert "shows the latest" not in web.get(path).text


def test_the_quarantine_is_of_the_latest_as_its_banner_says(web: TestClient) -> None:
    assert "c1 20 6e 6f 74" in web.get("/quarantine?as_of=2").text


def test_what_has_changed_since_is_of_the_entity(web: TestClient) -> None:
    page = web.get("/entity?ref=model:churn@2&as_of=45").text
    link = re.search(r'href="([^"]*)">what has changed since', page)
    assert link
    assert link[1] == "/trail?ref=model:churn@2&amp;since=45"
    trail = web.get(link[1].replace("&amp;", "&")).text
    assert "after position 45" in text(trail)
    assert 'data-key="45 model:churn@2"' not in trail
    assert re.search(r'href="/trail\?since=45">what has changed since', web.get("/?as_of=45").text)
