from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client, ModelVersion, PipelineRun, StepRun
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    NotFoundError,
    RunFinished,
    RunStarted,
    SettingsError,
    StepFinished,
    StepStarted,
)
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


def steps_log(log: LogBuilder) -> None:
    """A run with keys of its own that look like a step's, and a step whose name holds the separator."""
    log.add(RunStarted("p", "p-1"), run="r")
    for step in ("train", "train::fold-1"):
        log.add(StepStarted(), run="r", step=step)
    log.log("step:r/train", {"loss": 0.1, "opt": {"lr": 0.2, "wd": 0.3}, "only": 1})
    log.log(EntityRef("step", "train::fold-1", run="r"), {"loss": 0.4, "a.b": 0.5})
    log.log("run:r", {"train::loss": 0.6, "train::opt": {"lr": 0.7}})
    log.log("run:r", {"train::only": 2})
    log.add(MetadataRetracted((EntityRef("run", "r"),), (("train::only",),), "not mine"))


def test_a_key_of_the_run_itself_goes_before_a_steps_of_that_name_whatever_reads_it(tmp_path: Path) -> None:
    client = client_of(tmp_path, steps_log)
    run = client.get("run:r")
    assert run.metadata == {
        "train::loss": 0.6, "train::opt": {"lr": 0.7}, "train::only": 1, "train::fold-1::loss": 0.4,
        "train::fold-1::a.b": 0.5,
    }  # fmt: skip
    assert {key: entry.value for key, entry in run.run_metadata.items()} == run.metadata
    assert {path: cell for path, (_, cell) in run.cells().items()} == {
        "train::loss": 0.6, "train::opt.lr": 0.7, "train::only": 1, "train::fold-1::loss": 0.4,
        '"train::fold-1::a.b"': 0.5,
    }  # fmt: skip
    assert {entry.path: entry.value for entry in run.blame()} == {path: cell for path, (_, cell) in run.cells().items()}
    assert [(entry.path, entry.value) for entry in run.blame(ended=True) if entry.key == "train::only"] == [
        ("train::only", None),
        ("train::only", 1),
    ]
    before = run.as_of(5)
    assert before.metadata["train::loss"] == 0.1
    assert [entry.value for entry in before.history("train::loss")] == [0.1]


def test_every_leaf_that_a_run_shows_has_a_history_that_ends_with_it(tmp_path: Path) -> None:
    client = client_of(tmp_path, steps_log)
    for position in range(4, 9):
        run = client.get("run:r", as_of=position)
        for path, (_, cell) in run.cells().items():
            assert run.history(path)[-1].value == cell, (position, path)
            assert run.series(path).values[-1] == cell
    assert client.get("run:r").history("train::fold-1::loss")[0].path == "loss"
    assert [entry.value for entry in client.get("run:r").history("train::fold-1::status")] == ["running"]


def test_a_key_that_the_run_no_longer_has_keeps_its_history_where_no_step_has_it(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("p", "p-1"), run="r")
        log.add(StepStarted(), run="r", step="train")
        log.log("run:r", {"train::loss": 0.6})
        log.add(MetadataRetracted((EntityRef("run", "r"),), (("train::loss",),), "wrong"))

    run = client_of(tmp_path, write).get("run:r")
    assert [entry.value for entry in run.history("train::loss")] == [0.6, None]
    with pytest.raises(NotFoundError, match="has no key"):
        run.history("train::never")


def test_runs_are_found_and_watched_by_keys_of_a_step_whose_name_holds_the_separator(tmp_path: Path) -> None:
    client = client_of(tmp_path, steps_log)
    assert [run.name for run in client.find("run", "train::fold-1::loss = 0.4")] == ["p-1"]
    assert client.find("run", "train::fold-1::loss = 0.1") == []
    watched = client.watch("run:r", key="train::fold-1::loss", since=0, timeout=0)
    assert [(change.reference, change.entry.value) for change in watched] == [("step:r/train::fold-1", 0.4)]


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
        entity.as_of(dt.datetime(2026, 1, 1))
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
        Client("ftp://127.0.0.1:4222")
    with pytest.raises(NotFoundError, match="runlore up"):
        _ = Client(tmp_path / "empty").position


def test_a_run_finds_a_steps_key_whose_path_is_quoted(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("training", "night"), run="run-1")
        log.add(StepStarted(), run="run-1", step="fit")
        for value in (1.0, 2.0):
            log.log(EntityRef("step", "fit", run="run-1"), {"odd.key": value, "group": {"x.y": value}})

    with client_of(tmp_path, write) as client:
        run = client.get_pipeline_run("run-1")
        for path in run.cells():
            assert [entry.value for entry in run.history(path)] == [1.0, 2.0], path
