"""`step=` and `occurred_at=`: where values belong on the training's own axis, and when they happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy
import pandas
import pytest

from runlore.producer import (
    Producer,
    add_note,
    bulk_log_metadata,
    log_artifact_metadata,
    log_metadata,
    log_model_metadata,
    log_run_metadata,
    log_step_metadata,
    retract_metadata,
    run_context,
    set_model_stage,
    step_context,
    use_artifact,
)
from runlore.schemas import ArgumentError, EntityRef, Event, MetadataLogged

THEN = dt.datetime(2024, 2, 29, 12, 30, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
LOGGING: tuple[Callable[..., Any], ...] = (
    lambda **more: log_metadata({"k": 1}, "model:m@1", **more),
    lambda **more: bulk_log_metadata({"k": 1}, ["model:m@1"], **more),
    lambda **more: log_artifact_metadata({"k": 1}, "a", **more),
    lambda **more: log_model_metadata({"k": 1}, "m", **more),
    lambda **more: log_step_metadata({"k": 1}, "s", run_id="r", **more),
    lambda **more: log_run_metadata({"k": 1}, "r", **more),
)
OTHERS: tuple[Callable[..., Any], ...] = (
    lambda **more: retract_metadata("model:m@1", "k", "wrong", **more),
    lambda **more: set_model_stage("m", "production", 1, **more),
    lambda **more: add_note("seen", "model:m@1", **more),
)
Emitted = Callable[[], list[Event]]


@pytest.mark.parametrize("step", [0, -3, 7, numpy.int64(7), 2**63 - 1])
def test_each_way_of_logging_keeps_the_step_as_a_whole_number(emitted: Emitted, step: Any) -> None:
    for call in LOGGING:
        call(step=step)
    steps = [event.fact.at_step for event in emitted() if isinstance(event.fact, MetadataLogged)]
    assert steps == [int(step)] * len(LOGGING)
    assert {type(found) for found in steps} == {int}


@pytest.mark.parametrize("step", [1.0, "7", True, numpy.float32(2), 2**63, -(2**63) - 1, [1]])
def test_a_step_that_is_no_whole_number_is_refused_and_nothing_stored(emitted: Emitted, step: Any) -> None:
    for call in LOGGING:
        with pytest.raises(ArgumentError, match="step must be a whole number"):
            call(step=step)
    with pytest.raises(ArgumentError, match="step must be"), Producer() as producer:
        producer.emit_nowait(MetadataLogged((EntityRef("model", "m", "1"),), {"k": 1}, at_step=step))
    add_note("the only one", "model:m@1")
    assert len(emitted()) == 1


def test_each_call_takes_when_it_happened(emitted: Emitted) -> None:
    for call in (*LOGGING, *OTHERS):
        call(occurred_at=THEN)
        call(occurred_at=pandas.Timestamp(THEN))
    events = emitted()
    assert len(events) == 2 * len((*LOGGING, *OTHERS))
    assert {event.occurred_at for event in events} == {THEN}


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        (THEN.replace(tzinfo=None), "no time zone"),
        ("2024-02-29", "must be a datetime"),
        (1.5, "must be a datetime"),
        (THEN.date(), "must be a datetime"),
        (pandas.NaT, "must be a datetime"),
        (dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-2))), "beyond the years"),
    ],
)
def test_a_moment_that_is_none_is_refused_and_nothing_stored(emitted: Emitted, moment: Any, problem: str) -> None:
    for call in (*LOGGING, *OTHERS):
        with pytest.raises(ArgumentError, match=problem):
            call(occurred_at=moment)
    add_note("the only one", "model:m@1")
    assert len(emitted()) == 1


def test_what_a_step_reads_can_have_been_read_earlier(emitted: Emitted) -> None:
    with run_context("p"), step_context("s"):
        use_artifact("a", 1, occurred_at=THEN)
    assert [event.occurred_at for event in emitted() if event.occurred_at.year == 2024] == [THEN]
