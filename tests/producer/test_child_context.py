"""Child processes find the run and step that were open when they were started, however they were started."""

from __future__ import annotations

import concurrent.futures
import contextvars
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from context_work import CODE, asked, grandchild, trained, work
from log_tools import stored_events

from runlore.cli.stack import EmbeddedStack
from runlore.producer import (
    configure,
    in_context,
    log_metadata,
    run_context,
    step_context,
)
from runlore.query import Client
from runlore.schemas import Event, MetadataLogged, Settings, StepStarted


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


def logged(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    """First target and metadata of what other processes logged."""
    return [
        (str(event.fact.targets[0]), event.fact.metadata)
        for event in children(settings)
        if isinstance(event.fact, MetadataLogged)
    ]


def children(settings: Settings) -> list[Event]:
    return [event for event in stored_events(settings) if event.actor.pid != os.getpid()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_pool_started_in_a_step_are_in_it(settings: Settings, method: str) -> None:
    workers = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method))
    with run_context("nightly", run_id="r1"), step_context("train"), workers as pool:
        assert list(pool.map(work, range(2))) == [0, 1]
        pool.submit(trained, 2).result()
    assert logged(settings) == [
        ("step:r1/train", {"n": 0}), ("run:r1", {"r": 0}), ("step:r1/train", {"n": 1}), ("run:r1", {"r": 1}),
        ("step:r1/trained", {"n": 2}), ("run:r1", {"r": 2}),
    ]  # fmt: skip


def test_a_child_started_without_an_environment_of_its_own_is_in_the_step(settings: Settings) -> None:
    with run_context("nightly", run_id="r1"), step_context("train"):
        subprocess.run([sys.executable, "-c", CODE], check=True)
        process = multiprocessing.get_context("spawn").Process(target=grandchild)
        process.start()
        process.join()
        assert process.exitcode == 0
    assert sorted(logged(settings)) == [("step:r1/inner", {"n": 1}), ("step:r1/train", {"n": 1})]
    assert [event.step for event in children(settings) if isinstance(event.fact, StepStarted)] == ["inner"]


def test_in_context_brings_run_and_step_to_a_pool_older_than_the_run(settings: Settings) -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(os.getpid).result()
        configure(mode="offline", project="churn")  # the worker does not know this, either
        with run_context("nightly", run_id="r1", model="churn"), step_context("train"):
            bound = in_context(work)
            assert list(pool.map(bound, range(2))) == [0, 1]
            assert pool.submit(in_context(asked)).result() == ("train", "r1", "nightly", "churn")
            pool.submit(in_context(trained), 3).result()
            pool.submit(in_context(trained), 4).result()
    assert logged(settings) == [
        ("step:r1/train", {"n": 0}), ("run:r1", {"r": 0}), ("step:r1/train", {"n": 1}), ("run:r1", {"r": 1}),
        ("step:r1/trained", {"n": 3}), ("run:r1", {"r": 3}), ("step:r1/trained_2", {"n": 4}), ("run:r1", {"r": 4}),
    ]  # fmt: skip
    assert {event.project for event in children(settings)} == {"churn"}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_worker_kept_for_the_next_step_or_run_is_not_in_the_one_that_is_over(settings: Settings, method: str) -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        with run_context("nightly", run_id="r1"):
            with step_context("a"):
                pool.submit(work, 0).result()
                with step_context("inside"):
                    pool.submit(work, 1).result()
            with step_context("b"):
                pool.submit(work, 2).result()
        with run_context("nightly", run_id="r2"), step_context("a"):
            pool.submit(work, 3).result()
            pool.submit(in_context(work), 4).result()
    found = [("process" if target.startswith("process:") else target, data) for target, data in logged(settings)]
    assert found == [
        ("step:r1/a", {"n": 0}), ("run:r1", {"r": 0}), ("step:r1/a", {"n": 1}), ("run:r1", {"r": 1}),
        ("process", {"n": 2}), ("run:r1", {"r": 2}), ("process", {"n": 3}), ("process", {"r": 3}),
        ("step:r2/a", {"n": 4}), ("run:r2", {"r": 4}),
    ]  # fmt: skip
    by_run = [event.run for event in children(settings) if isinstance(event.fact, MetadataLogged)]
    assert by_run == ["r1"] * 6 + [None, None, "r2", "r2"]


