"""Code whose run or step was lost on the way: threads, executors and tasks of a process with open runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from log_tools import run_python, stored_events

from runlore.producer import (
    Model,
    add_note,
    configure,
    get_step_context,
    in_context,
    log_artifact_metadata,
    log_metadata,
    log_model_metadata,
    log_run_metadata,
    log_step_metadata,
    retract_metadata,
    run_context,
    step,
    step_context,
    use_artifact,
    warn,
)
from runlore.producer.actor import this_process
from runlore.schemas import (
    ArtifactVersionConsumed,
    Event,
    InvalidReferenceError,
    MetadataLogged,
    MetadataTypeError,
    MissingContextError,
    NoteAdded,
    RunStarted,
    Settings,
    StepStarted,
)

Read = Callable[[], list[Event]]


@pytest.fixture(autouse=True)
def emitted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """All events of this process so far; it has not warned yet."""
    monkeypatch.setattr(warn, "_warned", set())
    configure(mode="offline")
    yield lambda: stored_events(settings)
    configure(mode="disabled")


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Two threads that are older than every run of the test."""
    gate = threading.Barrier(2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: gate.wait(90), range(2)))
        yield pool


def on_process(events: list[Event]) -> list[tuple[str | None, dict[str, Any]]]:
    """Run and metadata of what was logged on this process."""
    return [
        (event.run, event.fact.metadata)
        for event in events
        if isinstance(event.fact, MetadataLogged) and event.fact.targets == (this_process(),)
    ]


def every_call_without_a_place() -> None:
    log_metadata({"a": 1})
    log_run_metadata({"a": 2})
    log_step_metadata({"a": 3})
    log_step_metadata({"a": 4}, "train")
    log_model_metadata({"a": 5})
    log_artifact_metadata({"a": 6})
    use_artifact("rows")
    use_artifact("labels", 3)
    add_note("look")


