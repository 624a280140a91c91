"""Comparing in a browser: brushes by pointer, keyboard and address; colours by a key; 200 columns of 500 keys."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from runlore.query import Client
from tests.dashboard.browsing import IN_CHROMIUM, Watched, serious
from tests.dashboard.conftest import Server, serve
from tests.events import LogBuilder

pytestmark = IN_CHROMIUM

MARKUP = '<a href="https://evil.example">link</a>'
COLUMNS, NUMBERS, TEXTS = 200, 400, 100
KINDS = ("relu", "gelu", "tanh")
LONG_TASKS = """window.tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: "longtask" });"""
THREE = "/compare?ref=model:churn@1&ref=model:churn@2&ref=model:churn@3"


def write_wide(log: LogBuilder) -> None:
    """Many versions with many keys, numbers and texts."""
    values = random.Random(7)
    for version in range(1, COLUMNS + 1):
        numbers = {f"m{key:03d}": values.random() for key in range(NUMBERS)}
        texts = {f"t{key:03d}": values.choice(KINDS) if key % 2 else f"text {values.random()}" for key in range(TEXTS)}
        log.log(f"model:wide@{version}", {"metrics": numbers, "settings": texts})


@pytest.fixture(scope="module")
def wide_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("wide"), write_wide)
    yield server
    server.stop()


def shown_columns(page: Page) -> list[str]:
    return page.locator("thead th[data-column]:visible a:first-child").all_inner_texts()


def settled(page: Page, many: int | None) -> None:
    page.wait_for_selector(f"[data-charts][data-settled='{'' if many is None else many}']")


@pytest.mark.slow
def test_an_axis_is_brushed_by_keyboard(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(THREE)
    with Client(demo_server.folder) as client:
        row = next(row for row in client.compare(["model:churn@1", "model:churn@2", "model:churn@3"]).rows
                   if row.path == "metrics.loss")  # fmt: skip
    lower = page.get_by_role("slider", name="metrics.loss, lower bound")
    assert float(lower.get_attribute("aria-valuemin") or "nan") == min(row.values)
    assert float(lower.get_attribute("aria-valuemax") or "nan") == max(row.values)
    lower.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    settled(page, 2)
    bound = float(lower.get_attribute("aria-valuenow") or "nan")
    kept = [f"model:churn@{at}" for at, value in enumerate(row.values, 1) if value >= bound]
    assert shown_columns(page) == kept
    assert page.locator("[data-brushed]").inner_text() == "2 of 3 columns"
    assert serious(page) == []
    page.keyboard.press("Escape")
    settled(page, None)
    assert len(shown_columns(page)) == 3
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.slow
def test_a_brush_is_in_the_address_and_comes_back_with_it(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(THREE)
    page.get_by_role("slider", name="metrics.accuracy, upper bound").focus()
    page.keyboard.press("PageDown")
    settled(page, 1)
    kept, address = shown_columns(page), page.url
    assert "metrics.accuracy" in parse_qs(urlsplit(address).fragment)
    page.goto(demo_server.url)
    page.goto(address)
    settled(page, 1)
    assert shown_columns(page) == kept == ["model:churn@1"]
    page.goto(demo_server.url + THREE + "#metrics.accuracy=none&no.such=1..2&metrics.loss=5")
    page.wait_for_selector("[data-charts][data-drawn]")
    settled(page, None)
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.slow
def test_points_selected_in_the_scatter_filter_the_table(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(THREE)
    page.locator("[data-scatter]").hover()
    page.locator("[data-scatter] .modebar-btn[data-val=select]").click()
    box = page.locator("[data-scatter] .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.3)  # below the bar of buttons
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    settled(page, 1)
    assert shown_columns(page) == ["model:churn@1"]  # the one with the largest loss
    page.get_by_role("button", name="Clear selection").click()
    settled(page, None)
    assert len(shown_columns(page)) == 3
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.parametrize("path", [THREE, "/history?ref=step:run-1/train&path=metrics.loss"])
def test_no_chart_offers_to_send_what_was_logged_elsewhere(browser: Browser, demo_server: Server, path: str) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(path)
    buttons = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map((button) => button.dataset.title)")
    assert "Download plot as a PNG" in buttons
    assert not [title for title in buttons if "share" in title.lower() or "cloud" in title.lower()]
    watched.context.close()


def write_markup(log: LogBuilder) -> None:
    for number in (1, 2, 3):
        log.log(f"model:labels@{number}", {MARKUP: 1.0 * number, "<b>bold</b>": 2.0 * number})


@pytest.mark.slow
def test_names_on_charts_are_text_and_no_markup(browser: Browser, tmp_path: Path) -> None:
    server = serve(tmp_path, write_markup)
    watched = Watched(browser, server)
    try:
        page = watched.open("/compare?" + "&".join(f"ref=model:labels@{number}" for number in (1, 2, 3)))
        assert page.locator("[data-scatter] a").count() == 0
        shown = page.locator("[data-scatter]").inner_text()
        assert "<a href=" in shown
        assert "<b>bold</b>" in shown
        assert watched.complaints == []
    finally:
        watched.context.close()
        server.stop()


@pytest.mark.slow
def test_a_categorical_key_gives_the_colours_and_a_legend_says_which(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(THREE)
    page.locator("select[name=colour]").select_option(label="framework")
    assert page.locator("[data-legend] li").all_inner_texts() == ["sklearn", "torch"]
    lines = page.locator(".parallel .run").evaluate_all("lines => lines.map((line) => line.getAttribute('stroke'))")
    assert lines[0] == lines[2] != lines[1]
    marks = page.locator("[data-legend] span").evaluate_all("marks => marks.map((mark) => mark.style.background)")
    assert len(set(marks)) == 2
    assert serious(page) == []
    watched.context.close()


@pytest.mark.slow
def test_few_axes_use_the_width_and_sizes_are_readable(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open(THREE)
    last = page.locator(".parallel .axis").last.bounding_box()
    box = page.locator("[data-parallel]").bounding_box()
    assert last is not None
    assert box is not None
    assert last["x"] > box["x"] + box["width"] * 0.8
    labels = page.locator(".parallel text").all_text_contents()
    assert "7.5 MB" in labels
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.locator(".parallel").evaluate("svg => svg.getBoundingClientRect().width") < 600
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    watched.context.close()


@pytest.mark.slow
def test_two_hundred_columns_of_five_hundred_keys_stay_smooth(browser: Browser, wide_server: Server) -> None:
    watched = Watched(browser, wide_server, viewport={"width": 1280, "height": 900})
    references = [f"model:wide@{version}" for version in range(1, COLUMNS + 1)]
    page = watched.open("/compare?all=1&" + "&".join(f"ref={reference}" for reference in references))
    assert page.locator("thead th[data-column]").count() == COLUMNS
    table = page.locator("[data-table]")
    sent = page.evaluate("async () => (await (await fetch(location.href)).text()).split('<tr data-row').length - 1")
    assert 0 < sent * COLUMNS < 5_000  # the page begins with a part
    page.evaluate("document.querySelector('[data-table]').scrollIntoView()")
    for _ in range(200):
        if page.locator("tr[data-path]").count() == NUMBERS + TEXTS:
            break
        table.evaluate("table => table.scrollTo(0, table.scrollHeight)")
        page.wait_for_timeout(50)
    assert page.locator("tr[data-path]").count() == NUMBERS + TEXTS
    with Client(wide_server.folder) as client:
        value = client.get("model:wide@200").metadata["metrics"]["m399"]
    assert float(page.locator("tr[data-path='metrics.m399'] .c199").get_attribute("title") or "nan") == value

    # All of it is in the document now. It was busy for 3 to 19 s here while each cell was a layer.
    page.evaluate(LONG_TASKS)
    box = table.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 400, box["y"] + 200)
    bottom = table.evaluate("table => table.scrollTop")
    for _ in range(40):
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(16)
    assert table.evaluate("table => table.scrollTop") < bottom - 3000
    assert page.evaluate("tasks.reduce((sum, task) => sum + task, 0)") < 2_500

    # Frames go on while it is scrolled and brushed.
    frames = """() => new Promise((done) => {
        const waits = []; let last = performance.now();
        const frame = () => {
            const now = performance.now(); waits.push(now - last); last = now;
            if (waits.length < 60) requestAnimationFrame(frame); else done(waits.sort((a, b) => a - b));
        };
        requestAnimationFrame(frame); })"""
    page.evaluate(f"window.waits = ({frames})()")
    box = table.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 400, box["y"] + 200)
    for step in range(40):
        page.mouse.wheel(300, -300 if step % 2 else 300)
    scrolled = page.evaluate("window.waits")
    page.evaluate("scrollTo(0, 0)")
    hit = page.locator(".parallel .hit").nth(0).bounding_box()
    assert hit is not None
    page.evaluate(f"window.waits = ({frames})()")
    page.mouse.move(hit["x"] + 16, hit["y"] + 60)
    page.mouse.down()
    for step in range(30):
        page.mouse.move(hit["x"] + 16, hit["y"] + 60 + 3 * step)
    page.mouse.up()
    brushed = page.evaluate("window.waits")
    for waits in (scrolled, brushed):
        assert waits[len(waits) // 2] < 60  # generous: the machine may be busy; a full layout takes half a second
        assert waits[-1] < 1500
    page.wait_for_selector("[data-charts][data-settled]:not([data-settled=''])")
    assert 0 < page.locator("thead th[data-column]:visible").count() < COLUMNS
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.slow
def test_two_hundred_selected_rows_of_a_list_can_be_compared(browser: Browser, wide_server: Server) -> None:
    watched = Watched(browser, wide_server)
    page = watched.open("/list?kind=model&limit=200&col=metrics.m000")
    page.evaluate("document.querySelectorAll('tbody input[name=ref]').forEach((box) => { box.checked = true; })")
    page.locator("tbody input[name=ref]").first.dispatch_event("change")
    page.get_by_role("button", name="Compare selected").click()
    page.wait_for_selector("[data-drawn]")
    assert page.locator("thead th[data-column]").count() == COLUMNS
    watched.context.close()


@pytest.mark.slow
def test_what_a_cell_has_no_room_for_is_in_its_title_and_cannot_lie_over_the_next(
    browser: Browser, wide_server: Server
) -> None:
    watched = Watched(browser, wide_server)
    page = watched.open("/compare?all=1&" + "&".join(f"ref=model:wide@{version}" for version in range(1, 14)))
    row = "tr[data-path='settings.t000']"
    page.wait_for_selector("tr[data-path='metrics.m000']")
    for _ in range(50):
        if page.locator(row).count():
            break
        page.locator("[data-table]").evaluate("table => table.scrollTo(0, table.scrollHeight)")
        page.wait_for_timeout(50)
    with Client(wide_server.folder) as client:
        text = client.get("model:wide@3").metadata["settings"]["t000"]
    cell = page.locator(f"{row} .c2")
    assert cell.get_attribute("title") == text
    assert cell.text_content() == text[:13] + "…"
    clipped = "cells => cells.filter((cell) => getComputedStyle(cell).overflow !== 'visible').length"
    assert page.locator("[data-table] td").evaluate_all(clipped) == 0  # each would be a layer
    page.locator(row).hover()
    for colour in page.locator(f"{row} > *").evaluate_all(
        "cells => cells.map((c) => getComputedStyle(c).backgroundColor)"
    ):
        assert "rgba" not in colour  # nothing shines through, under the pointer neither
        assert "/" not in colour
    watched.context.close()


@pytest.mark.slow
def test_colours_mean_something_or_are_one(browser: Browser, wide_server: Server) -> None:
    watched = Watched(browser, wide_server)
    references = [f"model:wide@{version}" for version in range(1, 31)]
    page = watched.open("/compare?all=1&" + "&".join(f"ref={reference}" for reference in references))
    strokes = "lines => new Set(lines.map((line) => line.getAttribute('stroke'))).size"
    assert page.locator(".parallel .run").evaluate_all(strokes) == 1  # thirty columns, twelve hues, no legend that fits
    assert not page.locator("[data-legend]").is_visible()
    page.locator("select[name=colour]").select_option(label="settings.t001")
    with Client(wide_server.folder) as client:
        kinds = {client.get(reference).metadata["settings"]["t001"] for reference in references}
    assert set(page.locator("[data-legend] li").all_inner_texts()) == kinds == set(KINDS)
    assert page.locator(".parallel .run").evaluate_all(strokes) == len(KINDS)
    assert serious(page) == []
    assert watched.complaints == []
    watched.context.close()
