"""Time travel: the steps beside the slider are exact, and what a page of the past says is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    positions = re.search(r'data-positions="([^"]*)"', page)
    assert positions
    return [int(text) for text in positions[1].split()]


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
    assert 'data-follows="run:run-1"' in page


def text(page: str) -> str:
    """What a page says, without its elements."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


def write_old(log: LogBuilder) -> None:
    """A run that goes on, three minutes old at event 181."""
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
        assert "3 min earlier (event 1)" in text(web.get("/entity?ref=run:r&as_of=181").text)
        occurred = "2026-01-01T00:02:01Z&clock=occurred"
        assert "2 min earlier (event 1)" in text(web.get(f"/entity?ref=run:r&as_of={occurred}").text)


@pytest.mark.parametrize("path", ["/quarantine", "/search?q=acme", "/audit"])
@pytest.mark.parametrize("asked", ["as_of=45", "as_of=2026-01-01T00:00:45Z&clock=occurred"])
def test_pages_of_the_latest_say_so(web: TestClient, path: str, asked: str) -> None:
    page = web.get(f"{path}{'&' if '?' in path else '?'}{asked}")
    assert page.status_code == 200
    assert "This page always shows the latest state" in page.text
    assert "You are viewing the state" not in page.text
    assert "as far as it is known today" not in page.text
    assert ">As of</strong>" not in page.text
    assert "always shows the latest" not in web.get(path).text


def test_the_quarantine_is_of_the_latest_as_its_banner_says(web: TestClient) -> None:
    assert "c1 20 6e 6f 74" in web.get("/quarantine?as_of=2").text


def test_what_has_changed_since_is_of_the_entity(web: TestClient) -> None:
    page = web.get("/entity?ref=model:churn@2&as_of=45").text
    link = re.search(r'href="([^"]*)">show changes', page)
    assert link
    assert link[1] == "/trail?ref=model:churn@2&amp;since=45"
    trail = web.get(link[1].replace("&amp;", "&")).text
    assert "After event 45" in text(trail)
    assert 'data-key="45 model:churn@2"' not in trail
    assert re.search(r'href="/trail\?since=45">show changes', web.get("/?as_of=45").text)


def write_late(log: LogBuilder) -> None:
    """A run and an experiment that come when the log has gone on for a while."""
    for number in range(5):
        log.log("model:m@1", {"loss": number})
    log.log("experiment:odd@1", {"loss": 0.5})
    log.log("experiment:odd@2", {"loss": 0.25})
    log.add(RunStarted("training", "night"), run="r")


@pytest.fixture
def late(tmp_path: Path) -> Iterator[TestClient]:
    with web_over(client_of(tmp_path, write_late)) as web:
        yield web


@pytest.mark.parametrize(("ref", "came"), [
    ("experiment:odd", 6), ("experiment:odd@latest", 6), ("experiment:odd@1", 6), ("experiment:odd@2", 7), ("run:r", 8),
    ("run:night", 8),
])  # fmt: skip
@pytest.mark.parametrize("page", ["entity", "lineage", "trail", "history"])
def test_before_it_existed_a_page_says_when_it_came(late: TestClient, page: str, ref: str, came: int) -> None:
    more = "&path=loss" if page == "history" else ""
    answer = late.get(f"/{page}?ref={ref}{more}&as_of=3")
    assert answer.status_code == 404
    assert f"did not exist yet as of event 3; it was created by event {came}" in text(answer.text)
    assert f'href="/entity?ref={ref}&amp;as_of={came}"' in answer.text
    assert late.get(f"/entity?as_of={came}&ref={ref}").status_code == 200
    assert f'href="/{page}?ref={ref}{more}"'.replace("&", "&amp;") in answer.text


def test_the_producers_clocks_know_of_not_yet_as_well(late: TestClient) -> None:
    answer = late.get("/entity?ref=experiment:odd@2&as_of=2025-12-31T00:00:00Z&clock=occurred")
    assert answer.status_code == 404
    assert "did not exist yet at 2025-12-31 00:00:00 UTC; it was created by event 7" in text(answer.text)


def test_what_never_came_is_still_not_found(late: TestClient) -> None:
    answer = late.get("/entity?ref=experiment:od&as_of=6")
    assert answer.status_code == 404
    assert "no experiment named" in answer.text
    assert 'href="/entity?as_of=6&amp;ref=experiment:odd@1"' in answer.text
    assert late.get("/entity?ref=experiment:odd@9&as_of=6").status_code == 404


@pytest.mark.parametrize("path", ["/entity?ref=experiment:odd&as_of=3", "/history?ref=model:m&path=none&as_of=3",
                                  "/list?kind=model&where=((&as_of=3"])  # fmt: skip
def test_an_error_keeps_the_moment(late: TestClient, path: str) -> None:
    page = late.get(path).text
    assert ">As of</strong>" in page
    assert "data-theme-switch" in page
    assert 'href="/list?as_of=3&amp;kind=model"' in page
    assert "Back to now" in page
    assert late.get(path).status_code in (400, 404)


@pytest.mark.parametrize("path", ["/nothing", "/?as_of=gibberish"])
def test_an_error_without_a_moment_has_the_switch_and_the_keys(late: TestClient, path: str) -> None:
    page = late.get(path).text
    assert "data-theme-switch" in page
    assert "/static/app.js" in page


def test_a_column_of_a_comparison_may_be_not_there_yet(late: TestClient) -> None:
    answer = late.get("/compare?ref=experiment:odd@2&at=3&at=7")
    assert answer.status_code == 200
    assert answer.text.count("did not exist yet") == 1
    table = late.get("/compare.json?ref=experiment:odd@2&at=3&at=7").json()
    assert table == {"loss": {"experiment:odd@2 at 7": 0.25}}
    both = late.get("/compare?ref=model:m@1&ref=run:night&as_of=3")
    assert both.status_code == 200
    assert both.text.count("did not exist yet") == 1
    # A stage that nobody held then is no entity that came later.
    assert late.get("/compare?ref=model:m@production&at=3").status_code == 404
