"""Live pages over a log that grows: news arrive also after the server was away, and what visitors did stays as it was."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from runlore.dashboard.live import MAX_LISTENERS
from runlore.schemas.events import NoteAdded
from runlore.schemas.layout import DataDir, ProjectorStatus, write_struct
from runlore.schemas.references import parse_ref
from tests.dashboard.browsing import IN_CHROMIUM, Watched
from tests.dashboard.conftest import Server, serve
from tests.dashboard.demo_log import write_demo

pytestmark = IN_CHROMIUM

SOON = 20_000
"""Milliseconds until news are there, with room for a browser that waits 3 s before it asks a lost server again."""
SELECTED = "getSelection().toString()"
SELECT = """(selector) => {
    const cell = document.querySelector(selector);
    const range = document.createRange();
    range.selectNodeContents(cell);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
}"""


AWAY = "window.away = false; Object.defineProperty(Document.prototype, 'hidden', { get: () => window.away });"
"""Playwright's pages all count as looked at; with this one can be turned away from."""
TURN = "(away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path, write_demo)
    yield server
    server.stop()


def live(page: Page) -> None:
    """Until the page listens."""
    page.wait_for_selector("[data-badge].live", timeout=SOON)


# -- a server that was away ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_page_finds_its_server_again_and_shows_what_it_missed(
    browser: Browser, server: Server, number: signal.Signals
) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1")
    live(page)
    page.evaluate("window.stayed = true")
    server.stop(number)
    page.wait_for_selector("[data-badge].lost", timeout=SOON)
    assert page.locator("[data-badge]").inner_text() == "Reconnecting"
    server.grow(lambda log: log.log("model:churn@1", {"meanwhile": 0.25}))
    server.start_again()
    live(page)
    page.wait_for_selector("tr[data-key=meanwhile]", timeout=SOON)
    server.grow(lambda log: log.log("model:churn@1", {"afterwards": 0.5}))
    page.wait_for_selector("tr[data-key=afterwards]", timeout=SOON)
    assert page.evaluate("window.stayed")
    # While the server was away the browser itself complained that it could not be asked; nothing else did.
    assert [text for text in watched.complaints if "net::ERR_" not in text] == []
    watched.context.close()


def test_a_page_that_was_refused_its_stream_asks_again(browser: Browser, server: Server) -> None:
    crowd = [http.client.HTTPConnection(urlsplit(server.url).netloc) for _ in range(MAX_LISTENERS)]
    for connection in crowd:
        connection.request("GET", "/live")
        connection.getresponse().readline()
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1")
    page.wait_for_selector("[data-badge].lost", timeout=SOON)
    for connection in crowd:
        connection.close()
    server.grow(lambda log: log.log("model:churn@1", {"meanwhile": 0.25}))
    live(page)
    page.wait_for_selector("tr[data-key=meanwhile]", timeout=SOON)
    assert [text for text in watched.complaints if "503" not in text] == []
    watched.context.close()


def test_a_hidden_tab_catches_up_when_it_is_looked_at(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    watched.context.add_init_script(AWAY)
    page = watched.open("/entity?ref=model:churn@1")
    live(page)
    page.evaluate(TURN, True)
    server.grow(lambda log: log.log("model:churn@1", {"unseen": 1}))
    page.wait_for_timeout(1500)  # longer than a page waits between two refreshes
    assert page.locator("tr[data-key=unseen]").count() == 0
    page.evaluate(TURN, False)
    page.wait_for_selector("tr[data-key=unseen]", timeout=SOON)
    watched.close()


def test_many_tabs_leave_connections_for_one_more(browser: Browser, server: Server) -> None:
    # Over HTTP/1.1 a browser opens at most six connections to a server, for all its tabs.
    watched = Watched(browser, server)
    watched.context.add_init_script(AWAY)
    for _ in range(8):
        page = watched.context.new_page()
        page.goto(server.url, timeout=10_000)
        live(page)
        page.evaluate(TURN, True)
    watched.close()


# -- what visitors did -----------------------------------------------------------------------------------


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
    watched.close()


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


# -- what it says of itself ------------------------------------------------------------------------------


def projector_says(server: Server, behind: int) -> None:
    """What a projector writes about once a second, beside a stream that is longer than the view."""
    folded = len(server.log.rows)
    said = ProjectorStatus(
        pid=1, http="", connected=True, stream_last=folded + behind, archived=folded, folded=folded, quarantined=0,
        updated=time.time(),
    )  # fmt: skip
    write_struct(DataDir(server.folder).status, said)


def test_the_badge_says_how_far_behind_the_log_the_page_is(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/trail")
    live(page)
    badge, footer = page.locator("[data-badge]"), page.locator("[data-lag]")
    expect(footer).to_have_text("no word from the projector", timeout=SOON)
    for behind, badge_says, footer_says in (
        (1234, "Live, 1,234 behind", "1,234 behind the log"),
        (7, "Live, 7 behind", "7 behind the log"),
        (0, "Live", "level with the log"),
    ):
        projector_says(server, behind)
        expect(badge).to_have_text(badge_says, timeout=8000)
        expect(footer).to_have_text(footer_says)
    watched.close()


def test_a_page_of_the_past_changes_only_how_much_came_since(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1&as_of=50")
    now = len(server.log.rows)
    banner = page.locator(".banner")
    expect(banner).to_contain_text(f"Since then {now - 50} events came")
    page.evaluate(SELECT, "tr[data-key='metrics.loss'] .v")
    rest = """() => {
        const copy = document.documentElement.cloneNode(true);
        copy.querySelector('.banner').remove();
        return copy.outerHTML;
    }"""
    before = page.evaluate(rest)
    server.grow(lambda log: log.log("model:churn@1", {"metrics": {"loss": 9.0}, "fresh": 1}))
    expect(banner).to_contain_text(f"Since then {now - 49} events came", timeout=SOON)
    server.grow(lambda log: log.log("model:churn@2", {"fresh": 1}))
    expect(banner).to_contain_text(f"Since then {now - 48} events came", timeout=SOON)
    assert page.evaluate(rest) == before
    assert page.evaluate(SELECTED) != ""
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
            clock: document.querySelector('#clock').value,
        })""")
    )


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
    page.get_by_role("button", name="Show these").click()
    page.wait_for_url("**col=**")
    goes_on()
    assert len(pages[2]["columns"]) < len(pages[1]["columns"])
    page.locator("[data-slider]").fill("40")
    page.wait_for_url("**as_of=40**")
    goes_on()
    assert pages[3]["rows"] != pages[2]["rows"]
    for expected in reversed(pages[:-1]):
        page.go_back()
        page.wait_for_load_state()
        assert seen(page) == expected
    for expected in pages[1:]:
        page.go_forward()
        page.wait_for_load_state()
        assert seen(page) == expected
    # What came meanwhile is there as well, however the page came back.
    server.grow(lambda log: log.log("model:other@2", {"metrics": {"accuracy": 0.7}}))
    page.go_back()
    page.wait_for_selector("tr[data-key='model:other@2']", timeout=SOON)
    live(page)
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
