"""Runs and steps without `with`, as callbacks and importers have them; their tags, groups, parents and ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from runlore.producer import (
    add_tags,
    get_step_context,
    log_metadata,
    remove_tags,
    run_context,
    start_run,
    start_step,
    step_context,
)
from runlore.schemas import (
    ArgumentError,
    EntityRef,
    Event,
    EventLimitError,
    InvalidReferenceError,
    MetadataLogged,
    MissingContextError,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    TagsChanged,
)

THEN = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
LATER = THEN + dt.timedelta(hours=1)
Emitted = Callable[[], list[Event]]


def test_a_run_and_its_step_are_the_current_ones_until_they_are_finished(emitted: Emitted) -> None:
    run = start_run("nightly", group="seeds", tags=["cpu", "base", "cpu"], parent="sweep-1", parameters={"lr": 0.1})
    train = run.start_step("train")
    assert get_step_context().step_name == "train"
    log_metadata({"loss": 0.3}, step=1)
    train.finish()
    log_metadata({"best": 0.3})
    run.finish()
    with pytest.raises(MissingContextError):
        log_metadata({"late": 1})
    facts = [event.fact for event in emitted()]
    assert facts[0] == RunStarted(
        "nightly", run.name, None, {"lr": 0.1}, None, EntityRef("run", "sweep-1"), "seeds", ("cpu", "base")
    )
    assert [type(fact) for fact in facts[1:]] == [
        StepStarted, MetadataLogged, StepFinished, MetadataLogged, RunFinished,
    ]  # fmt: skip
    assert facts[3] == StepFinished("completed")
    assert facts[5] == RunFinished("completed")
    assert [str(fact.targets[0]) for fact in facts if isinstance(fact, MetadataLogged)] == [
        f"step:{run.run_id}/train", f"run:{run.run_id}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ended", "wanted"),
    [
        ({}, ("completed", None, None)),
        ({"status": "killed"}, ("killed", None, None)),
        ({"status": "failed"}, ("failed", None, None)),
        ({"error": ValueError("no rows")}, ("failed", "ValueError", "no rows")),
        ({"status": "killed", "error": KeyboardInterrupt()}, ("killed", "KeyboardInterrupt", "")),
        ({"error": SystemExit(0)}, ("completed", None, None)),
    ],
)
def test_a_run_ends_as_its_caller_says(emitted: Emitted, ended: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    start_run("p").finish(**ended)
    with run_context("p"):
        start_step("s").finish(**ended)
    facts = [event.fact for event in emitted() if isinstance(event.fact, (RunFinished, StepFinished))]
    assert facts[:2] == [RunFinished(*wanted), StepFinished(*wanted)]


def test_an_importer_gives_the_times(emitted: Emitted) -> None:
    run = start_run("p", occurred_at=THEN)
    step = run.start_step("s", occurred_at=THEN)
    log_metadata({"k": 1}, occurred_at=THEN)
    step.finish(occurred_at=LATER)
    run.finish(occurred_at=LATER)
    assert [event.occurred_at for event in emitted()] == [THEN, THEN, THEN, LATER, LATER]


def test_what_cannot_be_finished_says_so_and_stays_as_it_is(emitted: Emitted) -> None:
    run = run_context("p")
    with pytest.raises(MissingContextError, match="not open"):
        run.finish()
    with pytest.raises(MissingContextError, match="not open"):
        step_context("s").finish()
    run = start_run("p")
    with pytest.raises(ArgumentError, match="completed, failed, killed"):
        run.finish("done")  # type: ignore[arg-type]  # what an untyped caller may write
    with pytest.raises(ArgumentError, match="no time zone"):
        run.finish(occurred_at=THEN.replace(tzinfo=None))
    log_metadata({"still": "open"})
    run.finish()
    with pytest.raises(MissingContextError, match="not open"):
        run.finish()
    assert [event.fact for event in emitted()][-1] == RunFinished("completed")
    assert sum(isinstance(event.fact, RunFinished) for event in emitted()) == 1


def test_a_with_block_may_be_ended_early_as_killed(emitted: Emitted) -> None:
    with run_context("p") as run, step_context("s") as step:
        step.finish("killed")
        run.finish("killed")
        with pytest.raises(MissingContextError, match="inside a run"):
            log_metadata({"after": 1})
    with run_context("p"):  # another run is not finished by it
        pass
    assert [event.fact for event in emitted()][2:] == [
        StepFinished("killed"), RunFinished("killed"), emitted()[4].fact, RunFinished("completed"),
    ]  # fmt: skip


def test_tags_are_texts(emitted: Emitted) -> None:
    add_tags(["base", "cpu", "base"], "run:r")
    remove_tags(("cpu",), ["run:r", "model:m@1"])
    with run_context("p") as run:
        add_tags(["inside"])
    add_tags("one text", "run:r")
    for wrong in ([], [""], [1], 1, b"base", ["a" * 201], [f"t{number}" for number in range(1001)]):
        for call in (add_tags, remove_tags):
            with pytest.raises((ArgumentError, InvalidReferenceError, EventLimitError)):
                call(wrong, "run:r")  # type: ignore[arg-type]  # what an untyped caller may write
    for wrong in (1, [""]):
        with pytest.raises((ArgumentError, InvalidReferenceError)):
            run_context("p", tags=wrong)
    runs = (EntityRef("run", "r"),)
    assert [event.fact for event in emitted() if isinstance(event.fact, TagsChanged)] == [
        TagsChanged(runs, added=("base", "cpu")),
        TagsChanged((*runs, EntityRef("model", "m", "1")), removed=("cpu",)),
        TagsChanged((EntityRef("run", run.run_id),), added=("inside",)),
        TagsChanged(runs, added=("one text",)),
    ]
