"""Names and keys of any characters: each is read, found by a filter, and leads from page to page."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from starlette.testclient import TestClient

from runlore.schemas import EntityRef
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

KEYS = [
    "", "a.b", "MAP@k", "huber[delta=1.3]", "n:x", "a,b", "union(m1,m2)__n", "a/b", "timing(s)/gen", '"q"', "😀", "nul\0x",
    "line\nbreak", "k" * 5000, "\u202eabc", "::", "s::k", "%", "_", "'", "a\\b", "?x#y", "a&b=c", "name", "status", "stage",
    "__class__",
]  # fmt: skip
NAMES = [
    "a b", "a/b", "..", ".", "../etc/passwd", "?x#y", "100%", "😀é", "a@b", "a:b", "a%2Fb", "~", "\u202ename", "a+b", "a&b=c",
    "<script>", '"', "\\", "a//b", "/lead", "Case", "case",
]  # fmt: skip


def links(web: TestClient, page: str, part: str) -> list[str]:
    """Where a page leads, once each, as far as the address has this part."""
    answer = web.get(page)
    assert answer.status_code == 200
    found = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', answer.text)]
    return list(dict.fromkeys(link for link in found if part in link))


def test_a_key_of_any_characters_is_read_found_and_linked(tmp_path: Path) -> None:
    values = {key: number for number, key in enumerate(KEYS)}
    client = client_of(tmp_path, lambda log: log.log("model:m@1", values), archived=True)
    entity = client.get("model:m")
    assert entity.metadata == values
    for key, number in values.items():
        assert [entry.value for entry in entity.history((key,))] == [number], key
        assert [found.name for found in client.find("model", f"{json.dumps(key)} = {number}")] == ["m"], key
    with web_over(client) as web:
        histories = links(web, "/entity?ref=model:m@1", "/history")
        assert len(histories) >= len(KEYS)
        for link in histories:
            assert web.get(link).status_code == 200, link


def test_a_name_of_any_characters_is_itself_and_linked(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for name in NAMES:
            log.log(EntityRef("odd", name), {"called": name})

    client = client_of(tmp_path, write, archived=True)
    for name in NAMES:
        assert client.get(client.get(EntityRef("odd", name)).reference).metadata == {"called": name}
    with web_over(client) as web:
        pages = [link for link in links(web, "/list?kind=odd", "/entity?") if "as_of" not in link]
        assert len(pages) >= len(NAMES)
        for link in pages:
            assert web.get(link).status_code == 200, link
