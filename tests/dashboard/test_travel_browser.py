"""Time travel in a real browser: an error page is a page like others, and times are read in the zone that is displayed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.dashboard.browsing import IN_CHROMIUM, Watched, live
from tests.dashboard.conftest import Server, serve
from tests.dashboard.demo_log import write_demo
from tests.events import LogBuilder

pytestmark = IN_CHROMIUM


def write(log: LogBuilder) -> None:
    write_demo(log)
    log.log("experiment:odd@1", {"loss": 0.5})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("late"), write)
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["/entity?ref=experiment:odd&as_of=20", "/nothing"])
def test_an_error_page_has_the_keys_and_the_switch(browser: Browser, server: Server, path: str) -> None:
    watched = Watched(browser, server, color_scheme="light")
    page = watched.open(path)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    # A missing page is what was asked for.
    assert [text for text in watched.complaints if "404" not in text] == []
    watched.context.close()


def test_from_before_it_existed_a_link_leads_to_where_it_came(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server)
    page = watched.open("/entity?ref=experiment:odd&as_of=20")
    page.get_by_role("link", name="event 61").click()
    assert page.get_by_role("heading", name="odd@1").is_visible()
    page.go_back()
    page.get_by_role("link", name="Show the latest state").click()
    assert page.url.endswith("/entity?ref=experiment:odd")
    live(page)
    watched.context.close()


@pytest.mark.slow
def test_the_time_box_takes_the_time_that_the_page_shows(browser: Browser, server: Server) -> None:
    watched = Watched(browser, server, timezone_id="Asia/Tokyo", locale="en-US")
    page = watched.open("/entity?ref=model:churn@1&as_of=50")
    shown = page.locator("[data-slider-time]").inner_text()
    # Shown or typed as Tokyo says it; a zone and an event number mean themselves.
    for moment in (shown, "2026-01-01 09:00:50", "2026-01-01T09:00:50.5", "2026-01-01T00:00:50Z", "50"):
        watched.open("/entity?ref=model:churn@1")
        assert "Asia/Tokyo" in (page.locator("#as_of").get_attribute("title") or "")
        page.locator("#as_of").fill(moment)
        page.locator("form.moment button", has_text="Go").click()
        page.wait_for_url("**as_of=**")
        assert page.locator("[data-slider-position]").inner_text() == "50"
    watched.close()
