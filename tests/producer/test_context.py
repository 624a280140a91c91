"""Runs and steps: what they emit, how they nest, end, and reach into threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from log_tools import read_outbox

from runlore.producer import (
    ArtifactConfig,
    Model,
    configure,
    get_step_context,
    log_artifact_metadata,
    log_metadata,
    log_model_metadata,
    pipeline,
    run_context,
    step,
    step_context,
    use_artifact,
)
from runlore.producer.actor import this_process
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    Event,
    MetadataLogged,
    MissingContextError,
    OutboxError,
    RunFinished,
    RunStarted,
    Settings,
    StepFinished,
    StepStarted,
)


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


@pytest.fixture
def emitted(settings: Settings) -> Any:
    """All events of this process, in order."""

    def read() -> list[Event]:
        return read_outbox(settings)

    return read


def kinds(events: list[Event]) -> list[str]:
    return [f"{type(event.fact).__name__}:{event.step or ''}" for event in events]


def where(number: int) -> None:
    log_metadata({"n": number})


def targets(events: list[Event]) -> dict[int, tuple[str, ...]]:
    return {
        event.fact.metadata["n"]: tuple(map(str, event.fact.targets))
        for event in events
        if isinstance(event.fact, MetadataLogged)
    }


def test_a_pipeline_and_its_steps_say_when_they_start_and_finish(emitted: Any) -> None:
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


def test_failures_are_recorded_and_raised_again(emitted: Any) -> None:
    class StubbornError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @step
    def breaks() -> list[int]:
        log_metadata({"n": 1})
        raise ValueError("bad data: \udcff")

    with pytest.raises(ValueError, match="bad data"), run_context("nightly"):
        breaks()
    with pytest.raises(StubbornError), run_context("stubborn"):
        raise StubbornError
    with pytest.raises(SystemExit), run_context("leaves"):
        raise SystemExit(0)
    ends = [event.fact for event in emitted() if isinstance(event.fact, (StepFinished, RunFinished))]
    assert ends[0] == StepFinished("failed", "ValueError", "bad data: ?")
    assert ends[1] == RunFinished("failed", "ValueError", "bad data: ?")
    assert ends[2].status == "failed"
    assert ends[2].error_type.endswith("StubbornError")  # type: ignore[union-attr]
    assert ends[3] == RunFinished("completed")
    assert not [event for event in emitted() if isinstance(event.fact, ArtifactVersionProduced)]
    with pytest.raises(MissingContextError):
        get_step_context()


def test_a_step_outside_a_run_opens_a_run_of_its_own(emitted: Any) -> None:
    @step
    def alone() -> None:
        where(1)

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


def test_async_steps_run_side_by_side_in_their_own_contexts(emitted: Any) -> None:
    @step
    async def fetch(number: int) -> list[int]:
        for _ in range(5):
            await asyncio.sleep(0)
            assert get_step_context().step_name in ("fetch", "fetch_2", "fetch_3")
        log_artifact_metadata({"n": number})
        return [number]

    @pipeline
    async def gather() -> None:
        await asyncio.gather(*(fetch(number) for number in range(3)))
        async with step_context("last"):
            where(3)

    asyncio.run(gather())
    logged = [event for event in emitted() if isinstance(event.fact, MetadataLogged)]
    assert sorted((event.step, event.fact.metadata["n"]) for event in logged) == [
        ("fetch", 0), ("fetch_2", 1), ("fetch_3", 2), ("last", 3),
    ]  # fmt: skip


def test_an_unrelated_task_does_not_fall_into_another_tasks_run(emitted: Any) -> None:
    async def work() -> None:
        inside, done = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            await inside.wait()
            where(1)
            done.set()

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        with run_context("nightly"):
            inside.set()
            await done.wait()
        await task
        with pytest.raises(MissingContextError):
            where(2)

    asyncio.run(work())
    assert targets(emitted()) == {1: (str(this_process()),)}


def test_threads_started_inside_a_step_belong_to_it(emitted: Any) -> None:
    started_before = ThreadPoolExecutor(1)
    started_before.submit(lambda: None).result()
    with run_context("nightly", run_id="r1"), step_context("train"):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(where, range(8)))
        started_before.submit(where, 9).result()
        context = contextvars.copy_context()
        started_before.submit(context.run, where, 10).result()
    started_before.shutdown()
    found = targets(emitted())
    assert found.pop(9) == (str(this_process()),)
    assert set(found.values()) == {("step:r1/train",)}
    assert sorted(found) == [*range(8), 10]


def test_runs_in_two_threads_do_not_mix(emitted: Any) -> None:
    barrier = threading.Barrier(2)

    def run(number: int) -> None:
        with run_context("nightly", run_id=f"r{number}"), step_context("s"):
            barrier.wait()
            where(number)
            barrier.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert targets(emitted()) == {0: ("step:r0/s",), 1: ("step:r1/s",)}


def test_contexts_nest_and_are_restored_whatever_the_order_of_ends(emitted: Any) -> None:
    with run_context("outer", run_id="o"), step_context("a"):
        with run_context("inner", run_id="i"):
            where(1)
            with step_context("b"), step_context("c"):
                where(2)
        where(3)
    first, second = run_context("first", run_id="1"), run_context("second", run_id="2")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    where(4)
    second.__exit__(None, None, None)
    with pytest.raises(MissingContextError):
        where(5)
    assert targets(emitted()) == {
        1: ("run:i",), 2: ("step:i/c",), 3: ("step:o/a",), 4: ("run:2",),
    }  # fmt: skip


def test_a_context_held_by_a_generator_may_end_in_another_context(emitted: Any) -> None:
    def work() -> Iterator[int]:
        with step_context("lazy"):
            yield 1

    generator = work()
    contextvars.copy_context().run(next, generator)
    generator.close()
    with pytest.raises(MissingContextError):
        get_step_context()
    with pytest.raises(TypeError, match="yields"):
        step(work)


def test_one_context_object_is_one_run(emitted: Any) -> None:
    run = run_context("nightly")
    with run, pytest.raises(MissingContextError, match="open already"):
        run.__enter__()
    with pytest.raises(MissingContextError, match="pipeline"):
        run_context()


def test_joining_a_run_says_neither_start_nor_end(emitted: Any) -> None:
    with run_context(run_id="r9"), step_context("evaluate"):
        where(1)
    with step_context("report", run_id="r9"):
        where(2)
    assert kinds(emitted()) == [
        "StepStarted:evaluate", "MetadataLogged:evaluate", "StepFinished:evaluate",
        "StepStarted:report", "MetadataLogged:report", "StepFinished:report",
    ]  # fmt: skip
    assert {event.run for event in emitted()} == {"r9"}


def test_outputs_come_from_the_return_annotation(emitted: Any) -> None:
    @step
    def named() -> Annotated[dict[str, int], ArtifactConfig(name="model", is_model_artifact=True)]:
        log_artifact_metadata({"n": 1})
        return {"a": 1}

    @step
    def several() -> tuple[Annotated[Any, "x"], int]:
        with pytest.raises(MissingContextError, match="x, output_1"):
            log_artifact_metadata({"n": 2})
        return object(), 5

    @step
    def unresolvable(a: DoesNotExist = 1) -> Annotated[int, "count"]:  # type: ignore[name-defined]  # noqa: F821
        return 1

    @step
    def wrong() -> tuple[Annotated[Any, "x"], Annotated[Any, "y"]]:
        return None  # type: ignore[return-value]

    @step
    def nothing() -> None:
        with pytest.raises(MissingContextError, match="declares no output"):
            log_artifact_metadata({"n": 2})

    with run_context("nightly"):
        for function in (named, several, unresolvable, wrong, nothing):
            function()
    produced = [event.fact for event in emitted() if isinstance(event.fact, ArtifactVersionProduced)]
    assert [(fact.artifact.name, fact.data_type, fact.is_model_artifact) for fact in produced] == [
        ("model", "dict", True), ("x", "object", False), ("output_1", "int", False), ("count", "int", False),
        ("output", "NoneType", False),
    ]  # fmt: skip
    assert targets(emitted()) == {1: ("artifact:model",)}


def test_only_the_very_object_links_steps(emitted: Any) -> None:
    @step
    def load() -> list[int]:
        return [1, 2]

    @step
    def count() -> int:
        return 7

    @step
    def name() -> tuple[str, str]:
        return ("a", "b")

    @step
    def use(*values: Any) -> None: ...

    with run_context("nightly", run_id="r1"):
        data = load()
        use(data, data)
        use([1, 2], 7, ("a", "b"))
        use(count(), *name())
        use_artifact_after(data)
    consumed = [(event.step, event.fact) for event in emitted() if isinstance(event.fact, ArtifactVersionConsumed)]
    made_by = EntityRef("step", "load", run="r1")
    assert consumed == [
        ("use", ArtifactVersionConsumed(EntityRef("artifact", "output"), made_by)),
        ("manual", ArtifactVersionConsumed(EntityRef("artifact", "old", "2"))),
    ]


def use_artifact_after(_: Any) -> None:
    with step_context("manual"):
        use_artifact("old", 2)
    with pytest.raises(MissingContextError):
        use_artifact("old")


def test_a_full_disk_never_hides_the_steps_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OutboxError("disk full")

    def fails() -> None:
        with run_context("nightly"):
            monkeypatch.setattr("runlore.producer.outboxes.outbox.Outbox.insert", full)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        fails()
    assert "disk full" in caught.value.__notes__[0]
    with pytest.raises(OutboxError), step_context("never"):
        pytest.fail("a step that cannot say that it starts does not start")
    with pytest.raises(MissingContextError):
        get_step_context()


def test_the_model_in_context_is_meant_unless_another_is_named(emitted: Any) -> None:
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
