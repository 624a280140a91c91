"""Charts of long series and of series with breaks: true places, nothing bridged, and a note about what was thinned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from runlore.query import Client
from runlore.schemas.events import MetadataRetracted
from runlore.schemas.references import parse_ref
from tests.dashboard.browsing import IN_CHROMIUM, Watched, serious
from tests.dashboard.conftest import Server, serve, web_over
from tests.events import LogBuilder

pytestmark = IN_CHROMIUM

LONG, SHORT = 12_000, 5_000
PEAK = 100
TRACES = """plot => plot.data.map(({ x, y, text, mode, name }) => ({
    x: [...x], y: [...y].map((value) => value ?? null), text: [...text ?? []], mode, name }))"""


def write_long(log: LogBuilder) -> None:
    for name, many in (("long", LONG), ("short", SHORT)):
        for entry in range(1, many + 1):
            log.log(f"model:{name}@1", {"loss": 50.0 if entry == PEAK else 1 / entry})
    for value in (0.5, 0.25, None, 0.75, "n/a", 0.625, float("nan"), 0.125):
        if value is None:
            log.add(MetadataRetracted((parse_ref("model:gaps@1"),), (("loss",),), "test set leaked"))
        else:
            log.log("model:gaps@1", {"loss": value})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("long"), write_long)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def web(server: Server) -> Iterator[TestClient]:
    with Client(server.folder) as client, web_over(client) as web:
        yield web


def traces(page: Page, plot: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.locator(plot).evaluate(TRACES)
    return found


@pytest.mark.slow
def test_a_history_shows_the_whole_of_a_long_series(browser: Browser, server: Server, web: TestClient) -> None:
    watched = Watched(browser, server)
    page = watched.open("/history?ref=model:long@1&path=loss")
    (line,) = traces(page, "[data-plot]")
    assert (line["x"][0], line["x"][-1]) == (1, LONG)
    assert line["y"][line["x"].index(PEAK)] == 50.0
    assert len(line["x"]) <= 4000
    note = page.locator("[data-thinned]").inner_text()
    assert note == f"12,000 numbers, downsampled to {len(line['x']):,}: minimum and maximum of each interval"
    assert note in web.get("/history?ref=model:long@1&path=loss").text  # without scripts as well
    assert serious(page) == []
    page = watched.open("/history?ref=model:gaps@1&path=loss")
    assert not page.locator("[data-thinned]").is_visible()
    watched.close()


@pytest.mark.slow
def test_histories_lie_over_each_other_by_their_true_entries(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/compare?ref=model:long@1&ref=model:short@1&ref=model:gaps@1")
    page.locator("[data-history=loss]").click()
    page.wait_for_selector("[data-overlay-plot][data-drawn='3']")
    lines = {trace["name"]: trace for trace in traces(page, "[data-overlay-plot]") if trace["mode"] != "markers"}
    for name, many in (("long", LONG), ("short", SHORT)):
        line = lines[f"model:{name}@1"]
        assert (line["x"][0], line["x"][-1]) == (1, many)
        assert len(line["x"]) <= 2000
        assert all(y == (50.0 if x == PEAK else 1 / x) for x, y in zip(line["x"], line["y"], strict=True))
    note = page.locator("[data-overlay] [data-thinned]").inner_text()
    assert note.startswith("model:long@1: 12,000 numbers, downsampled to ")
    assert "model:short@1: 5,000 numbers" in note
    assert "gaps" not in note
    watched.close()


@pytest.mark.slow
def test_a_line_breaks_where_a_number_was_withdrawn_or_a_text_logged(
    browser: Browser, server: Server, web: TestClient
) -> None:
    watched = Watched(browser, server)
    page = watched.open("/history?ref=model:gaps@1&path=loss")
    line, marks = traces(page, "[data-plot]")
    assert line["y"] == [0.5, 0.25, None, 0.75, None, 0.625, None, 0.125]
    assert (marks["y"], marks["mode"]) == ([0.25], "markers")
    first = LONG + SHORT + 1
    assert f"retracted by event {first + 2}" in marks["text"][0]
    assert f"not a number in event {first + 4}" in line["text"][3]
    assert web.get("/history?ref=model:gaps@1&path=loss").text.count("<polyline") == 4
    watched.close()


def test_the_api_gives_true_places_and_the_total(web: TestClient) -> None:
    asked = "/api/v1/series?ref=model:gaps@1&path=loss"
    whole = web.get(f"{asked}&points=100").json()
    assert whole["entries"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert whole["types"] == ["float", "float", "retracted", "float", "str", "float", "float", "float"]
    assert whole["values"] == [0.5, 0.25, None, 0.75, None, 0.625, None, 0.125]
    assert whole["total"] == 6
    exact = web.get(asked).json()
    assert exact["values"] == [0.5, 0.25, 0.75, 0.625, None, 0.125]
    assert [exact[name] for name in ("entries", "types", "total")] == [None, None, None]
    assert web.get(f"{asked}&points=none").status_code == 400
    thin = web.get("/api/v1/series?ref=model:long@1&path=loss&points=20").json()
    assert len(thin["values"]) <= 20
    assert thin["total"] == LONG
