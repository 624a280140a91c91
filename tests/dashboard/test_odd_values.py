"""Values at the ends of their types, and questions at the ends of what can be asked: an answer or a clear error."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from runlore.query import Client
from runlore.query.find.order import Cursor
from runlore.schemas import FilterError, InvalidReferenceError, MomentError, NotFoundError, StorageSize
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

EAST, WEST = (dt.timezone(dt.timedelta(hours=hours)) for hours in (5, -5))
ODD: dict[str, Any] = {
    "early": dt.datetime(1, 1, 1, tzinfo=EAST),
    "late": dt.datetime(9999, 12, 31, 23, tzinfo=WEST),
    "size": StorageSize(10**400),
    "giant size": StorageSize(-(10**5000)),
    "huge": 10**400,
    "giant": 10**5000,
    "giant inside": {"a": [10**5000]},
    "signalling": decimal.Decimal("sNaN"),
    "signalling inside": [decimal.Decimal("sNaN")],
    "payload": decimal.Decimal("NaN123"),
    "large decimal": decimal.Decimal("1E+5000"),
    "span": dt.timedelta.max,
    "surrogate": "\ud800",
}
PAGES = (
    "/", "/trail", "/entity?ref=artifact:a@1", "/entity?ref=artifact:a@1&as_of=1", "/history?ref=artifact:a@1&path=x",
    "/list?kind=artifact&col=x", "/list?kind=artifact&order_by=x", "/search?q=x", "/event?position=1",
    "/compare?ref=artifact:a@1&ref=artifact:a@2&best=max", "/compare.csv?ref=artifact:a@1&ref=artifact:a@2",
    "/compare.json?ref=artifact:a@1", "/copy?ref=artifact:a@1&as=json", "/copy?ref=artifact:a@1&as=python",
    "/api/v1/entity?ref=artifact:a@1", "/api/v1/history?ref=artifact:a@1&path=x", "/api/v1/trail", "/api/v1/event?position=1",
    "/api/v1/series?ref=artifact:a@1&path=x", "/api/v1/diff?ref=artifact:a@1&other=artifact:a@2",
    "/api/v1/compare?ref=artifact:a@1&ref=artifact:a@2",
    *(f"/list?kind=artifact&where={quote(where)}" for where in ("x contains 1", "x > 1", "x = nan")),
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_no_value_that_can_be_logged_keeps_a_page_from_answering(tmp_path: Path, name: str) -> None:
    def write(log: LogBuilder) -> None:
        log.log("artifact:a@1", {"x": ODD[name], "accuracy": 1.0})
        log.log("artifact:a@1", {"x": ODD[name], "accuracy": 2.0})
        log.log("artifact:a@2", {"x": 1})

    with web_over(client_of(tmp_path, write, archived=True)) as web:
        answers = {page: web.get(page).status_code for page in PAGES}
    # A key that never held numbers has no series, and some numbers have no text.
    refused = {"/api/v1/series?ref=artifact:a@1&path=x": 404, "/copy?ref=artifact:a@1&as=python": 400}
    assert {page: code for page, code in answers.items() if code not in (200, refused.get(page))} == {}


LONE = "%22%5Cud800%22"  # a path may be written as JSON, which knows lone surrogates
FAR = {
    "where": ("/list?kind=artifact&where={}", "/api/v1/entities?kind=artifact&where={}"),
    "moment": (
        "/entity?ref=artifact:a@1&clock=occurred&as_of={}", "/history?ref=artifact:a@1&path=x&clock=occurred&as_of={}",
        "/lineage?ref=artifact:a@1&clock=occurred&as_of={}", "/compare?ref=artifact:a@1&clock=occurred&as_of={}",
        "/audit?clock=occurred&as_of={}", "/quarantine?clock=occurred&as_of={}", "/search?q=x&clock=occurred&as_of={}",
    ),
    "path": ("/history?ref=artifact:a@1&path={}", "/api/v1/history?ref=artifact:a@1&path={}", "/api/v1/series?ref=artifact:a@1&path={}"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("where", "x%3D1e999999999999999999999"),
        ("moment", "9999-12-31T23%3A59%3A59-12%3A00"),
        ("moment", "0001-01-01T00%3A00%2B05%3A00"),
        ("path", LONE),
    ],
)
def test_what_cannot_be_asked_is_said_to_be_so(tmp_path: Path, kind: str, text: str) -> None:
    with web_over(client_of(tmp_path, lambda log: log.log("artifact:a@1", {"x": 1}))) as web:
        answers = {page: web.get(page.format(text)).status_code for page in FAR[kind]}
    assert {page: code for page, code in answers.items() if code not in (400, 404)} == {}


def test_a_cursor_beyond_every_entity_is_refused(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: [log.log(f"artifact:a{n}@1", {"x": n}) for n in range(5)])
    cursor = client.find("artifact", limit=2).cursor
    assert cursor is not None
    packed = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    packed[1] = 2**64 - 1
    forged = base64.urlsafe_b64encode(msgspec.msgpack.encode(packed)).decode().rstrip("=")
    with pytest.raises(FilterError):
        client.find("artifact", limit=2, after=forged)
    assert Cursor(b"x", 2**63 - 1, 1, None, None)


def test_the_library_says_what_cannot_be_asked(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: log.log("artifact:a@1", {"x": 10**400, "l": [decimal.Decimal("sNaN")]}))
    entity = client.get("artifact:a@1")
    for ask in (
        lambda: entity.history('"\\ud800"'),
        lambda: entity.series('"\\ud800"'),
        lambda: entity.field_history("\ud800"),
        lambda: client.get_artifact_version("\ud800"),
        lambda: client.get_pipeline_run("\ud800"),
        lambda: list(client.watch("artifact:a@1", key='"\\ud800"', since=0, timeout=0)),
        lambda: client.wait_for("\ud800", timeout=0),  # type: ignore[arg-type]
    ):
        with pytest.raises((InvalidReferenceError, NotFoundError)):
            ask()
    assert list(client.find("artifact", "l contains 1")) == []
    assert entity.series("x").to_numpy()[2].tolist() == [float("inf")]


@pytest.mark.parametrize("text", ["1:1+" * 3000, "yesterday " * 100])
def test_a_long_moment_is_refused_at_once(tmp_path: Path, text: str) -> None:
    client: Client = client_of(tmp_path, lambda log: log.log("artifact:a@1", {"x": 1}))
    began = time.process_time()
    with pytest.raises(MomentError, match="no event number or time"):
        client.get("artifact:a@1", as_of=text)
    assert time.process_time() - began < 2  # of CPU; it was minutes
