"""One record is one JSON object: from HTTP, from the command line, in Python and in SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.dashboard import create_app
from runlore.query import Change, Client, Entity, Entry
from runlore.query.activity import Activity
from runlore.schemas import EntityRef, MetadataRetracted, ModelStageChanged, NoteAdded
from runlore.store.sqlite import open_reader
from tests.events import LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "churn", "1")


def write(log: LogBuilder) -> None:
    log.log("model:churn@1", {"accuracy": 0.5, "metrics": {"auc": float("nan"), "n": 2**70}}, run="r1", step="train")
    log.log("model:churn@1", {"accuracy": 0.75, "wrong": 1})
    log.add(MetadataRetracted((MODEL,), (("wrong",),), "a mistake"))
    log.add(ModelStageChanged(EntityRef("model", "churn", "1"), "production"))
    log.add(NoteAdded((MODEL,), "looks good"))
    log.log("model:churn@2", {"accuracy": 0.875})


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, write, archived=True)


@pytest.fixture
def web(client: Client) -> Iterator[TestClient]:
    with TestClient(create_app(client, {"testserver"}, None, 30.0)) as web:
        yield web


def run(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json", "--data-dir", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def get(web: TestClient, path: str) -> Any:
    answer = web.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_command_line_and_http_give_one_object_for_one_record(tmp_path: Path, web: TestClient) -> None:
    assert run(tmp_path, "show", "model:churn@1") == get(web, "entity?ref=model:churn@1")
    assert run(tmp_path, "blame", "model:churn@1") == get(web, "blame?ref=model:churn@1")
    assert run(tmp_path, "list", "model") == get(web, "entities?kind=model")["entities"]
    [found] = run(tmp_path, "find", "model", "accuracy < 0.8")["entities"]
    assert found == get(web, "entity?ref=model:churn@1")
    assert (
        run(tmp_path, "history", "model:churn@1", "wrong", "--newest-first")
        == get(web, "history?ref=model:churn@1&path=wrong")["entries"]
    )
    assert run(tmp_path, "diff", "model:churn@1", "model:churn@2") == get(
        web, "diff?ref=model:churn@1&other=model:churn@2&all=1"
    )
    trail = run(tmp_path, "audit", "trail", "model:churn@1")
    assert trail == [get(web, f"event?position={event['position']}")["event"] for event in trail]
    assert len(trail) == 5


def test_the_names_are_those_of_the_python_objects(client: Client, web: TestClient) -> None:
    entry = get(web, "history?ref=model:churn@1&path=accuracy")["entries"][0]
    assert tuple(entry) == Entry.__struct_fields__
    assert set(entry) == set(client.get("model:churn@1").history("accuracy").to_dict()[0])
    assert set(get(web, "trail")["events"][0]) == set(Activity.__struct_fields__)
    entity = get(web, "entity?ref=model:churn@1")
    assert all(hasattr(Entity, name) or name in vars(client.get("model:churn@1")) for name in entity)
    [change] = [change for change in client.watch(since=5, timeout=0) if change.scope == "metadata"]
    assert isinstance(change, Change)


def test_created_is_the_same_moment_everywhere(client: Client, tmp_path: Path, web: TestClient) -> None:
    entry = client.get("model:churn@2").run_metadata["accuracy"]
    with open_reader(next((tmp_path / "projection").glob("view-*.db"))) as view:
        columns = [row[1] for row in view.execute("PRAGMA table_info(current_metadata)")]
        (created,) = view.execute("SELECT created FROM current_metadata WHERE reference = 'model:churn@2'").fetchone()
    assert columns == [
        "project", "reference", "kind", "name", "version", "key", "path", "type", "value", "number", "position",
        "created", "user", "host", "event_id",
    ]  # fmt: skip
    assert created[:19] == f"{entry.created:%Y-%m-%dT%H:%M:%S}"
    for there in (
        get(web, "entity?ref=model:churn@2")["metadata"]["accuracy"],
        get(web, "entity?ref=model:churn@2"),
        get(web, "event?position=6")["event"],
        get(web, "trail")["events"][0],
    ):
        assert there["created"] == msgspec.to_builtins(entry.created)


def test_every_field_of_a_record_is_documented(web: TestClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    entity = get(web, "entity?ref=model:churn@1")
    difference = get(web, "diff?ref=model:churn@1&other=model:churn@2")["differences"][0]
    event = get(web, "event?position=1")["event"]
    records: list[dict[str, Any]] = [entity, entity["notes"][0], difference, get(web, "trail")["events"][0]]
    assert set[str]().union(*records) <= named
    assert {"position", "event_id", "created", "subject", "duplicate_of", "type", "fact"} <= set(event) & named
