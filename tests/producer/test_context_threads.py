"""Runs and steps in threads, tasks and generators."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from context_tools import log_number, targets

from runlore.producer import (
    get_step_context,
    log_artifact_metadata,
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.producer.actor import this_process
from runlore.schemas import (
    MetadataLogged,
    MissingContextError,
)

pytestmark = pytest.mark.usefixtures("offline")


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
            log_number(3)

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
            log_number(1)
            done.set()

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        with run_context("nightly"):
            inside.set()
            await done.wait()
        await task
        with pytest.raises(MissingContextError):
            log_number(2)

    asyncio.run(work())
    assert targets(emitted()) == {1: (str(this_process()),)}


def test_threads_started_inside_a_step_belong_to_it(emitted: Any) -> None:
    started_before = ThreadPoolExecutor(1)
    started_before.submit(lambda: None).result()
    with run_context("nightly", run_id="r1"), step_context("train"):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(log_number, range(8)))
        started_before.submit(log_number, 9).result()
        context = contextvars.copy_context()
        started_before.submit(context.run, log_number, 10).result()
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
            log_number(number)
            barrier.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert targets(emitted()) == {0: ("step:r0/s",), 1: ("step:r1/s",)}


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
