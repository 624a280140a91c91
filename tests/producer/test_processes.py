"""Forks, spawned processes, pools, threads and child processes with an environment."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
from log_tools import logged, make_stream, outbox_files, read_stream, run_python, until

from runlore.cli.server import EmbeddedServer
from runlore.producer import configure, flush, log_metadata, run_context, step_context
from runlore.schemas import NotSentError, Settings


@pytest.fixture(autouse=True)
def stream(server: EmbeddedServer, settings: Settings) -> Settings:
    make_stream(settings)
    configure()
    return settings


def log_number(number: int) -> int:
    log_metadata({"n": number}, "model:churn")
    return os.getpid()


def test_a_forked_child_opens_its_own_outbox(stream: Settings) -> None:
    before = log_metadata({"n": 0}, "model:churn")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.raises(NotSentError, match="fork"):
                before.wait(0)
            receipts = [log_metadata({"n": number}, "model:churn") for number in (1, 2)]
            code = 0 if receipts[-1].wait(90) else 1
        finally:
            os._exit(code)
    for number in range(10, 30):
        log_metadata({"n": number}, "model:churn")
    assert os.waitpid(child, 0)[1] == 0
    assert before.wait(90)
    assert flush(90).unsent == 0
    events = [event for _, event in read_stream(stream)]
    assert sorted(logged(stream)) == [0, 1, 2, *range(10, 30)]
    assert len({event.producer_id for event in events}) == 2
    assert {event.actor.pid for event in events} == {os.getpid(), child}
    configure(mode="disabled")


def test_forks_while_threads_emit_never_hang(stream: Settings) -> None:
    stop = threading.Event()

    def emit() -> None:
        while not stop.is_set():
            log_metadata({"parent": 1}, "model:churn")

    threads = [threading.Thread(target=emit) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        children: list[int] = []
        for number in range(20):
            child = os.fork()
            if child == 0:
                try:
                    log_metadata({"n": number}, "model:churn")
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            assert until(lambda child=child: os.waitpid(child, os.WNOHANG)[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    configure(mode="offline")
    configure()
    log_metadata({"last": 1}, "model:churn")
    configure(mode="disabled")  # leaving sweeps what the children left
    assert sorted(logged(stream)) == list(range(20))
    assert outbox_files(stream) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_flush_at_their_end(stream: Settings, method: str) -> None:
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=log_number, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
        assert process.exitcode == 0
    assert sorted(logged(stream)) == [0, 1, 2]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_work(stream: Settings, method: str) -> None:
    log_number(-1)
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        pids = set(pool.map(log_number, range(40)))
    assert os.getpid() not in pids
    configure(mode="disabled")
    assert sorted(logged(stream)) == list(range(-1, 40))


def test_a_terminated_pool_leaves_its_events_to_the_parent(stream: Settings) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(log_number, range(20))
    log_number(20)
    configure(mode="disabled")
    assert sorted(logged(stream)) == list(range(21))


def test_a_child_process_with_env_joins_run_and_step(stream: Settings) -> None:
    code = """
    from runlore.producer import log_metadata, log_model_metadata, get_step_context, run_context, step_context
    import os
    here = get_step_context()
    assert (here.step_name, here.run_id, here.pipeline_name) == ("train", os.environ["RUNLORE_RUN_ID"], "nightly")
    assert here.model.name == "churn"
    log_metadata({"n": 1})
    log_model_metadata({"n": 2})
    with run_context("nightly", run_id=here.run_id), step_context("inner"):
        log_metadata({"n": 3})
        log_model_metadata({"n": 4})
    """
    with run_context("nightly", run_id="r1", model="churn"), step_context("train") as step:
        subprocess.run(
            [sys.executable, "-c", __import__("textwrap").dedent(code)], env={**os.environ, **step.env()}, check=True
        )
    configure(mode="disabled")
    events = [event for _, event in read_stream(stream)]
    kinds = [type(event.fact).__name__ for event in events]
    assert kinds.count("RunStarted") == kinds.count("RunFinished") == 1
    assert kinds.count("StepStarted") == kinds.count("StepFinished") == 2
    targets = {
        event.fact.metadata["n"]: (event.run, event.step, str(event.fact.targets[0]))  # type: ignore[union-attr]
        for event in events
        if type(event.fact).__name__ == "MetadataLogged"
    }
    assert targets == {
        1: ("r1", "train", "step:r1/train"),
        2: ("r1", "train", "model:churn"),
        3: ("r1", "inner", "step:r1/inner"),
        4: ("r1", "inner", "model:churn"),
    }


def test_a_run_env_hides_an_outer_step(stream: Settings) -> None:
    with run_context("outer") as outer, step_context("s"):
        assert outer.env()["RUNLORE_STEP"] == ""
        assert outer.env()["RUNLORE_DATA_DIR"] == str(stream.data_dir)
    configure(mode="disabled")


def test_importing_the_producer_is_light() -> None:
    code = """
    import resource, sys

    def cpu():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    began = cpu()
    import anyio.to_thread, asyncio, importlib.resources, msgspec, uuid_utils
    needed = cpu() - began
    import runlore.producer
    print((cpu() - began - needed) / needed, *{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
    """
    ratio, *others = min((run_python(code).stdout.split() for _ in range(3)), key=lambda line: float(line[0]))
    known = {"anyio", "exceptiongroup", "msgspec", "runlore", "sniffio", "typing_extensions", "uuid_utils"}
    assert {name for name in others if not name.startswith("_")} <= known
    assert float(ratio) < 3  # of the CPU time that its imports cost alone; about 1, with the time in `make bench`
