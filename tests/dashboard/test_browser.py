"""A real browser walks every page: no console error, no other host, nothing that axe finds serious; and it is live."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from runlore.query import Client
from tests.dashboard.browsing import IN_CHROMIUM, Watched, serious
from tests.dashboard.conftest import Server

WALK = (
    "/", "/list?kind=run", "/list?kind=model&col=metrics.accuracy", "/entity?ref=run:run-1", "/entity?ref=model:churn@2",
    "/entity?ref=model:churn@2&as_of=45", "/entity?ref=step:run-1/train", "/history?ref=step:run-1/train&path=metrics.loss",
    "/history?ref=model:churn@2&field=stage", "/lineage?ref=artifact:weights@1", "/trail", "/trail?ref=model:churn@2", "/event?position=51", "/event?position=60", "/audit",
    "/quarantine", "/search?q=acme", "/compare", "/compare?ref=model:churn@1&ref=model:churn@2&ref=model:churn@3&best=max",
    "/compare?ref=step:run-1/train&at=5&at=10&all=1",
)  # fmt: skip

pytestmark = IN_CHROMIUM


@pytest.mark.parametrize(
    ("scheme", "width", "paths"),
    [
        ("light", 1280, WALK[::3]),
        ("dark", 390, WALK[1::3]),
        pytest.param("light", 390, WALK, marks=pytest.mark.slow),
        pytest.param("dark", 1280, WALK, marks=pytest.mark.slow),
    ],
)
def test_every_page_is_quiet_accessible_and_fits(
    browser: Browser, demo_server: Server, scheme: Any, width: int, paths: tuple[str, ...]
) -> None:
    watched = Watched(browser, demo_server, color_scheme=scheme, viewport={"width": width, "height": 900})
    for path in paths:
        page = watched.open(path)
        assert watched.complaints == [], path
        assert serious(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    watched.context.close()


@pytest.mark.slow
def test_pages_read_without_javascript(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server, java_script_enabled=False)
    for path in WALK:
        watched.page.goto(demo_server.url + path)
        assert watched.page.locator("main").inner_text().strip(), path
    watched.page.goto(demo_server.url + "/list?kind=model")
    watched.page.locator("tbody input[name=ref]").nth(0).check()
    watched.page.locator("tbody input[name=ref]").nth(1).check()
    watched.page.get_by_role("button", name="Compare selected").click()
    assert watched.page.locator(".compare tbody tr").count() > 3
    watched.context.close()


def test_time_travel_by_slider_keeps_the_position_and_goes_back(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open("/entity?ref=model:churn@2")
    page.locator("[data-slider]").focus()
    page.keyboard.press("Home")
    page.wait_for_url("**as_of=*")
    with Client(demo_server.folder) as client:
        entity = client.get("model:churn@2")
        position = int(page.url.rpartition("as_of=")[2])
        shown = entity.as_of(position).metadata["metrics"]["accuracy"]
        assert shown != entity.metadata["metrics"]["accuracy"]
    assert page.get_by_text("You are viewing the state as of event").is_visible()
    row = page.locator("tr[data-key='metrics.accuracy'] .v")
    assert float(row.get_attribute("title") or "nan") == shown
    page.get_by_role("link", name="Events", exact=True).last.click()
    assert f"as_of={position}" in page.url
    page.go_back()
    page.go_back()
    assert "as_of" not in page.url
    page.go_forward()
    assert f"as_of={position}" in page.url
    page.get_by_role("link", name="Back to now").click()
    assert "as_of" not in page.url
    assert watched.complaints == []
    watched.context.close()


def test_on_a_phone_the_way_back_to_now_is_beside_the_moment(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server, viewport={"width": 390, "height": 800})
    page = watched.open("/entity?ref=model:churn@2&as_of=45")
    go, back = page.get_by_role("button", name="Go").bounding_box(), page.locator("[data-now]").bounding_box()
    assert go
    assert back
    assert (go["y"], go["height"]) == (back["y"], back["height"])
    watched.context.close()


def test_comparison_marks_the_best_and_shows_the_librarys_numbers(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    references = [f"model:churn@{number}" for number in (1, 2, 3)]
    page = watched.open("/compare?" + "&".join(f"ref={reference}" for reference in references) + "&best=max")
    with Client(demo_server.folder) as client:
        row = next(row for row in client.compare(references, "max").rows if row.path == "metrics.accuracy")
    cells = page.locator("tr[data-path='metrics.accuracy'] td")
    assert [float(cells.nth(at).get_attribute("title") or "nan") for at in range(3)] == list(row.values)
    best = [at for at in range(3) if "best" in (cells.nth(at).get_attribute("class") or "")]
    assert best == list(row.best)
    page.get_by_role("button", name="metrics.accuracy").click()
    page.wait_for_selector("[data-overlay-plot][data-drawn='3']")
    page.get_by_role("button", name="Close").click()
    box = page.locator(".parallel .hit").nth(0).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 16, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 16, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_selector("[data-charts][data-settled='2']")
    assert page.locator("thead th[data-column]:visible").count() == 2
    page.get_by_role("button", name="Clear selection").click()
    page.wait_for_selector("[data-charts][data-settled='']")
    assert page.locator("thead th[data-column]:visible").count() == 3
    assert watched.complaints == []
    watched.context.close()


def test_the_keyboard_is_enough(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open("/list?kind=model")
    for key in ("j", "x", "j", "x", "c"):
        page.keyboard.press(key)
    page.wait_for_url("**/compare?ref=*&ref=*")
    page.keyboard.press("/")
    page.keyboard.type("acm")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=acm")
    assert watched.complaints == []
    watched.context.close()


def test_the_theme_is_remembered(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server, color_scheme="light")
    page = watched.open("/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    assert watched.open("/trail").evaluate("getComputedStyle(document.body).backgroundColor") == dark
    watched.context.close()


def test_new_entries_appear_and_nothing_else_moves(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server, viewport={"width": 900, "height": 400})
    page = watched.open("/entity?ref=model:churn@1")
    page.wait_for_selector("[data-badge].live")
    page.locator("details.fold summary").first.click()
    page.evaluate("scrollTo(0, 200)")
    demo_server.grow(lambda log: log.log("model:churn@1", {"fresh": 0.123456}))
    page.wait_for_selector("tr[data-key=fresh]")
    assert page.locator("tr[data-key=fresh] .v").inner_text() == "0.123456"
    assert page.evaluate("scrollY") == 200
    assert page.locator("details.fold[open]").count() == 1
    demo_server.grow(lambda log: log.log("model:churn@1", {"fresh": 0.654321}))
    page.wait_for_selector("tr[data-key=fresh] .v:text-is('0.654321')")
    assert page.locator("details.fold[open]").count() == 1
    assert watched.complaints == []
    watched.context.close()


def test_every_key_of_the_footer_does_what_it_says(browser: Browser, demo_server: Server) -> None:
    watched = Watched(browser, demo_server)
    page = watched.open("/list?kind=model")
    here = page.locator(".here")
    page.keyboard.press("j")
    first = here.get_attribute("data-key")
    page.keyboard.press("j")
    assert here.get_attribute("data-key") != first
    page.keyboard.press("k")
    assert here.get_attribute("data-key") == first
    page.keyboard.press("j")
    page.keyboard.press("x")
    for held in ("Control+j", "Alt+x", "Meta+c"):
        page.keyboard.press(held)
    assert (here.get_attribute("data-key"), here.locator("input").is_checked()) == ("model:churn@2", True)
    page.keyboard.press("Enter")
    page.wait_for_url("**/entity?ref=*")
    page.keyboard.press("[")
    page.wait_for_url("**as_of=*")
    earlier = page.url
    page.keyboard.press("[")
    page.wait_for_url(lambda url: url != earlier)
    page.keyboard.press("]")
    page.wait_for_url(earlier)
    page.keyboard.press("/")
    page.keyboard.type("jjx[c")
    assert page.locator("#search").input_value() == "jjx[c"
    assert page.url == earlier
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    page.wait_for_url(lambda url: url != earlier)
    page.goto(demo_server.url + "/trail")
    page.keyboard.press("j")
    assert here.count() == 1
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", [
    "/list?kind=run", "/history?ref=step:run-1/train&path=metrics.loss", "/lineage?ref=model:churn@2",
    "/compare?all=1&" + "&".join(f"ref={ref}" for ref in (
        "model:churn@1", "model:churn@2", "model:churn@3", "step:run-1/train", "step:run-2/train", "run:run-1",
    )),
])  # fmt: skip
def test_paper_cuts_nothing_off(browser: Browser, demo_server: Server, path: str) -> None:
    watched = Watched(browser, demo_server, viewport={"width": 1280, "height": 900})
    page = watched.open(path)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 980})  # A4 between its margins, in CSS pixels
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    widths = page.evaluate(
        "[...document.querySelectorAll('main .main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert [width for width in widths if width > 688] == []
    watched.close()
