"""The tools of `runlore mcp`, without the protocol: what they answer, in pages, within limits, with errors as sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runlore.integrations.mcp.calling import call, schemas
from runlore.integrations.mcp.reading import MAX_TEXT
from runlore.integrations.mcp.tools import TOOLS
from runlore.query import Client
from runlore.query.records import entry_record
from runlore.schemas import EntityRef, RunloreError
from runlore.schemas.events import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    MetadataRetracted,
    NoteAdded,
    RunStarted,
    StepStarted,
)
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import client_of, fold_live, index_texts

MODEL = EntityRef("model", "churn", "1")


def write(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "blue"), run="r1")
    log.add(StepStarted(), run="r1", step="train")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "raw", "1")), run="r1", step="train")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "clean", "1")), run="r1", step="train")
    for number in range(1, 31):
        log.log("model:churn@1", {"loss": 1 / number}, run="r1", step="train")
    log.log("model:churn@1", {f"key_{number}": number for number in range(30)})
    log.add(MetadataRetracted((MODEL,), (("key_3",),), "a mistake"))
    log.add(NoteAdded((MODEL,), "looks good"))
    log.log(
        "model:churn@2", {"loss": 0.01, "long": "x" * 10_000, "many": list(range(5_000)), "odd": "a\u202eb\U000e0041"}
    )
    log.project = "other"
    log.log("model:secret@1", {"loss": 0.5})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agents")
    client_of(root, write, archived=True).close()
    index_texts(root)
    return root


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(folder)


def pages(client: Client, name: str, of: str, **arguments: Any) -> list[Any]:
    """All results of a tool, page by page."""
    found: list[Any] = []
    cursor = None
    while True:
        answer = call(client, name, {**arguments, "cursor": cursor})
        some = answer[of]
        assert len(some) <= arguments["limit"]
        found += some.items() if isinstance(some, dict) else some
        cursor = answer["cursor"]
        if cursor is None:
            return found


def test_kinds_and_keys_say_what_there_is_to_ask_for(client: Client) -> None:
    kinds = {item["kind"]: item["count"] for item in call(client, "list_kinds", {})["kinds"]}
    assert kinds == {"run": 1, "step": 1, "artifact": 2, "model": 2, "pipeline": 1}
    keys = {item["path"]: item for item in pages(client, "list_keys", "keys", kind="model", limit=7)}
    assert keys["loss"] == {"path": "loss", "type": "float", "count": 2}
    assert keys["key_0"]["count"] == 1
    with pytest.raises(RunloreError, match=r"no entity of kind 'modell'; there are: .*model"):
        call(client, "list_keys", {"kind": "modell"})


def test_find_gives_the_values_that_were_asked_for_page_by_page(client: Client) -> None:
    found = pages(
        client, "find", "entities", kind="model", where="loss < 0.5", columns=["loss"], order_by="loss", limit=1
    )
    assert [(item["reference"], item["values"]["loss"]) for item in found] == [
        ("model:churn@2", 0.01), ("model:churn@1", 1 / 30),
    ]  # fmt: skip
    assert call(client, "find", {"kind": "model", "as_of": 10})["entities"][0]["reference"] == "model:churn@1"


def test_an_entity_has_each_value_with_who_and_when(client: Client) -> None:
    entries = dict(pages(client, "get", "metadata", reference="model:churn@1", limit=10))
    ours = client.get("model:churn@1").run_metadata
    assert entries == json.loads(json.dumps({key: entry_record(entry) for key, entry in ours.items()}, default=_iso))
    assert entries["loss"]["actor"]["user"] == "ada"
    one = call(client, "get", {"reference": "model:churn@1", "keys": ["loss"], "as_of": 10})
    assert [entry["position"] for entry in one["metadata"].values()] == [10]
    assert call(client, "get", {"reference": "model:churn@1"})["notes"][0]["value"] == "looks good"
    assert call(client, "get", {"reference": "run:blue"})["entity"]["reference"] == "run:r1"


def _iso(value: Any) -> str:
    return str(value.isoformat().replace("+00:00", "Z"))


def test_pages_of_one_answer_are_of_one_moment(tmp_path: Path) -> None:
    log = LogBuilder()
    log.log("model:x@1", {f"key_{number}": 0 for number in range(4)})
    fold_live(DataDir(tmp_path), log)
    client = Client(tmp_path)
    first = call(client, "blame", {"reference": "model:x@1", "limit": 2})
    log.log("model:x@1", {"key_3": 1})
    fold_live(DataDir(tmp_path), log, after=1)
    second = call(client, "blame", {"reference": "model:x@1", "limit": 2, "cursor": first["cursor"]})
    assert [(entry["path"], entry["value"]) for entry in second["entries"]] == [("key_2", 0), ("key_3", 0)]


def test_a_history_is_read_back_newest_first(client: Client) -> None:
    found = pages(client, "history", "entries", reference="model:churn@1", key="loss", limit=8)
    assert [entry["value"] for entry in found] == [1 / number for number in range(30, 0, -1)]
    assert found[0]["previous"] == 1 / 29


def test_differences_between_two_entities_and_two_moments(client: Client) -> None:
    two = pages(client, "diff", "differences", reference="model:churn@1", other="model:churn@2", limit=10)
    assert next(item for item in two if item["path"] == "loss")["change"] == "changed"
    past = call(client, "diff", {"reference": "model:churn@1", "since": 10, "as_of": 12})
    assert [(item["path"], item["before"], item["after"]) for item in past["differences"]] == [("loss", 1 / 6, 1 / 8)]
    with pytest.raises(RunloreError, match="either `other`, an entity, or `since`"):
        call(client, "diff", {"reference": "model:churn@1"})


def test_a_comparison_marks_what_differs_and_what_is_best(client: Client) -> None:
    table = call(client, "compare", {"references": ["model:churn@1", "model:churn@2"], "best": "min"})
    row = next(row for row in table["rows"] if row["path"] == "loss")
    assert (row["values"], row["present"], row["best"]) == ([1 / 30, 0.01], [True, True], [1])


def test_blame_says_how_a_path_ended(client: Client) -> None:
    entries = pages(client, "blame", "entries", reference="model:churn@1", ended=True, limit=20)
    ended = next(entry for entry in entries if entry["path"] == "key_3")
    assert (ended["type"], ended["reason"], ended["actor"]["user"]) == ("retracted", "a mistake", "ada")


def test_lineage_and_search(client: Client) -> None:
    graph = call(client, "lineage", {"reference": "artifact:clean@1"})
    assert ("step:r1/train", "consumed", "artifact:raw@1") in {
        (edge["source"], edge["relation"], edge["target"]) for edge in graph["edges"]
    }
    hits = call(client, "search", {"text": "churn", "kind": "model"})["hits"]
    assert {hit["reference"] for hit in hits} == {"model:churn@1", "model:churn@2"}


def test_evidence_is_a_proof_in_the_newest_checkpoint_by_number_and_by_id(client: Client) -> None:
    entry = client.get("model:churn@1").run_metadata["loss"]
    by_number = call(client, "evidence", {"event": entry.position})
    assert by_number == call(client, "evidence", {"event": entry.event_id})
    assert by_number["event"]["event_id"] == entry.event_id
    assert by_number["proof"]["checkpoint"]["note"].startswith(by_number["proof"]["checkpoint"]["origin"])
    assert not by_number["tampered"]
    for event in (client.position, 10**6, "no-such-id"):  # of another project, too high, unknown
        with pytest.raises(RunloreError, match=r"is not of project|later|no event"):
            call(client, "evidence", {"event": event})


def test_large_values_are_named_by_their_size_and_hidden_characters_are_visible(client: Client) -> None:
    values = {
        key: entry["value"] for key, entry in call(client, "get", {"reference": "model:churn@2"})["metadata"].items()
    }
    assert values["long"] == "x" * MAX_TEXT + "… (10,000 characters in all)"
    assert values["many"] == {"not_shown": "list of 23,891 bytes: ask for the paths below it"}
    assert values["odd"] == "a\\u202eb\\U000e0041"


def test_wrong_questions_get_sentences(client: Client) -> None:
    for name, arguments, sentence in (
        ("drop", {}, "There is no tool 'drop'; there are: list_kinds"),
        ("get", {}, "Invalid arguments of get: Object missing required field `reference`"),
        ("get", {"reference": "model:churn@1", "limit": 1000}, "<= 100"),
        ("get", {"reference": "model:churn@1", "keyz": []}, "unknown field `keyz`"),
        ("get", {"reference": "model:none"}, "no model named 'none'"),
        ("get", {"reference": "model:churn@1", "keys": ["los"]}, "has no key 'los'"),
        ("get", {"reference": "model:churn@1", "cursor": "x"}, "cursor is none of this tool's"),
        ("get", {"reference": "model:churn@1", "as_of": "whenever"}, "whenever"),
        ("find", {"where": "loss ="}, "expected a value"),
    ):
        with pytest.raises(RunloreError) as caught:
            call(client, name, arguments)
        assert sentence in str(caught.value)
        assert "Traceback" not in str(caught.value)


def test_another_project_is_not_seen(client: Client) -> None:
    assert call(client, "find", {"where": "loss = 0.5"})["entities"] == []
    with pytest.raises(RunloreError, match="no model named 'secret'"):
        call(client, "get", {"reference": "model:secret@1"})


def test_every_schema_is_an_object_with_described_arguments() -> None:
    for tool in TOOLS.values():
        arguments, answer = schemas(tool)
        assert (arguments["type"], arguments["additionalProperties"], answer["type"]) == ("object", False, "object")
        assert len(tool.description) > 30
