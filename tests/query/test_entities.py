from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.query import Client, ModelVersion, PipelineRun, StepRun
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    DType,
    EntityRef,
    InvalidReferenceError,
    MetadataRetracted,
    ModelStageChanged,
    NotFoundError,
    NoteAdded,
    RunFinished,
    RunStarted,
    SettingsError,
    StepFinished,
    StepStarted,
    StorageSize,
    Uri,
)
from runlore.schemas import Path as PathValue
from runlore.schemas.errors import AmbiguousError
from tests.events import START, LogBuilder
from tests.query.views import client_of


def pipeline_log(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "nightly-1", model=EntityRef("model", "churn")), run="0190-aa")
    log.add(StepStarted(), run="0190-aa", step="load")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "table"), "DataFrame"), run="0190-aa", step="load")
    log.add(StepFinished("completed"), run="0190-aa", step="load")
    log.add(StepStarted(), run="0190-aa", step="train")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "table")), run="0190-aa", step="train")
    log.log("step:0190-aa/train", {"loss": 0.5, "opt": {"lr": 0.1}}, run="0190-aa", step="train")
    log.add(StepFinished("failed", "ValueError", "nan"), run="0190-aa", step="train")
    log.add(RunFinished("failed", "ValueError", "nan"), run="0190-aa")
    log.add(RunStarted("nightly", "nightly-2"), run="0190-ab")


def test_a_run_shows_its_steps_status_artifacts_model_and_step_metadata(tmp_path: Path) -> None:
    run = client_of(tmp_path, pipeline_log).get_pipeline_run("0190-aa")
    assert (run.id, run.name, run.pipeline, run.status, run.error) == (
        "0190-aa", "nightly-1", "nightly", "failed", "ValueError: nan",
    )  # fmt: skip
    assert {name: step.status for name, step in run.steps.items()} == {"load": "completed", "train": "failed"}
    [made] = run.steps["load"].outputs
    assert made.reference == "artifact:table@1"
    assert [read.reference for read in run.steps["train"].inputs] == ["artifact:table@1"]
    assert [model.reference for model in run.models] == ["model:churn@1"]
    assert run.metadata == {"train::loss": 0.5, "train::opt": {"lr": 0.1}}
    assert run.run_metadata["train::loss"].step == "train"
    assert run.history("train::opt.lr")[0].value == 0.1
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.finished_at > run.started_at


def test_runs_are_found_by_id_name_pipeline_prefix_or_as_the_last(tmp_path: Path) -> None:
    client = client_of(tmp_path, pipeline_log)
    found = {wanted: client.get_pipeline_run(wanted).id for wanted in (None, "0190-aa", "nightly-1", "nightly")}
    assert found == {None: "0190-ab", "0190-aa": "0190-aa", "nightly-1": "0190-aa", "nightly": "0190-ab"}
    with pytest.raises(AmbiguousError, match=r"0190-aa.*0190-ab"):
        client.get_pipeline_run("0190")
    with pytest.raises(NotFoundError, match="nowhere"):
        client.get_pipeline_run("nowhere")


def test_a_missing_step_or_key_names_what_is_near_and_works_with_in_and_get(tmp_path: Path) -> None:
    run = client_of(tmp_path, pipeline_log).get_pipeline_run("0190-aa")
    with pytest.raises(NotFoundError, match="train"):
        run.steps["trian"]
    assert "trian" not in run.steps
    assert run.run_metadata.get("nothing") is None
    with pytest.raises(KeyError):
        run.run_metadata["nothing"]


def test_as_of_hides_runs_entities_values_and_versions_that_came_later(tmp_path: Path) -> None:
    client_of(tmp_path, pipeline_log)
    then = Client(tmp_path, as_of=7)
    with pytest.raises(NotFoundError):
        then.get_pipeline_run("0190-ab")
    run = then.get_pipeline_run("nightly")
    assert (run.id, run.status, run.steps["train"].status, run.position) == ("0190-aa", "running", "running", 7)
    assert [run.id for run in then.list_pipeline_runs()] == ["0190-aa"]
    assert Client(tmp_path, as_of=6).get_pipeline_run().metadata == {}