def test_a_forked_child_is_where_its_parent_was_and_so_are_its_children(settings: Settings) -> None:
    with run_context("nightly", run_id="r1"), step_context("train"):
        child = os.fork()
        if child == 0:
            try:
                work(0)
                grandchild()
                subprocess.run([sys.executable, "-c", CODE], check=True)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(map(str, logged(settings))) == sorted(map(str, [
        ("step:r1/train", {"n": 0}), ("run:r1", {"r": 0}), ("step:r1/inner", {"n": 1}), ("step:r1/train", {"n": 1}),
    ]))  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_older_than_the_run_logs_on_its_process_instead_of_failing(
    settings: Settings, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        pid = pool.submit(os.getpid).result()
        with run_context("nightly", run_id="r1"):
            assert list(pool.map(work, range(2))) == [0, 1]
            assert pool.submit(trained, 2).result() == 2
    (process,) = {target for target, _ in logged(settings) if target.startswith("process:")}
    assert f"/{pid}/" in process
    own_run = next(event.run for event in children(settings) if isinstance(event.fact, StepStarted))
    assert [metadata for target, metadata in logged(settings) if target == process] == [
        {"n": 0}, {"r": 0}, {"n": 1}, {"r": 1}, {"steps": {"trained": f"step:{own_run}/trained"}},
    ]  # fmt: skip
    if method == "spawn":  # in a fork, pytest still takes what is warned
        assert capfd.readouterr().err.count("in_context()") == 1


def test_a_child_of_a_program_with_two_runs_logs_on_its_process(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = run_context("first"), run_context("second")
    for run in (first, second):
        contextvars.copy_context().run(run.__enter__)
    subprocess.run([sys.executable, "-c", CODE], check=True)
    for run in (first, second):
        run.__exit__(None, None, None)
    ((process, metadata),) = logged(settings)
    assert process.startswith("process:")
    assert metadata == {"n": 1}
    assert "in_context()" in capfd.readouterr().err


def test_joblib_workers_are_in_the_step_that_started_them(settings: Settings) -> None:
    joblib = pytest.importorskip("joblib")
    with run_context("nightly", run_id="r1"), step_context("train"):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(work)(number) for number in range(4)) == [0, 1, 2, 3]
    with run_context("nightly", run_id="r2"), step_context("train"):
        # The workers are kept from one call to the next.
        joblib.Parallel(n_jobs=2)(joblib.delayed(in_context(work))(number) for number in range(4, 6))
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
    assert sorted(str(where) for where in logged(settings)) == sorted(
        str(where)
        for number in range(6)
        for run in ["r1" if number < 4 else "r2"]
        for where in ((f"step:{run}/train", {"n": number}), (f"run:{run}", {"r": number}))
    )


def test_a_process_that_lost_its_run_is_linked_to_it(stack: EmbeddedStack, settings: Settings) -> None:
    configure()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(os.getpid).result()
        with run_context("nightly", run_id="r1"):
            pool.submit(log_metadata, {"n": 1}).result()
            receipt = pool.submit(log_metadata, {"m": 2}).result()
    with Client() as client:
        client.wait_for(receipt, 60)
        (process,) = client.find("process", "run = 'r1'")
        assert process.metadata == {"n": 1, "m": 2}
        assert process.fields["run"] == "r1"
        assert process.run_metadata["n"].run == "r1"
        shown = subprocess.run(
            [sys.executable, "-m", "runlore.cli", "show", process.reference],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "r1" in shown
