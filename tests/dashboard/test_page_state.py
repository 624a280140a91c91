"""What visitors did stays as it was: while a page takes over what the log brings, and when they go back to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page

from runlore.schemas.events import NoteAdded
from runlore.schemas.references import parse_ref
from tests.dashboard.browsing import IN_CHROMIUM, SELECT, SELECTED, SOON, Watched, live
from tests.dashboard.conftest import Server, serve
from tests.dashboard.demo_log import write_demo
from tests.patience import until

pytestmark = IN_CHROMIUM


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path, write_demo)
    yield server
    server.stop()


def another_model(server: Server, page: Page, number: int) -> None:
    """One more row at the top of the list of models, and the page shows it."""
    server.grow(lambda log: log.log(f"model:other@{number}", {"metrics": {"accuracy": 0.1, "loss": number}}))
    page.wait_for_selector(f"tr[data-key='model:other@{number}']", timeout=SOON)


def test_ticks_typed_text_and_scroll_of_a_list_survive_new_rows(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server, viewport={"width": 420, "height": 700})
    page = watched.open("/list?kind=model")
    live(page)
    page.locator("input[value='model:churn@2']").check()
    page.locator("details.chooser summary").click()
    page.evaluate("document.querySelector('[data-region=list]').scrollLeft = 90")
    page.locator("#where").focus()
    page.keyboard.type("metrics.loss <")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    state = """() => ({
        ticked: [...document.querySelectorAll('[data-selection] input:checked')].map((box) => box.value),
        count: document.querySelector('[data-count]').textContent,
        open: document.querySelector('details.chooser').open,
        left: document.querySelector('[data-region=list]').scrollLeft,
        typed: document.querySelector('#where').value,
        focus: document.activeElement.id,
        caret: document.activeElement.selectionStart,
    })"""
    before = page.evaluate(state)
    assert before == {
        "ticked": ["model:churn@2"], "count": "1 selected", "open": True, "left": 90, "typed": "metrics.loss <",
        "focus": "where", "caret": 11,
    }  # fmt: skip
    for number in (1, 2):
        another_model(server, page, number)
        assert page.evaluate(state) == before
    page.keyboard.type("!")
    assert page.locator("#where").input_value() == "metrics.los!s <"
    watched.close()


def test_selected_text_stays_selected_in_its_row(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/list?kind=model")
    live(page)
    page.evaluate(SELECT, "tr[data-key='model:churn@2'] th a")
    assert (selected := page.evaluate(SELECTED)) != ""
    for number in (1, 2):
        another_model(server, page, number)
        assert page.evaluate(SELECTED) == selected
        assert page.evaluate("getSelection().anchorNode.parentElement.closest('tr').dataset.key") == "model:churn@2"
    watched.close()


def test_a_part_that_comes_disturbs_no_other(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1")
    live(page)
    page.locator("tr[data-key=notes] details.fold summary").click()
    page.locator("tr[data-key='metrics.loss'] th a").focus()
    page.evaluate(SELECT, "tr[data-key=framework] .v")
    assert page.evaluate(SELECTED) == "sklearn"
    assert page.locator("[data-region=notes]").count() == 0
    server.grow(lambda log: log.add(NoteAdded((parse_ref("model:churn@1"),), "Looks right.")))
    page.wait_for_selector("[data-region=notes]", timeout=SOON)
    assert page.evaluate(SELECTED) == "sklearn"
    assert page.evaluate("document.activeElement.closest('tr').dataset.key") == "metrics.loss"
    assert page.locator("tr[data-key=notes] details.fold").get_attribute("open") is not None
    watched.close()


@pytest.mark.slow
def test_what_is_open_in_the_log_stays_with_its_event(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/trail")
    live(page)
    opened = page.locator("details[data-key]").nth(2)
    key = opened.get_attribute("data-key")
    opened.locator("summary").click()
    another = "model:churn@1"
    server.grow(lambda log: log.log(another, {"later": 1}))
    page.wait_for_selector("li.event .key:text-is('later')", timeout=SOON)
    assert page.locator("details[open]").evaluate_all("all => all.map((one) => one.dataset.key)") == [key]
    watched.close()


@pytest.mark.slow
def test_a_history_stays_zoomed_while_it_grows(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/history?ref=step:run-1/train&path=metrics.loss")
    live(page)
    plot = "document.querySelector('[data-plot]')"
    page.evaluate(f"Plotly.relayout({plot}, {{ 'xaxis.range': [5, 9], 'yaxis.range': [0, 1] }})")
    points = page.evaluate(f"{plot}.data[0].y.length")
    server.grow(lambda log: log.log("step:run-1/train", {"metrics": {"loss": 0.01}}, merge=True))
    page.wait_for_function(f"(points) => {plot}.data[0].y.length > points", arg=points, timeout=SOON)
    zoomed = page.evaluate(f"[...{plot}._fullLayout.xaxis.range, ...{plot}._fullLayout.yaxis.range]")
    assert zoomed == [5, 9, 0, 1]
    assert page.locator("[data-region=table] tbody tr").count() == points + 1
    assert f"{points + 1} numbers" in (page.locator("[data-plot]").get_attribute("aria-label") or "")
    watched.close()


@pytest.mark.slow
def test_a_key_gets_its_chart_with_its_second_number(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    server.grow(lambda log: log.log("model:churn@1", {"score": 1}))
    page = watched.open("/history?ref=model:churn@1&path=score")
    live(page)
    assert page.locator("[data-chart]").count() == 0
    server.grow(lambda log: log.log("model:churn@1", {"score": 2}))
    page.wait_for_selector("[data-chart][data-drawn]", timeout=SOON)
    assert page.evaluate("document.querySelector('[data-plot]').data[0].y") == [1, 2]
    watched.close()


@pytest.mark.slow
def test_the_slider_reaches_what_came_since(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1")
    live(page)
    for value in (1, 2):
        server.grow(lambda log, value=value: log.log("model:churn@1", {"fresh": value}))
        page.wait_for_selector(f"tr[data-key=fresh] .v:text-is('{value}')", timeout=SOON)
    last = len(server.log.rows)
    page.locator("[data-slider]").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**as_of={last - 1}**")
    assert page.locator("tr[data-key=fresh] .v").inner_text() == "1"
    watched.close()


# -- back and forward ------------------------------------------------------------------------------------


def seen(page: Page) -> dict[str, Any]:
    """What a page shows, besides ages that go on."""
    return dict(
        page.evaluate("""() => ({
            address: location.href,
            rows: [...document.querySelectorAll('main [data-row]')].map((row) => row.dataset.key),
            columns: [...document.querySelectorAll('main thead th')].map((head) => head.innerText),
            position: document.querySelector('[data-slider-position]').textContent,
            slider: document.querySelector('[data-slider]').value,
            filter: document.querySelector('#where')?.value,
            asked: document.querySelector('#as_of').value,
            clock: document.querySelector('#clock')?.value,
        })""")
    )


def shows(page: Page, expected: dict[str, Any]) -> bool:
    with contextlib.suppress(Error):  # just then it was left for the next one
        return seen(page) == expected
    return False


@pytest.mark.slow
def test_back_and_forward_restore_each_page(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/list?kind=model")
    live(page)
    another_model(server, page, 1)
    pages = [seen(page)]

    def goes_on() -> None:
        page.wait_for_load_state()
        pages.append(seen(page))

    page.locator("#where").fill("metrics.accuracy > 0.5")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=**")
    goes_on()
    page.locator("details.chooser summary").click()
    for _ in range(4):
        page.locator("details.chooser input[type=checkbox]:checked").last.uncheck()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**col=**")
    goes_on()
    assert len(pages[2]["columns"]) < len(pages[1]["columns"])
    page.locator("[data-slider]").fill("40")
    page.wait_for_url("**as_of=40**")
    goes_on()
    assert pages[3]["rows"] != pages[2]["rows"]
    for expected in reversed(pages[:-1]):
        page.go_back()
        until(lambda expected=expected: shows(page, expected))
    for expected in pages[1:]:
        page.go_forward()
        until(lambda expected=expected: shows(page, expected))
    # What came meanwhile is there as well, however the page came back.
    server.grow(lambda log: log.log("model:other@2", {"metrics": {"accuracy": 0.7}}))
    page.go_back()
    page.wait_for_selector("tr[data-key='model:other@2']", timeout=SOON)
    live(page)
    watched.close()


def test_back_finds_ticks_folds_and_tables_as_they_were_left(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server, viewport={"width": 420, "height": 500})
    page = watched.open("/list?kind=model")
    live(page)
    another_model(server, page, 1)
    page.locator("details.chooser summary").click()
    page.locator("input[value='model:churn@2']").check()
    page.evaluate("document.querySelector('[data-region=list]').scrollLeft = 90")
    page.evaluate("scrollTo(0, 150)")
    page.wait_for_timeout(400)
    state = """() => ({
        ticked: [...document.querySelectorAll('[data-selection] input:checked')].map((box) => box.value),
        count: document.querySelector('[data-count]').textContent,
        open: document.querySelector('details.chooser').open,
        left: document.querySelector('[data-region=list]').scrollLeft,
        top: scrollY,
    })"""
    before = page.evaluate(state)
    assert before == {"ticked": ["model:churn@2"], "count": "1 selected", "open": True, "left": 90, "top": 150}
    # Not by the mouse, which would first scroll to where it clicks.
    page.evaluate("document.querySelector('tr[data-key=\"model:churn@2\"] th a').click()")
    page.wait_for_url("**/entity?**")
    page.go_back()
    page.wait_for_function(f"(before) => JSON.stringify(({state})()) === JSON.stringify(before)", arg=before)
    # Another visit to the same address begins afresh.
    watched.open("/")
    page = watched.open("/list?kind=model")
    assert page.evaluate(state) == {**before, "ticked": [], "count": "select rows, or press x", "open": False, "left": 0, "top": 0}  # fmt: skip
    watched.close()


def test_a_page_that_the_browser_kept_catches_up(browser: Browser, server: Server) -> None:
    # Chromium keeps no page that is not to be stored, others do; and Playwright cannot follow a page that comes back.
    watched = Watched(browser, server)
    page = watched.open("/list?kind=model")
    live(page)
    page.locator("input[value='model:churn@2']").check()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    server.grow(lambda log: log.log("model:other@1", {"metrics": {"accuracy": 0.7}}))
    page.wait_for_timeout(1500)
    assert page.locator("tr[data-key='model:other@1']").count() == 0
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.wait_for_selector("tr[data-key='model:other@1']", timeout=SOON)
    assert page.locator("[data-selection] input:checked").count() == 1
    watched.close()
