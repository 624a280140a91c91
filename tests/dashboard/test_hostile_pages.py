"""No text of an event hides, turns or rewrites anything on any page, in any answer of the API, or in a live message."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from starlette.testclient import TestClient

from runlore.dashboard.api import API, PREFIX
from runlore.dashboard.pages import PAGES
from runlore.dashboard.visible_html import visible_html
from runlore.schemas.visible import visible
from tests.dashboard.conftest import web_over
from tests.hostile_log import ARTIFACT, MARKUP, MODEL, NAME, TEXT, acts, write_hostile_texts
from tests.query.views import client_of

MODELS = f"ref={quote(str(MODEL))}&ref={quote(f'model:{NAME}@2')}"
STARTS = [
    "/", "/quarantine", "/audit", "/checkpoint.txt", "/search?q=red", f"/search?q={quote(TEXT)}", f"/compare?{MODELS}&all=1",
    f"/compare.csv?{MODELS}", f"/compare.json?{MODELS}", f"/copy?ref={quote(str(MODEL))}&as=json", f"/lineage?ref={quote(str(ARTIFACT))}",
    f"/copy?ref={quote(str(MODEL))}&as=python", f"/list?kind=model&where={quote(TEXT)}", f"/list?kind=model&col={quote(json.dumps([TEXT]))}",
    f"/entity?ref={quote(TEXT)}", f"/entity?ref=model:{quote(NAME)}x", f"/history?ref={quote(str(MODEL))}&path={quote(TEXT)}",
    f"/?as_of={quote(TEXT)}", f"/nowhere/{quote(TEXT)}", f"/list?kind={quote(TEXT)}", "/login?next=%1b",
]  # fmt: skip
SEEN_OFTEN = 15
"""Pages of one kind that are looked at."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("hostile")
    with web_over(client_of(folder, write_hostile_texts, archived=True)) as client:
        yield client


def test_no_text_acts_on_any_page(web: TestClient) -> None:
    asked, waiting, seen = set[str](), list(STARTS), Counter[str]()
    while waiting:
        address = waiting.pop()
        path = urlsplit(address).path
        if address in asked or seen[path] >= SEEN_OFTEN or path.startswith("/static"):
            continue
        asked.add(address)
        seen[path] += 1
        answer = web.get(address)
        assert answer.status_code in (200, 303, 400, 404), address
        if path == "/payload":  # the bytes of an event, as a file
            continue
        assert acts(answer.text.replace("\r\n", "\n")) == [], address  # CSV has such lines
        if answer.headers["content-type"].startswith("text/html"):
            assert MARKUP not in answer.text, address
            links = map(html.unescape, re.findall(r'(?:href|action)="([^"#]+)"', answer.text))
            waiting += [link for link in links if link.startswith("/")]
    assert set(PAGES) <= set(seen)
    assert min(seen["/entity"], seen["/history"], seen["/event"]) > 5


def test_a_form_carries_exact_texts(web: TestClient) -> None:
    page = web.get(f"/compare?{MODELS}").text
    values = [html.unescape(value) for value in re.findall(r'name="ref" value="([^"]+)"', page)]
    # HTML cannot carry C1 controls; everything else comes back.
    assert str(MODEL).replace("\x9b", r"\x9b") in values
    assert visible_html('<a title="\u202ex" data-key="\u202ex">\u202ex</a>') == (
        r'<a title="\u202ex" data-key="&#x202e;x">\u202ex</a>'
    )


def test_no_text_acts_in_the_api_and_none_is_lost(web: TestClient) -> None:
    params = {
        "ref": [str(MODEL), f"model:{NAME}@2"], "other": [f"model:{NAME}@2"], "path": [json.dumps([TEXT])], "kind": ["model"],
        "q": ["red"], "position": ["6"],
    }  # fmt: skip
    answers: dict[str, Any] = {}
    for path in API:
        described = web.get(f"{PREFIX}/openapi.json").json()["paths"].get(path, {"get": {}})["get"]
        known = {one["name"] for one in described.get("parameters", [])}
        query = [(name, value) for name, values in params.items() if name in known for value in values]
        answer = web.get(path, params=query)
        assert acts(answer.text) == [], path
        answers[path] = answer.json()
    assert json.dumps(TEXT) in json.dumps(answers)
    assert json.dumps(str(MODEL)) in json.dumps(answers)
    assert visible(TEXT) != TEXT
