"""The fold of versions, stages, runs and steps: what references resolve to, and the fields they set."""

from __future__ import annotations

from pathlib import Path

import pytest
from view_tools import current, folded, quarantine, query

from runlore.projector.views.digest import view_digest
from runlore.query import Client, StepRun
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MetadataRetracted,
    ModelStageChanged,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    parse_ref,
)
from tests.events import LogBuilder


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def test_versions_are_numbered_in_log_order_and_latest_is_the_highest(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a", {"k": 1})
    log.log("artifact:a@mine", {"k": 2})
    log.log("artifact:a@10", {"k": 3})
    log.add(ArtifactVersionProduced(EntityRef("artifact", "a")))
    log.log("artifact:a@3", {"k": 4})
    log.log("artifact:a", {"k": 5})
    path = folded(log, tmp_path)
    versions = query(
        path,
        "SELECT version, version_number FROM entities WHERE name = 'a' AND version != '' ORDER BY entity_id",
    )
    assert versions == [("1", 1), ("mine", 2), ("10", 10), ("11", 11), ("3", 3)]
    assert current(path, "artifact:a", "field") == {"latest": "11"}
    assert current(path, "artifact:a@11") == {"k": 5}


def test_inside_a_step_an_unversioned_name_is_the_version_the_step_makes(log: LogBuilder, tmp_path: Path) -> None:
    log.add(RunStarted("p", "p-1"), run="r1")
    log.add(StepStarted(), run="r1", step="s")
    log.log("artifact:out", {"rows": 1}, run="r1", step="s")
    log.log("artifact:out", {"cols": 2}, run="r1", step="s")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "out"), "list"), run="r1", step="s")
    log.add(StepFinished("completed"), run="r1", step="s")
    path = folded(log, tmp_path)
    assert current(path, "artifact:out@1") == {"rows": 1, "cols": 2}
    assert current(path, "artifact:out@1", "field") == {"produced_by": "step:r1/s", "data_type": "list"}
    assert current(path, "artifact:out", "field") == {"latest": "1"}


def test_a_step_that_starts_again_makes_a_new_version(log: LogBuilder, tmp_path: Path) -> None:
    for attempt in (1, 2):
        log.add(StepStarted(), run="r1", step="s")
        log.log("artifact:out", {"attempt": attempt}, run="r1", step="s")
    one, many = folded(log, tmp_path, 1), folded(log, tmp_path)
    assert current(one, "artifact:out@2") == {"attempt": 2}
    assert view_digest(one) == view_digest(many)


def test_what_a_step_consumes_is_what_its_unversioned_name_means(log: LogBuilder, tmp_path: Path) -> None:
    log.add(ArtifactVersionProduced(EntityRef("artifact", "d")), run="r1", step="load")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "d")), run="r2", step="load")
    maker = EntityRef("step", "load", run="r1")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "d"), maker), run="r1", step="train")
    log.log("artifact:d", {"used": True}, run="r1", step="train")
    path = folded(log, tmp_path)
    assert current(path, "artifact:d@1") == {"used": True}
    assert current(path, "artifact:d@2") == {}
    assert query(path, "SELECT relation FROM links ORDER BY position") == [
        ("produced",),
        ("produced",),
        ("consumed",),
    ]


def test_a_run_with_a_model_makes_one_version_of_it(log: LogBuilder, tmp_path: Path) -> None:
    churn = EntityRef("model", "churn")
    for run in ("r1", "r2"):
        log.add(RunStarted("p", run, churn), run=run)
        log.add(StepStarted(churn), run=run, step="s")
        log.log("model:churn", {"of": run}, run=run, step="s")
    path = folded(log, tmp_path)
    assert current(path, "model:churn@1") == {"of": "r1"}
    assert current(path, "model:churn@2") == {"of": "r2"}
    assert current(path, "model:churn@2", "field") == {"run": "r2"}


def test_a_stage_belongs_to_one_version_and_selects_it(log: LogBuilder, tmp_path: Path) -> None:
    for version in ("1", "2"):
        log.log(f"model:m@{version}", {"v": version})
    log.add(ModelStageChanged(parse_ref("model:m@1"), "production"))
    log.add(ModelStageChanged(parse_ref("model:m@2"), "production"))
    log.log("model:m@production", {"live": True})
    path = folded(log, tmp_path)
    assert current(path, "model:m@1", "field") == {"stage": "archived"}
    assert current(path, "model:m@2") == {"v": "2", "live": True}
    assert current(path, "model:m", "field") == {"latest": "2", "stage:production": "2"}


def test_a_stage_keeps_its_reason_until_the_next_stage(log: LogBuilder, tmp_path: Path) -> None:
    for version in ("1", "2"):
        log.log(f"model:m@{version}", {"v": version})
    log.add(ModelStageChanged(parse_ref("model:m@1"), "production", "won the test"))
    assert current(folded(log, tmp_path), "model:m@1", "field") == {
        "stage": "production",
        "stage_reason": "won the test",
    }
    log.add(ModelStageChanged(parse_ref("model:m@2"), "production"))
    path = folded(log, tmp_path, 1)
    assert current(path, "model:m@1", "field") == {"stage": "archived"}
    assert current(path, "model:m@2", "field") == {"stage": "production"}


