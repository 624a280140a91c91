"""Every address answers, says what the query library says, and says readably what is wrong."""

from __future__ import annotations

import datetime as dt
import decimal
import html
import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from runlore import schemas
from runlore.dashboard.display import number_text
from runlore.query import Client
from runlore.query.page.counts import KindCounts
from runlore.schemas import DType, EntityRef, MetadataRetracted, NoteAdded, RunStarted, StorageSize, Uri
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

PAGES = (
    "/", "/list?kind=run", "/list?kind=model", "/list?kind=step", "/list?kind=artifact", "/list?kind=dataset",
    "/list?kind=model&where=metrics.accuracy+>+0.8&order_by=metrics.accuracy&desc=1&col=metrics.accuracy&limit=2",
    "/entity?ref=run:run-1", "/entity?ref=step:run-1/train", "/entity?ref=model:churn@2", "/entity?ref=model:churn",
    "/entity?ref=artifact:weights", "/history?ref=model:churn@2&path=metrics.accuracy", "/history?ref=model:churn@2&path=metrics",
    "/history?ref=model:churn@2&field=stage", "/lineage?ref=artifact:weights", "/lineage?ref=model:churn@1&depth=1",
    "/trail", "/trail?ref=model:churn@2", "/trail?since=40", "/quarantine", "/search", "/search?q=acme", "/compare",
    "/compare?ref=model:churn@1", "/compare?ref=model:churn@1&ref=model:churn@2&best=max",
    "/compare?ref=model:churn@2&at=40&at=60&all=1", "/copy?ref=model:churn@1&as=json", "/copy?ref=model:churn@1&as=python&key=metrics",
)  # fmt: skip
API = (
    "status", "moment", "entities?kind=model", "entity?ref=run:run-1", "history?ref=model:churn@2&path=metrics.accuracy",
    "series?ref=step:run-1/train&path=metrics.loss", "diff?ref=model:churn@2&since=40", "diff?ref=model:churn@1&other=model:churn@2&all=1",
    "compare?ref=model:churn@1&ref=model:churn@2", "trail", "trail?ref=model:churn@2", "lineage?ref=artifact:weights",
    "search?q=acme", "quarantine", "openapi.json",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_now_and_in_the_past(web: TestClient, path: str) -> None:
    assert web.get(path).status_code == 200
    past = web.get(path + ("&" if "?" in path else "?") + "as_of=45")
    # churn@2 had no stage then: a field that was never set has no history.
    assert past.status_code == (404 if "field=stage" in path else 200)
    if past.status_code == 200 and not path.startswith("/copy"):
        latest = path.startswith(("/search", "/quarantine"))
        assert (
            "This page always shows the latest state" if latest else "You are viewing the state as of event 45"
        ) in past.text


@pytest.mark.parametrize("path", API)
def test_every_endpoint_answers_as_its_description_says(web: TestClient, path: str) -> None:
    answer = web.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    described = web.get("/api/v1/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    known = described["paths"].get(f"/api/v1/{path.partition('?')[0]}")
    if known is None:
        return
    schema = known["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    assert set(answer.json()) == set(described["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/entity?ref=model:chrun", 404, "model:churn@3"),
        ("/entity?ref=nonsense", 400, "has no kind"),
        ("/entity", 400, "has no kind"),
        ("/list?kind=model&where=framework+%3D+sklearn", 400, "column 13"),
        ("/list?kind=model&limit=none", 400, "whole number"),
        ("/list?kind=model&after=nonsense", 400, "cursor"),
        ("/list?kind=BAD+KIND", 400, "kind"),
        ("/?as_of=03/04/2026", 400, "ambiguous"),
        ("/history?ref=model:churn@1&path=nothing", 404, "has no key"),
        ("/compare?ref=model:churn@1&best=biggest", 400, "max or min"),
        ("/copy?ref=model:churn@1&key=none", 404, "no key"),
        ("/nothing", 404, "This page does not exist"),
        ("/static/nothing.js", 404, ""),
    ],
)
def test_what_is_wrong_is_a_readable_page(web: TestClient, path: str, status: int, says: str) -> None:
    answer = web.get(path)
    assert answer.status_code == status
    assert says in answer.text
    assert "Traceback" not in answer.text


def test_api_errors_are_json(web: TestClient) -> None:
    answer = web.get("/api/v1/entity?ref=model:chrun")
    assert answer.status_code == 404
    assert answer.json()["near"] == ["model:churn@3"]
    assert web.get("/api/v1/entity").status_code == 400


def test_time_travel_shows_what_the_query_library_knew_then(web: TestClient, demo: Client) -> None:
    entity = demo.get("model:churn@2")
    first, last = (entity.history("metrics.accuracy")[at] for at in (0, -1))
    assert first.value != last.value
    then = web.get(f"/api/v1/entity?ref=model:churn@2&as_of={first.position}").json()
    assert (
        then["metadata"]["metrics"]["value"]["accuracy"] == entity.as_of(first.position).metadata["metrics"]["accuracy"]
    )
    page = web.get(f"/entity?ref=model:churn@2&as_of={first.position}").text
    assert f'title="{first.value!r}"' in page
    assert "Changes since then" in page
    assert f"as_of={first.position}" in page.split("<main", 1)[1]


def test_every_link_of_a_past_page_keeps_the_position(web: TestClient) -> None:
    page = web.get("/entity?ref=model:churn@1&as_of=40").text.split("<main", 1)[1].split("</main", 1)[0]
    links = [part.split('"', 1)[0] for part in page.split('href="/')[1:]]
    assert len(links) > 10
    assert [link for link in links if "as_of=" not in link] == [
        link for link in links if link.startswith("history") and "as_of" not in link
    ]  # "Changes since then" leads to the whole history


def test_a_phrase_becomes_a_position_in_links(web: TestClient, demo: Client) -> None:
    page = web.get("/list?kind=model&as_of=1h+ago").text
    assert f"as_of={demo.position_at('1h ago')}" in page


def test_comparison_shows_the_same_numbers_as_the_library(web: TestClient, demo: Client) -> None:
    table = demo.compare(["model:churn@1", "model:churn@2"], "max")
    answer = web.get("/api/v1/compare?ref=model:churn@1&ref=model:churn@2&best=max").json()
    assert [row["path"] for row in answer["rows"]] == [row.path for row in table.rows]
    for row, shown in zip(table.rows, answer["rows"], strict=True):
        if isinstance(row.values[0], float) and row.values[0] == row.values[0]:
            assert [cell["value"] for cell in shown["values"]] == list(row.values)
        assert shown["best"] == list(row.best)
    exported = json.loads(web.get("/compare.json?ref=model:churn@1&ref=model:churn@2").text)
    assert exported["metrics.accuracy"] == {"model:churn@1": 0.8 + 1 / 20, "model:churn@2": 0.95}


def test_long_comparisons_come_in_parts(web: TestClient) -> None:
    refs = "&".join(f"ref=model:churn@{number}" for number in (1, 2, 3))
    ats = "&".join(f"at={position}" for position in range(60, 200))
    first = web.get(f"/compare?{refs}&{ats}&all=1")
    assert "More keys" in first.text
    part = web.get(f"/compare?{refs}&{ats}&all=1&part=1&from=11")
    assert part.status_code == 200
    assert "<html" not in part.text


def test_pages_of_a_list_follow_each_other(web: TestClient) -> None:
    page = web.get("/list?kind=model&limit=2").text
    assert "model:churn@3" in page
    following = page.split('rel="next" href="', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    second = web.get(following).text
    assert "model:churn@1" in second
    assert "model:churn@3" not in second.split("<main", 1)[1]


def test_quarantine_shows_reason_and_bytes(web: TestClient) -> None:
    page = web.get("/quarantine").text
    assert "c1 20 6e 6f 74" in page
    assert "could not be decoded" in page


def test_retractions_and_notes_are_visible(web: TestClient) -> None:
    page = web.get("/entity?ref=model:churn@2").text
    assert "under embargo" in page
    assert "Checked with the team." in page


def test_health_and_metrics(web: TestClient, demo: Client) -> None:
    assert web.get("/livez").json() == {"live": True}
    assert web.get("/readyz").json()["position"] == demo.position
    web.get("/")
    figures = web.get("/metrics").text
    assert 'runlore_dashboard_requests_total{page="/",status="200"} 1' in figures
    assert f"runlore_dashboard_position {demo.position}" in figures


def test_counts_go_on_from_what_was_counted(demo: Client) -> None:
    counts = KindCounts()
    assert counts.of(demo.scope) == demo.list_kinds()
    assert counts.of(demo.scope) == demo.list_kinds()
    with Client(demo.scope.reader.data.root if demo.scope.reader.data else None, as_of=20) as then:
        assert counts.of(then.scope) == then.list_kinds() != demo.list_kinds()


def marked(answer: str, path: str) -> list[int]:
    row = re.search(rf'<tr[^>]*data-path="{re.escape(path)}">.*?</tr>', answer, re.DOTALL)
    assert row
    return [int(column) for column in re.findall(r'<td class="c(\d+) best[ "]', row[0])]


def test_one_key_can_be_better_lower_than_the_others(web: TestClient, demo: Client) -> None:
    query = "/compare?ref=model:churn@1&ref=model:churn@2&ref=model:churn@3&best=max"
    references = ["model:churn@1", "model:churn@2", "model:churn@3"]
    best = {row.path: list(row.best) for row in demo.compare(references, "max").rows}
    lowest = {row.path: list(row.best) for row in demo.compare(references, "min").rows}
    assert best["metrics.loss"] != lowest["metrics.loss"]
    plain = web.get(query).text
    turned = web.get(query + "&turn=metrics.loss").text
    back = web.get(query + "&turn=metrics.loss&turn=metrics.loss").text
    for path in ("metrics.loss", "metrics.accuracy", "size"):
        assert marked(plain, path) == marked(back, path) == best[path]
    assert marked(turned, "metrics.loss") == lowest["metrics.loss"]
    assert marked(turned, "metrics.accuracy") == best["metrics.accuracy"]
    form = re.compile(r'<form id="turns".*?</form>', re.DOTALL)
    assert ['name="turn"' in part for page in (plain, turned, back) for part in form.findall(page)] == [
        False,
        True,
        False,
    ]


def test_what_has_changed_since_names_stage_and_note_as_well(web: TestClient) -> None:
    page = web.get("/entity?ref=model:churn@2&as_of=45").text
    since = re.search(r'<section class="since">.*?</section>', page, re.DOTALL)
    assert since
    rows = re.findall(r"<th scope=\"row\"><a [^>]*>([^<]*)</a>", since[0])
    assert rows == ["stage", "note", "metrics.accuracy"]
    assert 'class="since"' not in web.get("/entity?ref=model:churn@2").text
    assert "it is the same today" in web.get("/entity?ref=model:churn@2&as_of=60").text


def test_columns_of_one_entity_at_several_moments_say_which(web: TestClient) -> None:
    page = web.get("/compare?ref=step:run-1/train&at=5&at=10").text
    assert re.findall(r'<span class="muted">at (\d+)</span>', page) == ["5", "10"]


def test_a_search_says_how_far_its_index_is(web: TestClient, demo: Client) -> None:
    known = demo.search("churn").position
    page = web.get("/search?q=churn").text
    assert known < demo.position  # nobody indexes in this test
    assert f"up to event {known} of {demo.position}" in page


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_of_the_log_are_the_whole_log_however_many_entities_an_event_touched(tmp_path: Path, limit: int) -> None:
    def write(log: LogBuilder) -> None:
        log.log("artifact:old@1", {"x": 1})
        log.log(["artifact:a@1", "artifact:b@1", "artifact:c@1"], {"x": 2})
        log.log("artifact:new@1", {"x": 3})
        log.log(["artifact:a@1", "artifact:b@1"], {"x": 4})

    with web_over(client_of(tmp_path, write)) as web:
        whole = [(item["position"], item["reference"]) for item in web.get("/api/v1/trail").json()["events"]]
        assert len(whole) == 7
        listed, before = [], ""
        while before is not None:
            answer = web.get(
                f"/api/v1/trail?limit={limit}&before={before}" if before else f"/api/v1/trail?limit={limit}"
            )
            listed += [(item["position"], item["reference"]) for item in answer.json()["events"]]
            before = answer.json()["before"]
        shown, address = [], f"/trail?limit={limit}"
        while address:
            text = web.get(address).text
            shown += [(int(at), ref) for at, ref in re.findall(r'<li class="event" data-key="(\d+) ([^"]+)"', text)]
            following = re.search(r'rel="next" href="([^"]+)"', text)
            address = html.unescape(following[1]) if following else ""
    assert listed == whole
    assert shown == whole


def test_notes_keep_their_lines_and_their_ends(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"x": 1})
        log.add(NoteAdded((EntityRef("model", "m", "1"),), "first line\nsecond line"))
        log.add(NoteAdded((EntityRef("model", "m", "1"),), "long " * 700 + "the very end"))

    with web_over(client_of(tmp_path, write)) as web:
        text = web.get("/entity?ref=model:m@1").text
    assert "first line\nsecond line" in text
    assert "the very end" in text
    assert 'href="/event?position=2"' in text


def test_the_history_of_a_group_says_which_keys_changed(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"metrics": {"accuracy": 0.9, "loss": float("nan"), "f1": 0.5}})
        log.add(MetadataRetracted((EntityRef("model", "m", "1"),), (("metrics", "accuracy"),), "leaked"))
        log.log("model:m@1", {"metrics": {"loss": float("nan"), "f1": 0.6, "auc": 0.7}})

    with web_over(client_of(tmp_path, write)) as web:
        text = web.get("/history?ref=model:m@1&path=metrics").text
    assert "accuracy removed" in text
    assert "f1 changed, auc added" in text


