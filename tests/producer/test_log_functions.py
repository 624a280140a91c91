"""What each log function says it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from log_tools import outbox_files

from runlore.producer import (
    add_note,
    bulk_log_metadata,
    configure,
    log_artifact_metadata,
    log_metadata,
    log_run_metadata,
    log_step_metadata,
    retract_metadata,
    run_context,
    set_model_stage,
    step_context,
)
from runlore.producer.outboxes.look import rows_of
from runlore.schemas import (
    EntityRef,
    InvalidReferenceError,
    MetadataLogged,
    MetadataRetracted,
    MissingContextError,
    ModelStageChanged,
    NoteAdded,
    Settings,
)
from runlore.schemas.codec import decode_event


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


@pytest.fixture
def last(settings: Settings) -> Any:
    """The fact emitted last, and its subject."""

    def read() -> tuple[Any, str]:
        row = rows_of(outbox_files(settings)[0])[-1]
        return decode_event(row.payload).fact, row.subject

    return read


def test_a_value_that_changes_after_the_call_was_logged_as_it_was(last: Any) -> None:
    inner = [1]
    outer = {"a": inner}
    log_metadata({"m": outer}, "model:churn")
    inner.append(2)
    outer["b"] = [3]
    assert last()[0].metadata == {"m": {"a": [1]}}


def test_artifacts_by_name_and_version(last: Any) -> None:
    log_artifact_metadata({"rows": 3}, "processed data", 7)
    fact, subject = last()
    assert fact == MetadataLogged((EntityRef("artifact", "processed data", "7"),), {"rows": 3})
    assert subject == "runlore.default.artifact.processed%20data.7"
    with pytest.raises(MissingContextError, match="artifact_name="):
        log_artifact_metadata({"rows": 3})
    with pytest.raises(InvalidReferenceError):
        log_artifact_metadata({"rows": 3}, "x" * 300)


def test_steps_from_outside_need_a_run_or_a_pipeline(last: Any) -> None:
    log_step_metadata({"a": 1}, step_name="my_step", pipeline_name_id_or_prefix="my_pipeline", run_id="my_run")
    assert last() == (
        MetadataLogged((EntityRef("step", "my_step", run="my_run", pipeline="my_pipeline"),), {"a": 1}),
        "runlore.default.step.my_run.my_step",
    )
    log_step_metadata({"a": 1}, "my_step", "my_pipeline")
    assert last()[0].targets == (EntityRef("step", "my_step", pipeline="my_pipeline"),)
    for arguments in ({}, {"step_name": "s"}, {"run_id": "r"}, {"pipeline_name_id_or_prefix": "p"}):
        with pytest.raises(MissingContextError, match="pass"):
            log_step_metadata({"a": 1}, **arguments)


def test_inside_a_run_steps_and_runs_are_known(last: Any) -> None:
    with run_context("p", run_id="r1"):
        log_run_metadata({"a": 1})
        assert last()[0].targets == (EntityRef("run", "r1"),)
        log_step_metadata({"a": 1}, "other")
        assert last()[0].targets == (EntityRef("step", "other", run="r1"),)
        with step_context("mine"):
            log_step_metadata({"a": 1})
            assert last()[0].targets == (EntityRef("step", "mine", run="r1"),)
    with pytest.raises(MissingContextError, match="run_id="):
        log_run_metadata({"a": 1})


def test_one_call_may_be_about_many_entities(last: Any) -> None:
    log_metadata({"a": 1}, ["model:churn@3", EntityRef("dataset", "d")], merge=True)
    assert last()[0] == MetadataLogged((EntityRef("model", "churn", "3"), EntityRef("dataset", "d")), {"a": 1}, True)
    bulk_log_metadata(
        {"a": 1},
        ["dataset:d"],
        pipeline_runs=["r1"],
        step_runs=["step:r1/s"],
        artifact_versions=["x@1", ("y@z", 2)],
        model_versions=[("churn", 3)],
    )
    assert [str(ref) for ref in last()[0].targets] == [
        "dataset:d", "run:r1", "step:r1/s", "artifact:x@1", "artifact:y%40z@2", "model:churn@3",
    ]  # fmt: skip
    for call in (lambda: bulk_log_metadata({"a": 1}), lambda: log_metadata({"a": 1}, [])):
        with pytest.raises(MissingContextError):
            call()
    with pytest.raises(InvalidReferenceError):
        log_metadata({"a": 1}, "no kind")


def test_retracting_needs_keys_and_a_reason(last: Any) -> None:
    retract_metadata("model:churn@3", ["g.a", ("h.i", "j"), "k"], "leaked data")
    assert last()[0] == MetadataRetracted(
        (EntityRef("model", "churn", "3"),), (("g", "a"), ("h.i", "j"), ("k",)), "leaked data"
    )
    retract_metadata("model:churn@3", "g", "why")
    assert last()[0].paths == (("g",),)
    for keys, reason in (([], "why"), ("g", " ")):
        with pytest.raises(MissingContextError):
            retract_metadata("model:churn@3", keys, reason)


def test_stages_and_notes(last: Any) -> None:
    set_model_stage("churn", "production", 3, "best so far")
    assert last()[0] == ModelStageChanged(EntityRef("model", "churn", "3"), "production", "best so far")
    add_note("look at this", "model:churn")
    assert last()[0] == NoteAdded((EntityRef("model", "churn"),), "look at this")
    with pytest.raises(MissingContextError):
        add_note(" ", "model:churn")