def test_calls_of_a_thread_that_lost_its_run_are_logged_on_the_process(
    pool: concurrent.futures.ThreadPoolExecutor, emitted: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with run_context("nightly", run_id="r1"), step_context("train"):
        pool.submit(every_call_without_a_place).result()
    assert on_process(emitted()) == [
        ("r1", {"a": 1}), ("r1", {"a": 2}), ("r1", {"a": 3}), ("r1", {"train::a": 4}), ("r1", {"a": 5}), ("r1", {"a": 6}),
        ("r1", {"consumed": {"rows": "latest"}}), ("r1", {"consumed": {"labels": "3"}}),
    ]  # fmt: skip
    assert [event.run for event in emitted() if event.fact == NoteAdded((this_process(),), "look")] == ["r1"]
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    for remedy in ("in_context", ".env()", "run_context(run_id=", str(this_process())):
        assert remedy in warning.getMessage()


def test_what_says_its_entity_is_not_lost(pool: concurrent.futures.ThreadPoolExecutor, emitted: Read) -> None:
    with run_context("nightly", run_id="r1"):
        pool.submit(log_metadata, {"a": 1}, "model:churn").result()
        pool.submit(log_run_metadata, {"a": 2}, "r1").result()
    logged = [event for event in emitted() if isinstance(event.fact, MetadataLogged)]
    assert [(event.run, *map(str, event.fact.targets)) for event in logged] == [(None, "model:churn"), (None, "run:r1")]  # type: ignore[union-attr]


def test_bad_input_raises_also_where_the_context_was_lost(pool: concurrent.futures.ThreadPoolExecutor) -> None:
    bad: list[tuple[type[Exception], Callable[[], Any]]] = [
        (MetadataTypeError, lambda: log_run_metadata({"a": object()})),
        (MissingContextError, lambda: log_step_metadata({"a": 1}, run_id="r1")),
        (InvalidReferenceError, lambda: log_step_metadata({"a": 1}, "")),
        (InvalidReferenceError, lambda: use_artifact("")),
        (MissingContextError, lambda: log_metadata({"a": 1}, [])),
        (MissingContextError, lambda: add_note(" ")),
        (MissingContextError, lambda: retract_metadata("model:churn", [], "why")),
    ]
    with run_context("nightly"):
        for error, call in bad:
            with pytest.raises(error):
                pool.submit(call).result()


def test_code_that_knows_its_run_is_told_what_to_pass(emitted: Read) -> None:
    with run_context("nightly"):
        for call in (lambda: log_step_metadata({"a": 1}), lambda: use_artifact("x"), lambda: log_model_metadata({})):
            with pytest.raises(MissingContextError):
                call()
    assert on_process(emitted()) == []


def test_a_program_that_never_opened_a_run_is_told_what_to_pass_in_every_thread() -> None:
    code = """
    import threading
    from runlore.producer import *
    from runlore.schemas import MissingContextError
    def calls():
        told = 0
        for call in (lambda: log_metadata({"a": 1}), lambda: log_run_metadata({"a": 1}), lambda: use_artifact("x")):
            try:
                call()
            except MissingContextError:
                told += 1
        print(told)
    calls()
    thread = threading.Thread(target=calls); thread.start(); thread.join()
    """
    assert run_python(code, RUNLORE_MODE="offline").stdout == "3\n3\n"


def test_a_thread_that_outlives_its_run_logs_on_the_process(emitted: Read) -> None:
    ended = threading.Event()

    def late() -> None:
        ended.wait(90)
        log_run_metadata({"late": 1})

    with run_context("nightly"):
        thread = threading.Thread(target=late)
        thread.start()
    ended.set()
    thread.join()
    assert on_process(emitted()) == [(None, {"late": 1})]


def test_two_pipelines_with_pools_at_once_fail_neither(emitted: Read) -> None:
    gate = threading.Barrier(2)

    def program(number: int) -> None:
        with run_context(f"two{number}"), concurrent.futures.ThreadPoolExecutor(1) as pool:
            gate.wait(90)
            pool.submit(log_run_metadata, {f"k{number}": 1}).result()
            pool.submit(in_context(log_run_metadata), {f"in{number}": 1}).result()
            gate.wait(90)

    with concurrent.futures.ThreadPoolExecutor(2) as outer:
        list(outer.map(program, range(2)))
    assert sorted(map(str, on_process(emitted()))) == ["(None, {'k0': 1})", "(None, {'k1': 1})"]
    logged = [event.fact for event in emitted() if isinstance(event.fact, MetadataLogged)]
    assert sorted(fact.targets[0].kind for fact in logged) == ["process", "process", "run", "run"]


def test_a_step_in_a_pool_older_than_the_only_run_belongs_to_it(
    pool: concurrent.futures.ThreadPoolExecutor, emitted: Read
) -> None:
    @step
    def load() -> list[int]:
        return [1]

    @step
    def fit(data: list[int]) -> None:
        log_step_metadata({"rows": len(data)})
        log_run_metadata({"fitted": True})

    with run_context("nightly", run_id="r1"):
        pool.submit(fit, pool.submit(load).result()).result()
    events = emitted()
    assert {event.run for event in events} == {"r1"}
    assert [event.step for event in events if isinstance(event.fact, StepStarted)] == ["load", "fit"]
    assert [event.step for event in events if isinstance(event.fact, ArtifactVersionConsumed)] == ["fit"]
    logged = [str(event.fact.targets[0]) for event in events if isinstance(event.fact, MetadataLogged)]
    assert logged == ["step:r1/fit", "run:r1"]


def test_a_step_that_cannot_tell_its_run_says_so_and_is_kept_whole(
    pool: concurrent.futures.ThreadPoolExecutor, emitted: Read, caplog: pytest.LogCaptureFixture
) -> None:
    @step
    def work(number: int) -> int:
        log_step_metadata({"n": number})
        return number

    with contextlib.ExitStack() as runs:
        for name in ("first", "second"):  # side by side, as two tasks would open them
            contextvars.copy_context().run(runs.enter_context, run_context(name))
        assert pool.submit(work, 5).result() == 5
    (started,) = [event for event in emitted() if isinstance(event.fact, RunStarted) and event.fact.pipeline == "work"]
    assert on_process(emitted()) == [(None, {"steps": {"work": f"step:{started.run}/work"}})]
    kinds = [type(event.fact).__name__ for event in emitted() if event.run == started.run]
    assert kinds == [
        "RunStarted", "StepStarted", "MetadataLogged", "ArtifactVersionProduced", "StepFinished", "RunFinished",
    ]  # fmt: skip
    assert len([record for record in caplog.records if "in_context" in record.getMessage()]) == 1


def test_a_step_of_a_program_without_runs_has_its_own_in_silence(
    pool: concurrent.futures.ThreadPoolExecutor, emitted: Read, caplog: pytest.LogCaptureFixture
) -> None:
    code = """
    from concurrent.futures import ThreadPoolExecutor
    from runlore.producer import step
    @step
    def work(): pass
    ThreadPoolExecutor(1).submit(work).result()
    """
    assert run_python(code, RUNLORE_MODE="offline").stderr == ""
    assert [type(event.fact).__name__ for event in emitted()][:2] == ["RunStarted", "StepStarted"]


def test_an_executor_of_an_earlier_run_does_not_fail_the_next(emitted: Read) -> None:
    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))  # one thread, kept for the second run
        for number in range(2):
            with run_context("nightly", run_id=f"r{number}"):
                await loop.run_in_executor(None, log_run_metadata, {"n": number})
                await loop.run_in_executor(None, in_context(log_run_metadata), {"in": number})
                await asyncio.to_thread(log_run_metadata, {"to": number})

    asyncio.run(program())
    logged = [
        (str(event.fact.targets[0]), event.fact.metadata)
        for event in emitted()
        if isinstance(event.fact, MetadataLogged)
    ]
    assert logged == [
        ("run:r0", {"n": 0}), ("run:r0", {"in": 0}), ("run:r0", {"to": 0}),
        (str(this_process()), {"n": 1}), ("run:r1", {"in": 1}), ("run:r1", {"to": 1}),
    ]  # fmt: skip
    assert on_process(emitted()) == [("r1", {"n": 1})]


