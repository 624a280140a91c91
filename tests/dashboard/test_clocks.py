"""By the producers' clocks: the page shows what the query library does, links keep the time, and what cannot be says so."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runlore.query import Client
from tests.dashboard.conftest import web_over
from tests.events import START, LogBuilder
from tests.query.views import client_of

EARLY = START - dt.timedelta(days=2)
TIME = (EARLY + dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def write(log: LogBuilder) -> None:
    """A value that was logged late: its outbox was offline for two days."""
    log.log("model:churn@1", {"accuracy": 0.5, "owner": "ada"})
    log.log("model:churn@1", {"accuracy": 0.9}, occurred_at=EARLY)
    log.log("model:churn@2", {"accuracy": 0.7}, occurred_at=EARLY)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, write)


@pytest.fixture
def web(client: Client) -> Iterator[TestClient]:
    with web_over(client) as web:
        yield web


def shown(answer: str) -> dict[str, str]:
    """Keys of the cards, and what stands beside them."""
    rows = re.findall(r'<tr data-row data-key="([^"]*)">.*?<span class="v [^>]*>([^<]*)</span>', answer, re.DOTALL)
    return dict(rows)


def test_an_entity_shows_what_had_happened_by_then(web: TestClient, client: Client) -> None:
    page = web.get(f"/entity?ref=model:churn@1&as_of={TIME}&clock=occurred")
    assert page.status_code == 200
    with Client(client.scope.reader.data and client.scope.reader.data.root, as_of=TIME, clock="occurred") as then:
        known = then.get("model:churn@1").metadata
    assert known == {"accuracy": 0.9}
    assert shown(page.text) == {key: str(value) for key, value in known.items()}
    assert "by the producers' clocks, as far as it is known today" in page.text.replace("&#39;", "'")
    # By the log's clock nothing was known then.
    assert web.get(f"/entity?ref=model:churn@1&as_of={TIME}").status_code == 404


def test_links_keep_the_time_and_the_clock_where_pages_can(web: TestClient) -> None:
    page = web.get(f"/entity?ref=model:churn@1&as_of={TIME}&clock=occurred").text
    assert f"/lineage?as_of={TIME}&amp;clock=occurred&amp;ref=model:churn@1" in page
    assert f"/history?as_of={TIME}&amp;clock=occurred&amp;ref=model:churn@1&amp;path=accuracy" in page
    assert f'href="/list?as_of={TIME}&amp;kind=model"' in page
    assert f'href="/trail?as_of={TIME}&amp;ref=model:churn@1"' in page
    for link in re.findall(r'<a [^>]*href="(/[^"]*)"', page):
        assert web.get(link.replace("&amp;", "&")).status_code in (200, 404), link
    assert "data-slider" not in page


@pytest.mark.parametrize("path", ["/history?ref=model:churn@1&path=accuracy", "/lineage?ref=model:churn@1",
                                  "/compare?ref=model:churn@1&ref=model:churn@2", "/copy?ref=model:churn@1&as=json"])  # fmt: skip
def test_other_pages_of_entities_do_as_well(web: TestClient, path: str) -> None:
    page = web.get(f"{path}&as_of={TIME}&clock=occurred")
    assert page.status_code == 200
    assert "0.5" not in re.sub(r"<[^>]*>", "", page.text)
    assert "ada" not in shown(page.text).values()


def test_moments_of_a_comparison_go_by_the_same_clock(web: TestClient) -> None:
    later = (START + dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    table = web.get(f"/compare.json?ref=model:churn@1&at={TIME}&at={later}&clock=occurred").json()
    assert list(table["accuracy"].values()) == [0.9, 0.9]
    assert list(table["owner"].values()) == ["ada"]


@pytest.mark.parametrize("path", ["/", "/list?kind=model", "/trail", "/trail?ref=model:churn@1"])
def test_what_goes_by_positions_says_so_and_offers_the_logs_clock(web: TestClient, path: str) -> None:
    joined = "&" if "?" in path else "?"
    page = web.get(f"{path}{joined}as_of={TIME}&clock=occurred")
    assert page.status_code == 400
    assert "cannot be read by the producers" in page.text
    link = re.search(r'href="([^"]*)">Use the log', page.text)
    assert link
    assert web.get(link[1].replace("&amp;", "&")).status_code in (200, 404)


@pytest.mark.parametrize(("query", "says"), [("as_of=3&clock=occurred", "says nothing about the producers"),
                                             ("as_of=3&clock=sundial", "sundial")])  # fmt: skip
def test_a_clock_that_makes_no_sense_is_said(web: TestClient, query: str, says: str) -> None:
    page = web.get(f"/entity?ref=model:churn@1&{query}")
    assert page.status_code == 400
    assert says in page.text


def test_the_api_takes_the_same_parameter(web: TestClient) -> None:
    answer = web.get(f"/api/v1/entity?ref=model:churn@1&as_of={TIME}&clock=occurred").json()
    assert {key: entry["value"] for key, entry in answer["metadata"].items()} == {"accuracy": 0.9}
    refused = web.get(f"/api/v1/entities?kind=model&as_of={TIME}&clock=occurred")
    assert refused.status_code == 400
    described = web.get("/api/v1/openapi.json").json()["paths"]["/api/v1/entity"]["get"]["parameters"]
    assert "clock" in [parameter["name"] for parameter in described]


def write_two(log: LogBuilder) -> None:
    """Two values that were logged two days late, two hours apart by their producer's clock."""
    log.log("model:churn@1", {"accuracy": 0.5}, occurred_at=EARLY)
    log.log("model:churn@1", {"accuracy": 0.9}, occurred_at=EARLY + dt.timedelta(hours=2))


def test_numbers_and_differences_go_by_the_clock_that_was_asked_for(tmp_path: Path) -> None:
    since, as_of = ((EARLY + dt.timedelta(hours=hours)).isoformat().replace("+00:00", "Z") for hours in (1, 3))
    asked = f"ref=model:churn@1&as_of={as_of}&clock=occurred"
    with web_over(client_of(tmp_path, write_two)) as web, Client(tmp_path, as_of=as_of, clock="occurred") as then:
        series = web.get(f"/api/v1/series?{asked}&path=accuracy").json()
        assert series["times"] == list(then.get("model:churn@1").series("accuracy").times)
        [known] = then.diff("model:churn@1", since=since)
        [output] = web.get(f"/api/v1/diff?{asked}&since={since}").json()["differences"]
        assert (known.before, known.after) == (0.5, 0.9)
        assert (output["before"], output["after"]) == (known.before, known.after)
        [begun] = web.get(f"/api/v1/diff?{asked}").json()["differences"]
        assert (begun["change"], begun["after"]) == ("added", 0.9)
        assert web.get(f"/api/v1/diff?{asked}&since=1").status_code == 400
