"""What was logged runs nothing, asks nobody and leads nowhere, on every page, now and in the past, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser

from runlore.query import Client
from runlore.schemas.paths import format_path, parse_path
from tests.dashboard.browsing import IN_CHROMIUM, Watched, serious
from tests.dashboard.conftest import Server

pytestmark = IN_CHROMIUM

WIDTH = 390


def address(page: str, /, **params: str | list[str]) -> str:
    return f"{page}?{urlencode(params, doseq=True)}"


def hostile_addresses(server: Server) -> dict[str, list[str]]:
    """Every page about everything in the log."""
    with Client(server.folder) as client:
        entities = [*client.find(None, limit=100)]
        references = [entity.reference for entity in entities]
        leaves = [(entity.reference, path) for entity in entities for path in entity.cells()]
        head = client.position
    keys = sorted({path for _, path in leaves})
    words = [word for path in keys for word in parse_path(path)]
    return {
        "home": ["/"],
        "lists": [address("/list", kind=kind, col=keys) for kind in ("model", "artifact")],
        "filters": [address("/list", kind="model", where=f"exists {format_path(parse_path(path))}") for path in keys],
        "entities": [address("/entity", ref=reference) for reference in references],
        "histories": [address("/history", ref=reference, path=path) for reference, path in leaves],
        "lineage": [address("/lineage", ref=reference) for reference in references],
        "comparison": [address("/compare", ref=references, all="1", best="max")],
        "trails": ["/trail", *(address("/trail", ref=reference) for reference in references)],
        "events": [address("/event", position=str(position)) for position in range(1, head + 1)],
        "audit": ["/audit", "/quarantine"],
        "searches": [address("/search", q=text) for text in (*words, *references, "<script>", "javascript:alert(1)")],
    }


@pytest.fixture(scope="module")
def addresses(hostile_server: Server) -> dict[str, list[str]]:
    return hostile_addresses(hostile_server)


@pytest.fixture(scope="module")
def visitor(browser: Browser, hostile_server: Server) -> Iterator[Watched]:
    watched = Watched(browser, hostile_server, viewport={"width": WIDTH, "height": 800})
    yield watched
    watched.context.close()


@pytest.mark.parametrize(
    "pages",
    [
        "home", "lists", "entities", "histories",
        *(pytest.param(pages, marks=pytest.mark.slow)
          for pages in ("searches", "filters", "lineage", "comparison", "trails", "events", "audit")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("moment", ["", pytest.param("as_of=3", marks=pytest.mark.slow)])
def test_hostile_metadata_runs_nothing(
    visitor: Watched, addresses: dict[str, list[str]], hostile_server: Server, pages: str, moment: str
) -> None:
    assert addresses[pages]
    for place, path in enumerate(addresses[pages]):
        asked = path + ("&" if "?" in path else "?") * bool(moment) + moment
        answer = visitor.page.goto(hostile_server.url + asked)
        assert answer is not None
        if answer.status >= 400:
            # Chromium itself complains of such an answer; what was not known yet then is one.
            assert (answer.status, bool(moment)) == (404, True) or pages == "filters", asked
            visitor.complaints = [text for text in visitor.complaints if "Failed to load resource" not in text]
        for link in visitor.page.locator("a[href]").evaluate_all("links => links.map((link) => link.href)"):
            assert link.startswith(hostile_server.url) or "://" in link, (asked, link)
            assert not link.lower().startswith(("javascript:", "data:", "vbscript:")), (asked, link)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= WIDTH, asked
        assert visitor.page.locator("main script, main iframe, main img, main object, main style").count() == 0, asked
        if place == 0:
            assert serious(visitor.page) == [], asked
        assert visitor.complaints == [], asked


@pytest.mark.slow
def test_hostile_pages_without_javascript_are_as_harmless(
    browser: Browser, hostile_server: Server, addresses: dict[str, list[str]]
) -> None:
    watched = Watched(browser, hostile_server, java_script_enabled=False)
    for pages in ("home", "lists", "entities", "comparison", "events"):
        for path in addresses[pages]:
            watched.page.goto(hostile_server.url + path)
            assert watched.page.locator("main h1").count() == 1, path
    assert watched.complaints == []
    watched.context.close()
