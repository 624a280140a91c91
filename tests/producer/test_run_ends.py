"""Every way to leave a run, and pipelines and steps inside others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from log_tools import read_outbox

from runlore.producer import configure, log_run_metadata, log_step_metadata, pipeline, run_context, step
from runlore.schemas import MetadataLogged, RunFinished, RunStarted, Settings, StepStarted


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (SystemExit(0), RunFinished("completed")),
        (SystemExit(None), RunFinished("completed")),
        (SystemExit(3), RunFinished("failed", "SystemExit", "3")),
        (SystemExit("no data"), RunFinished("failed", "SystemExit", "no data")),
        (KeyboardInterrupt(), RunFinished("failed", "KeyboardInterrupt", "")),
        (GeneratorExit(), RunFinished("failed", "GeneratorExit", "")),
        (asyncio.CancelledError(), RunFinished("failed", "CancelledError", "")),
        (FileNotFoundError(2, "No such", "a: b"), RunFinished("failed", "FileNotFoundError", "[Errno 2] No such: 'a: b'")),
    ],
    ids=repr,
)  # fmt: skip
def test_a_run_ends_as_its_body_was_left(settings: Settings, error: BaseException, end: RunFinished) -> None:
    with pytest.raises(type(error)), run_context("nightly"):
        raise error
    assert read_outbox(settings)[-1].fact == end


def test_pipelines_and_steps_inside_others_keep_what_is_theirs(settings: Settings) -> None:
    @step
    def inner() -> None:
        log_step_metadata({"in": 1})

    @step
    def outer() -> None:
        log_step_metadata({"before": 1})
        inner()
        log_step_metadata({"after": 1})

    @pipeline(name="child")
    def child() -> None:
        inner()
        log_run_metadata({"who": "child"})

    @pipeline(name="parent")
    def parent() -> None:
        outer()
        child()
        log_run_metadata({"who": "parent"})
        outer()

    parent()
    events = read_outbox(settings)
    runs = {event.run: event.fact.pipeline for event in events if isinstance(event.fact, RunStarted)}
    ends = [
        (runs[event.run], str(event.fact.targets[0]).partition("/")[2], *event.fact.metadata)
        for event in events
        if isinstance(event.fact, MetadataLogged)
    ]
    assert ends == [
        ("parent", "outer", "before"), ("parent", "inner", "in"), ("parent", "outer", "after"),
        ("child", "inner", "in"), ("child", "", "who"), ("parent", "", "who"),
        ("parent", "outer_2", "before"), ("parent", "inner_2", "in"), ("parent", "outer_2", "after"),
    ]  # fmt: skip
    assert len([event for event in events if isinstance(event.fact, StepStarted)]) == 5