def test_every_page_says_how_many_events_could_not_be_folded(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"x": 1})
        log.add_raw(b"not an event", None)
        log.add_raw(b"nor this", None)

    with web_over(client_of(tmp_path, write)) as web:
        for page in ("/", "/trail", "/entity?ref=model:m@1"):
            assert "2 events not applied" in web.get(page).text
            assert "not applied" not in web.get(f"{page}{'&' if '?' in page else '?'}as_of=1").text


def test_parameters_of_runs_are_columns_of_their_list(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for number, rate in ((1, 0.125), (2, 0.0625)):
            log.add(RunStarted("train", f"t{number}", None, {"lr": rate, "odd name": number}), run=f"r{number}")

    with web_over(client_of(tmp_path, write)) as web:
        text = web.get("/list?kind=run&col=parameters.lr&order_by=parameters.lr&desc=1").text
        assert text.index("0.125") < text.index("0.0625")
        assert "parameters.odd name" in web.get("/list?kind=run").text
        compared = web.get("/compare?ref=run:r1&ref=run:r2").text
    assert "0.0625" in compared
    assert 'data-history="parameters.lr"' not in compared


def test_python_that_is_copied_runs_and_gives_the_value_back(tmp_path: Path) -> None:
    value = {
        "size": StorageSize(7), "where": Uri("gs://b/x"), "path": schemas.Path("/tmp/x"), "kind": DType("float"),
        "id": uuid.UUID(int=5), "price": decimal.Decimal("1.10"), "when": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        "span": dt.timedelta(seconds=3), "edge": [float("inf"), -float("inf")], "set": {1, 2}, "bytes": b"x",
    }  # fmt: skip
    with web_over(client_of(tmp_path, lambda log: log.log("model:m@1", value))) as web:
        text = web.get("/copy?ref=model:m@1&as=python").text
    *imports, expression = text.splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    assert eval(expression, names) == value


def test_a_step_whose_name_has_colons_has_a_card_of_its_own(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("train", "t1"), run="r1")
        log.log("step:r1/train::fold-1", {"metrics": {"loss": 0.5}})

    with web_over(client_of(tmp_path, write)) as web:
        assert "<h3>train::fold-1 › metrics</h3>" in web.get("/entity?ref=run:r1").text


def test_a_project_that_is_not_there_is_said_so(web: TestClient) -> None:
    answer = web.get("/?project=nosuch")
    assert (answer.status_code, "projects: default" in answer.text) == (404, True)


def test_no_column_is_no_column(web: TestClient) -> None:
    plain, empty = (web.get(f"/list?kind=model{more}").text.count("<th") for more in ("&col=nothing", "&col="))
    assert empty == plain - 1


@pytest.mark.parametrize(("value", "text"), [
    (0.5, "0.5"), (0.999999939, "0.999999939"), (0.99999999999999, "0.99999999999999"), (0.8766666666666667, "0.876667"),
    (100000001.0, "100000001.0"), (1764000000.5, "1764000000.5"), (1234567.8912345, "1234567.89123"),
    (123456789012345.0, "123456789012345"), (1.25e300, "1.25e+300"), (1.2345678901234e-9, "1.23457e-09"),
])  # fmt: skip
def test_a_number_is_short_and_shows_no_other_number(value: float, text: str) -> None:
    assert number_text(value) == number_text(-value).removeprefix("-") == text
