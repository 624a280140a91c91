"""Live pages over a log that grows: news arrive also after the server was away, and a page says how far it is."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from runlore.dashboard.live import MAX_LISTENERS
from runlore.schemas import RunStarted, StepStarted
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from runlore.store.records import ProjectorStatus
from tests.dashboard.browsing import IN_CHROMIUM, SELECT, SELECTED, SOON, Watched, live
from tests.dashboard.conftest import Server, serve
from tests.dashboard.demo_log import write_demo
from tests.events import LogBuilder

pytestmark = IN_CHROMIUM

AWAY = "window.away = false; Object.defineProperty(Document.prototype, 'hidden', { get: () => window.away });"
"""Playwright's pages all count as looked at; with this one can be turned away from."""
TURN = "(away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path, write_demo)
    yield server
    server.stop()


def test_a_page_follows_what_is_its_own_whatever_else_is_logged(browser: Browser, server: Server) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:my model@1", {"seen": 0})
        log.add(RunStarted("nightly", "nightly-1"), run="run-9")
        log.project = "other"
        log.log("model:theirs@1", {"seen": 0})
        log.project = "default"

    server.grow(write)
    pages = {}
    for name, path in {
        "blank": "/entity?ref=model:my%20model@1",
        "theirs": "/entity?ref=model:theirs@1&project=other",
        "run": "/entity?ref=run:run-9",
    }.items():
        watched = Watched(browser, server)
        pages[name] = watched.open(path), watched
        live(pages[name][0])

    def burst(log: LogBuilder) -> None:
        log.add(StepStarted(), run="run-9", step="fit")
        log.log("step:run-9/fit", {"loss": 0.5})
        log.log("model:my model@1", {"seen": 1, "later": 1})
        for number in range(2500):
            log.log("artifact:busy@1", {"n": number})
        log.project = "other"
        log.log("model:theirs@1", {"later": 1})
        log.project = "default"

    server.grow(burst)
    for name in ("blank", "theirs"):
        pages[name][0].wait_for_selector("tr[data-key=later]", timeout=SOON)
    pages["run"][0].wait_for_selector("tr:has-text('0.5')", timeout=SOON)
    server.grow(lambda log: log.log("step:run-9/fit", {"later": 1}))
    pages["run"][0].wait_for_selector("tr:has-text('later')", timeout=SOON)
    for _, watched in pages.values():
        watched.close()


@pytest.mark.slow
def test_a_page_that_follows_nothing_says_how_old_it_is(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/compare?ref=model:churn@1&ref=model:churn@2")
    badge = page.locator("[data-badge]")
    expect(badge).to_have_text("Not live", timeout=SOON)
    server.grow(lambda log: log.log("model:churn@1", {"later": 1}))
    expect(badge).to_have_text("Loaded 1 event ago", timeout=SOON)
    watched.close()


# -- a server that was away ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_refresh_that_fails_is_made_up_for(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1")
    live(page)
    page.route("**/entity*", lambda route: route.fulfill(status=503, body="too busy"), times=1)
    server.grow(lambda log: log.log("model:churn@1", {"meanwhile": 0.25}))  # the only news there are
    page.wait_for_selector("tr[data-key=meanwhile]", timeout=SOON)
    assert [text for text in watched.complaints if "503" not in text] == []
    watched.context.close()


@pytest.mark.slow
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


@pytest.mark.slow
def test_many_tabs_leave_connections_for_one_more(browser: Browser, server: Server) -> None:
    # Over HTTP/1.1 a browser opens at most six connections to a server, for all its tabs.
    watched = Watched(browser, server)
    watched.context.add_init_script(AWAY)
    for _ in range(8):
        page = watched.context.new_page()
        page.goto(server.url)
        live(page)
        page.evaluate(TURN, True)
    watched.close()


# -- what it says of itself ------------------------------------------------------------------------------


def projector_says(server: Server, behind: int) -> None:
    """What a projector writes about once a second, beside a stream that is longer than the view."""
    folded = len(server.log.rows)
    status = ProjectorStatus(
        pid=1, http="", connected=True, stream_last=folded + behind, archived=folded, folded=folded, quarantined=0,
        updated=time.time(),
    )  # fmt: skip
    write_struct(DataDir(server.folder).status, status)


def test_the_badge_says_how_far_behind_the_log_the_page_is(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/trail")
    live(page)
    badge, footer = page.locator("[data-badge]"), page.locator("[data-lag]")
    expect(footer).to_have_text("projector not responding", timeout=SOON)
    for behind, badge_says, footer_says in (
        (1234, "Live, 1,234 events behind", "1,234 events behind"),
        (7, "Live, 7 events behind", "7 events behind"),
        (0, "Live", "up to date"),
    ):
        projector_says(server, behind)
        expect(badge).to_have_text(badge_says, timeout=SOON)
        expect(footer).to_have_text(footer_says)
    watched.close()


@pytest.mark.slow
def test_a_page_of_the_past_changes_only_how_much_came_since(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=model:churn@1&as_of=50")
    now = len(server.log.rows)
    banner = page.locator(".banner")
    expect(banner).to_contain_text(f"{now - 50} events since then")
    page.evaluate(SELECT, "tr[data-key='metrics.loss'] .v")
    rest = """() => {
        const copy = document.documentElement.cloneNode(true);
        copy.querySelector('.banner').remove();
        return copy.outerHTML;
    }"""
    before = page.evaluate(rest)
    server.grow(lambda log: log.log("model:churn@1", {"metrics": {"loss": 9.0}, "fresh": 1}))
    expect(banner).to_contain_text(f"{now - 49} events since then", timeout=SOON)
    server.grow(lambda log: log.log("model:churn@2", {"fresh": 1}))
    expect(banner).to_contain_text(f"{now - 48} events since then", timeout=SOON)
    assert page.evaluate(rest) == before
    assert page.evaluate(SELECTED) != ""
    watched.close()


def test_a_page_at_the_end_of_the_log_says_when_the_first_event_came_since(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    end = len(server.log.rows)
    page = watched.open(f"/entity?ref=model:churn@1&as_of={end}")
    expect(page.locator(".banner")).to_contain_text("No events since then.")
    server.grow(lambda log: log.log("model:churn@1", {"fresh": 1}))
    expect(page.locator(".banner")).to_contain_text("1 event since then", timeout=SOON)
    page.get_by_role("link", name="show changes").click()
    page.wait_for_url(f"**/trail?*since={end}*")
    assert page.locator("li.event").count() == 1
    watched.close()
