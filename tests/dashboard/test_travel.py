"""Time travel: the steps beside the slider are exact, and what a page of the past says is so."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.testclient import TestClient

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
