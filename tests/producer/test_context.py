"""Runs and steps: the events they emit, nesting, models and parameters."""

from __future__ import annotations

from typing import Any

import pytest
from context_tools import log_number, targets

from runlore.producer import (
    Model,
    get_step_context,
    log_model_metadata,
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.schemas import (
    ArtifactVersionConsumed,
    EntityRef,
    Event,
    MissingContextError,
    RunStarted,
    StepStarted,
)

pytestmark = pytest.mark.usefixtures("offline")


def kinds(events: list[Event]) -> list[str]:
    return [f"{type(event.fact).__name__}:{event.step or ''}" for event in events]


def test_a_pipeline_and_its_steps_record_their_start_and_end(emitted: Any) -> None:
    @step
    def load() -> list[int]:
        return [1]

    @step(name="fit", model="other")
    def train(data: list[int]) -> None:
        assert get_step_context().model == EntityRef("model", "other")
        assert get_step_context().step_name == "fit"

    @pipeline(model=Model("churn", "3"))
    def nightly() -> None:
        train(load())

    nightly()
    events = emitted()
    assert kinds(events) == [
        "RunStarted:",
        "StepStarted:load",
        "ArtifactVersionProduced:load",
        "StepFinished:load",
        "StepStarted:fit",
        "ArtifactVersionConsumed:fit",
        "StepFinished:fit",
        "RunFinished:",
    ]
    assert len({event.run for event in events}) == 1
    started, run = events[0].fact, events[0].run
    assert isinstance(started, RunStarted)
    assert (started.pipeline, started.model) == ("nightly", EntityRef("model", "churn", "3"))
    assert events[5].fact == ArtifactVersionConsumed(
        EntityRef("artifact", "output"), EntityRef("step", "load", run=run)
    )
    assert events[4].fact == StepStarted(EntityRef("model", "other"))


def test_a_step_outside_a_run_opens_its_own_run(emitted: Any) -> None:
    @step
    def alone() -> None:
        log_number(1)

    alone()
    alone()
    events = emitted()
    assert kinds(events)[:2] == ["RunStarted:", "StepStarted:alone"]
    assert len({event.run for event in events}) == 2
    assert {event.step for event in events} == {None, "alone"}


def test_the_same_step_again_gets_a_number(emitted: Any) -> None:
    @step
    def train() -> None: ...

    with run_context("nightly"):
        for _ in range(3):
            train()
    with run_context("nightly"):
        train()
    assert [event.step for event in emitted() if isinstance(event.fact, StepStarted)] == [
        "train", "train_2", "train_3", "train",
    ]  # fmt: skip


def test_contexts_nest_and_are_restored_whatever_the_order_of_ends(emitted: Any) -> None:
    with run_context("outer", run_id="o"), step_context("a"):
        with run_context("inner", run_id="i"):
            log_number(1)
            with step_context("b"), step_context("c"):
                log_number(2)
        log_number(3)
    first, second = run_context("first", run_id="1"), run_context("second", run_id="2")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    log_number(4)
    second.__exit__(None, None, None)
    with pytest.raises(MissingContextError):
        log_number(5)
    assert targets(emitted()) == {
        1: ("run:i",), 2: ("step:i/c",), 3: ("step:o/a",), 4: ("run:2",),
    }  # fmt: skip


def test_one_context_object_is_one_run(emitted: Any) -> None:
    run = run_context("nightly")
    with run, pytest.raises(MissingContextError, match="open already"):
        run.__enter__()
    with pytest.raises(MissingContextError, match="pipeline"):
        run_context()


def test_joining_a_run_records_neither_start_nor_end(emitted: Any) -> None:
    with run_context(run_id="r9"), step_context("evaluate"):
        log_number(1)
    with step_context("report", run_id="r9"):
        log_number(2)
    assert kinds(emitted()) == [
        "StepStarted:evaluate", "MetadataLogged:evaluate", "StepFinished:evaluate",
        "StepStarted:report", "MetadataLogged:report", "StepFinished:report",
    ]  # fmt: skip
    assert {event.run for event in emitted()} == {"r9"}


def test_the_model_in_context_is_used_unless_another_is_named(emitted: Any) -> None:
    with pytest.raises(MissingContextError, match="model_name="):
        log_model_metadata({"n": 0})
    with run_context("nightly", model=Model("churn", "3")):
        log_model_metadata({"n": 1})
        log_model_metadata({"n": 2}, "churn")
        log_model_metadata({"n": 3}, "churn", 4)
        log_model_metadata({"n": 4}, "fraud")
        with step_context("s", model="fraud"):
            log_model_metadata({"n": 5})
    assert targets(emitted()) == {
        1: ("model:churn@3",), 2: ("model:churn@3",), 3: ("model:churn@4",), 4: ("model:fraud",), 5: ("model:fraud",),
    }  # fmt: skip


def test_plain_arguments_of_pipelines_and_steps_are_their_parameters(emitted: Any) -> None:
    @step
    def rows() -> list[int]:
        return [1, 2]

    @step(record=True)
    def fit(data: list[int], lr: float = 0.1, callback: Any = print) -> None: ...

    @pipeline(record=True)
    def nightly(day: str, *, dry: bool = False) -> None:
        fit(rows(), lr=0.5)

    nightly("monday")
    started = [event.fact for event in emitted() if isinstance(event.fact, (RunStarted, StepStarted))]
    assert [fact.parameters for fact in started] == [{"day": "monday", "dry": False}, {}, {"lr": 0.5}]