@pytest.mark.parametrize(
    "target", ["model:m@77", "model:m@production", "model:other", "run:no", "step:r/no", "artifact:a", "pipeline:no"]
)
def test_a_retraction_creates_no_entity_and_records_why_it_did_nothing(
    log: LogBuilder, tmp_path: Path, target: str
) -> None:
    log.log("model:m@1", {"k": 1})
    log.add(MetadataRetracted((parse_ref("model:m@1"), parse_ref(target)), (("k",),), "wrong"))
    path = folded(log, tmp_path)
    assert query(path, "SELECT reference FROM entities WHERE version != '' OR kind != 'model'") == [("model:m@1",)]
    assert quarantine(path)[0][:2] == (2, "fold")
    assert "is not known at this position of the log" in quarantine(path)[0][2]
    assert current(path, "model:m@1") == {"k": 1}


def test_a_retraction_resolves_names_at_its_position(log: LogBuilder, tmp_path: Path) -> None:
    log.add(RunStarted("p", "p-1", EntityRef("model", "m")), run="r1")
    log.add(StepStarted(), run="r1", step="s")
    log.log("artifact:out", {"rows": 1}, run="r1", step="s")
    log.log("model:m", {"k": 1, "l": 1}, run="r1", step="s")
    log.log("step:r1/s", {"k": 1})
    log.add(ModelStageChanged(parse_ref("model:m@1"), "production"))
    targets = ("artifact:out", "model:m", "step:r1/s")
    log.add(MetadataRetracted(tuple(map(parse_ref, targets)), (("rows",), ("k",)), "x"), run="r1", step="s")
    log.add(MetadataRetracted((parse_ref("model:m@production"), parse_ref("artifact:out")), (("l",),), "x"))
    path = folded(log, tmp_path)
    assert quarantine(path) == []
    assert [current(path, each) for each in ("artifact:out@1", "model:m@1", "step:r1/s")] == [{}, {}, {}]


def test_a_stage_nobody_holds_is_quarantined_and_makes_no_version(log: LogBuilder, tmp_path: Path) -> None:
    log.log("model:m@production", {"k": 1})
    path = folded(log, tmp_path)
    assert "no version of model 'm' is in stage 'production'" in quarantine(path)[0][2]
    assert query(path, "SELECT count(*) FROM entities") == [(0,)]


def test_step_metadata_from_outside_finds_its_run(log: LogBuilder, tmp_path: Path) -> None:
    log.add(RunStarted("nightly", "n-1"), run="abc-1")
    log.add(RunStarted("nightly", "n-2"), run="abd-2")
    for wanted in ("nightly", "abc-1", "abc"):
        log.log(EntityRef("step", "train", pipeline=wanted), {wanted: 1})
    log.log(EntityRef("step", "train", pipeline="ab"), {"ambiguous": 1})
    log.log(EntityRef("step", "my_step", run="my_step_run_id", pipeline="my_pipeline"), {"n": 3})
    path = folded(log, tmp_path)
    assert current(path, "step:abd-2/train") == {"nightly": 1}
    assert current(path, "step:abc-1/train") == {"abc-1": 1, "abc": 1}
    assert "begins several run IDs" in quarantine(path)[0][2]
    assert current(path, "step:my_step_run_id/my_step") == {"n": 3}
    assert current(path, "pipeline:my_pipeline", "field") == {"last_run": "my_step_run_id"}


def test_a_run_has_a_status_and_its_error(log: LogBuilder, tmp_path: Path) -> None:
    log.add(RunStarted("p", "p-1", parameters={"lr": 0.1}), run="r")
    log.add(RunFinished("failed", "ValueError", "bad"), run="r")
    path = folded(log, tmp_path)
    fields = current(path, "run:r", "field")
    assert (fields["status"], fields["error_type"], fields["error_message"]) == (
        "failed",
        "ValueError",
        "bad",
    )
    assert fields["parameters"] == {"lr": 0.1}
    log.add(RunStarted("p", "p-1"), run="r")
    log.fold_into(path, after=2).close()
    assert current(path, "run:r", "field")["status"] == "running"
    assert "error_type" not in current(path, "run:r", "field")


def test_attempts_are_numbered_whether_they_start_again_or_name_the_failed_one(log: LogBuilder, tmp_path: Path) -> None:
    for _ in range(2):
        log.add(StepStarted(), run="r", step="train")
        log.add(StepFinished("failed", "ValueError", "bad"), run="r", step="train")
    log.add(StepStarted(retry_of=EntityRef("step", "train", run="r")), run="r", step="train_2")
    log.add(StepStarted(retry_of=EntityRef("step", "train_2", run="r")), run="r", step="train_3")
    log.add(RunStarted("p", "p-1"), run="r")
    log.add(RunFinished("failed"), run="r")
    log.add(RunStarted("p", "p-2", retry_of=EntityRef("run", "r")), run="r2")
    log.add(RunStarted("p", "p-3", retry_of=EntityRef("run", "unknown")), run="r3")
    path = folded(log, tmp_path)
    found = {
        reference: (fields.get("attempt"), fields.get("retry_of"))
        for reference in ("step:r/train", "step:r/train_2", "step:r/train_3", "run:r", "run:r2", "run:r3")
        for fields in (current(path, reference, "field"),)
    }
    assert found == {
        "step:r/train": (2, None),
        "step:r/train_2": (3, "step:r/train"),
        "step:r/train_3": (4, "step:r/train_2"),
        "run:r": (None, None),
        "run:r2": (2, "run:r"),
        "run:r3": (2, "run:unknown"),
    }
    with Client(path) as client:
        step = client.get("step:r/train")
        assert isinstance(step, StepRun)
        assert (step.attempt, step.retry_of, client.get("run:r").attempt) == (2, None, 1)  # type: ignore[attr-defined]
        # The failure of the first attempt is in the history of the step.
        assert [entry.value for entry in step.history("status")] == ["running", "failed", "running", "failed"]