def test_a_time_means_the_last_position_recorded_by_then(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: [log.log("artifact:a@1", {"n": n}) for n in range(20)])
    for seconds in range(25):
        for millis in (0, 999):
            when = START + dt.timedelta(seconds=seconds, milliseconds=millis)
            assert client.position_at(when) == min(seconds, 20)
    half = START + dt.timedelta(seconds=7.5)
    entity = client.get("artifact:a@1")
    assert entity.as_of(half).metadata == {"n": 6}
    assert [entry.value for entry in entity.history("n", since=half)] == list(range(7, 20))
    with pytest.raises(ValueError, match="time zone"):
        entity.as_of(dt.datetime(2026, 1, 1))  # noqa: DTZ001 -- the mistake under test
    with pytest.raises(NotFoundError):
        entity.as_of(0)


def test_an_answer_never_claims_to_be_complete_beyond_what_is_folded(tmp_path: Path) -> None:
    client_of(tmp_path, lambda log: log.log("artifact:a@1", {"n": 1}))
    ahead = Client(tmp_path, as_of=999)
    assert (ahead.position, ahead.get("artifact:a@1").position) == (1, 1)


def test_models_are_found_by_version_stage_latest_or_nothing(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for _ in range(3):
            log.add(RunStarted("p", "r", model=EntityRef("model", "m")), run=f"run-{len(log.rows)}")
        log.add(ModelStageChanged(EntityRef("model", "m", "1"), "production"))
        log.add(ModelStageChanged(EntityRef("model", "m", "2"), "production"))

    client = client_of(tmp_path, write)
    found = {wanted: client.get_model_version("m", wanted).version for wanted in (None, "latest", "production", "1")}
    assert found == {None: "3", "latest": "3", "production": "2", "1": "1"}
    assert client.get_model_version("m", 1).stage == "archived"
    assert Client(tmp_path, as_of=4).get_model_version("m", "production").version == "1"
    assert [entry.value for entry in client.get_model_version("m", "1").field_history("stage")] == [
        "production",
        "archived",
    ]
    with pytest.raises(NotFoundError):
        client.get_model_version("m", "staging")
    with pytest.raises(NotFoundError):
        client.get_model_version("unknown")


def test_entities_have_the_class_of_their_kind(tmp_path: Path) -> None:
    client = client_of(tmp_path, pipeline_log)
    assert isinstance(client.get("model:churn"), ModelVersion)
    assert isinstance(client.get("run:0190-aa"), PipelineRun)
    assert isinstance(client.get("step:0190-aa/train"), StepRun)
    assert client.get("artifact:table").reference == "artifact:table@1"
    assert client.list_kinds()["step"] == 2


def test_pages_lose_nothing_even_where_one_event_names_many_entities(tmp_path: Path) -> None:
    names = [f"dataset:d{number:02}" for number in range(30)]
    client = client_of(tmp_path, lambda log: [log.log(names[:25], {"k": 1}), log.log(names[25:], {"k": 1})])
    found: list[str] = []
    before: Any = None
    while page := client.list_entities("dataset", limit=4, before=before):
        found += [entity.reference for entity in page]
        before = page[-1]
    assert sorted(found) == [f"{name}@1" for name in names]


def test_runs_are_listed_newest_first_by_pipeline_and_status(tmp_path: Path) -> None:
    client = client_of(tmp_path, pipeline_log)
    assert [run.id for run in client.list_pipeline_runs("nightly")] == ["0190-ab", "0190-aa"]
    assert [run.id for run in client.list_pipeline_runs(status="failed")] == ["0190-aa"]
    assert client.list_pipeline_runs("other") == []


def test_notes_are_read_in_order(tmp_path: Path) -> None:
    targets = (EntityRef("artifact", "a", "1"),)
    client = client_of(tmp_path, lambda log: [log.add(NoteAdded(targets, text)) for text in ("one", "two")])
    assert [note.value for note in client.get("artifact:a@1").notes] == ["one", "two"]


def test_projects_do_not_see_each_other(tmp_path: Path) -> None:
    client_of(tmp_path, pipeline_log)
    with pytest.raises(NotFoundError):
        Client(tmp_path, project="other").get("model:churn")


def test_only_paths_and_file_addresses_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "with space and %41"
    client_of(folder, pipeline_log)
    assert Client(folder.as_uri()).position == Client(folder).position == 10
    assert Client(folder / "projection" / "view-000001.db").position == 10
    with pytest.raises(SettingsError, match="file://"):
        Client("nats://127.0.0.1:4222")
    with pytest.raises(NotFoundError, match="runlore up"):
        _ = Client(tmp_path / "empty").position


# -- histories ---------------------------------------------------------------------------------------


def group_log(log: LogBuilder) -> None:
    log.log("model:m@1", {"a": 1, "train.loss": 0.5})
    log.log("model:m@1", {"a": {"x": 1, "y": 2}})
    log.log("model:m@1", {"a": {"x": 3}}, merge=True)
    log.add(MetadataRetracted((EntityRef("model", "m", "1"),), (("a", "y"),), "wrong unit"))
    log.log("model:m@1", {"a": "text again"})
    log.add(MetadataRetracted((EntityRef("model", "m", "1"),), (("a",),), "all wrong"))


def test_a_group_has_its_value_at_each_position_something_below_it_changed(tmp_path: Path) -> None:
    model = client_of(tmp_path, group_log).get("model:m@1")
    past = model.history("a")
    assert [(e.position, e.type, e.value) for e in past] == [
        (1, "int", 1),
        (2, "dict", {"x": 1, "y": 2}),
        (3, "dict", {"x": 3, "y": 2}),
        (4, "dict", {"x": 3}),
        (5, "str", "text again"),
        (6, "retracted", None),
    ]
    assert past[-1].ended
    assert past[-1].reason == "all wrong"
    assert [(e.position, e.type, e.reason) for e in model.history("a.y")] == [
        (2, "int", None),
        (4, "retracted", "wrong unit"),
    ]
    assert model.history("train.loss")[0].value == model.history(("train.loss",))[0].value == 0.5
    assert "a" not in model.run_metadata
    for position, expected in enumerate([1, {"x": 1, "y": 2}, {"x": 3, "y": 2}, {"x": 3}, "text again"], start=1):
        assert model.as_of(position).run_metadata["a"].value == expected
    with pytest.raises(NotFoundError):
        model.history("b")
    with pytest.raises(InvalidReferenceError):
        model.history("a", limit=0)


@pytest.mark.parametrize("key", ["a", "a.x", "a.y"])
def test_any_limit_and_start_give_a_part_of_the_whole_history(tmp_path: Path, key: str) -> None:
    model = client_of(tmp_path, group_log).get("model:m@1")
    whole = model.history(key)
    for since in range(9):
        tail = [entry for entry in whole if entry.position >= since]
        assert list(model.history(key, since=since)) == tail
        for limit in range(1, 8):
            assert list(model.history(key, limit=limit, since=since)) == tail[-limit:]


def test_an_entry_says_who_when_and_where(tmp_path: Path) -> None:
    log = LogBuilder()
    row = log.log("model:m@1", {"k": 1}, run="r1", step="s1")
    client = client_of(tmp_path, lambda other: other.rows.extend(log.rows))
    entry = client.get("model:m@1").run_metadata["k"]
    assert (entry.actor.user, entry.actor.host, entry.run, entry.step) == ("ada", "host-1", "r1", "s1")
    assert (entry.position, entry.event_id, entry.key, entry.path) == (1, row.event_id, "k", "k")
    assert entry.created == START + dt.timedelta(seconds=1)
    assert entry.created.utcoffset() == dt.timedelta(0)


# -- values ------------------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(allow_nan=False)
    | st.uuids() | st.dates() | st.datetimes() | st.datetimes(timezones=st.just(dt.timezone.utc)) | st.timedeltas()
    | st.builds(Uri, st.text()) | st.builds(PathValue, st.text()) | st.builds(DType, st.text())
    | st.builds(StorageSize, st.integers())
)  # fmt: skip
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_every_value_comes_back_of_its_own_type_from_entry_and_history(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any]
) -> None:
    client = client_of(tmp_path_factory.mktemp("view"), lambda log: log.log("artifact:a@1", metadata))
    entity = client.get("artifact:a@1")
    assert same(entity.metadata, metadata)
    for key, value in metadata.items():
        assert same(entity.run_metadata[key].value, value)
        assert same(entity.history((key,))[-1].value, value)
    client.close()


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)))