def where(number: int) -> tuple[str, str]:
    """Docs of the function."""
    log_metadata({"n": number})
    here = get_step_context()
    return here.run_id, here.step_name


def test_in_context_takes_run_and_step_to_any_thread_or_task(
    pool: concurrent.futures.ThreadPoolExecutor, emitted: Read
) -> None:
    async def later(number: int) -> tuple[str, str]:
        await asyncio.sleep(0)
        return where(number)

    with run_context("outer", run_id="o", model=Model("churn")), step_context("a"):
        bound, bound_async = in_context(where), in_context(later)
    assert (bound.__name__, bound.__doc__) == ("where", where.__doc__)
    assert pool.submit(bound, 1).result() == ("o", "a")
    with run_context("other"), step_context("b"):
        assert bound(2) == in_context(bound)(2) == ("o", "a")
        assert where(3)[1] == "b"
        assert asyncio.run(bound_async(4)) == ("o", "a")  # type: ignore[arg-type] -- Callable, for typing
    with pytest.raises(MissingContextError):
        in_context(where)(5)

    def lazy() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="yields"):
        in_context(lazy)


def test_a_failing_function_leaves_the_context_as_it_was(pool: concurrent.futures.ThreadPoolExecutor) -> None:
    def fails() -> None:
        raise ValueError("mine")

    with run_context("nightly"), step_context("a"):
        bound = in_context(fails)
    with step_context("b"):
        with pytest.raises(ValueError, match="mine"):
            bound()
        assert get_step_context().step_name == "b"
