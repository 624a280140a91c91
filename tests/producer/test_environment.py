"""The place of an open run or step in the environment: for children, true, and gone when it closes."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import run_python

from runlore.producer import Model, configure, get_step_context, log_metadata, run_context, step_context
from runlore.producer.actor import this_process
from runlore.schemas import MissingContextError


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


def shown() -> dict[str, str]:
    """Variables of the environment that say where a child is."""
    names = ("RUN_ID", "STEP", "PIPELINE", "MODEL")
    return {name: os.environ[f"RUNLORE_{name}"] for name in names if f"RUNLORE_{name}" in os.environ}


def test_the_environment_names_what_is_open_and_nothing_of_it_stays() -> None:
    before = dict(os.environ)
    with run_context("nightly", run_id="r1", model=Model("churn", "3")):
        assert shown() == {"RUN_ID": "r1", "PIPELINE": "nightly", "MODEL": "model:churn@3"}
        assert os.environ["RUNLORE_MODE"] == "offline"  # set in code: a child must not send elsewhere
        assert os.environ["RUNLORE_PARENT_PROCESS"] == this_process().name
        with step_context("a", model="other"):
            assert shown() == {"RUN_ID": "r1", "STEP": "a", "PIPELINE": "nightly", "MODEL": "model:other"}
            with step_context("b"):
                assert shown()["STEP"] == "b"
            assert shown()["STEP"] == "a"
        assert "STEP" not in shown()
        with run_context(run_id="inner"):
            assert shown() == {"RUN_ID": "inner"}
        assert shown()["RUN_ID"] == "r1"
    assert dict(os.environ) == before


def test_the_environment_names_no_run_while_several_are_open_side_by_side() -> None:
    before = dict(os.environ)
    first, second = run_context("first", run_id="1"), run_context("second", run_id="2")
    contextvars.copy_context().run(first.__enter__)
    contextvars.copy_context().run(second.__enter__)
    assert shown() == {}
    assert os.environ["RUNLORE_PARENT_PROCESS"] == this_process().name
    first.__exit__(None, None, None)
    assert shown()["RUN_ID"] == "2"
    second.__exit__(None, None, None)
    assert dict(os.environ) == before


def test_runs_and_steps_of_tasks_and_threads_are_side_by_side_also_inside_another() -> None:
    async def trial(number: int, both: asyncio.Barrier) -> None:
        async with run_context("trial", run_id=f"t{number}"):
            await both.wait()
            assert shown() == {}
            await both.wait()

    async def fetch(number: int, both: asyncio.Barrier) -> None:
        async with step_context(f"s{number}"):
            await both.wait()
            assert shown() == {"RUN_ID": "search", "PIPELINE": "search"}
            await both.wait()

    async def search() -> None:
        async with run_context("search", run_id="search"):
            both = asyncio.Barrier(2)
            await asyncio.gather(*(trial(number, both) for number in range(2)))
            await asyncio.gather(*(fetch(number, both) for number in range(2)))
            await asyncio.create_task(one_trial())

    async def one_trial() -> None:
        async with run_context("trial", run_id="t2"):
            assert shown() == {}  # the coroutine around may start a child, too

    asyncio.run(search())
    with run_context("outer"):
        thread = threading.Thread(target=lambda: asyncio.run(one_trial()))
        thread.start()
        thread.join()


def test_runs_that_end_out_of_order_leave_the_inner_one_named() -> None:
    outer, inner = run_context("outer", run_id="o"), run_context("inner", run_id="i")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert shown()["RUN_ID"] == "i"
    inner.__exit__(None, None, None)
    assert shown() == {}


def test_what_a_person_set_is_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLORE_RUN_ID", "mine")
    with run_context("nightly"), step_context("a"):
        assert shown() == {"RUN_ID": "mine"}  # and no step of another run
    with run_context("nightly", run_id="mine"), step_context("a"):
        assert shown() == {"RUN_ID": "mine", "STEP": "a", "PIPELINE": "nightly"}
    monkeypatch.delenv("RUNLORE_RUN_ID")
    monkeypatch.setenv("RUNLORE_PROJECT", "theirs")
    with run_context("nightly"):
        assert shown() == {}  # such a child logs in another project, which does not have this run
        assert os.environ["RUNLORE_PROJECT"] == "theirs"
    monkeypatch.delenv("RUNLORE_PROJECT")
    with run_context("nightly"):
        os.environ["RUNLORE_RUN_ID"] = "meanwhile"
    assert shown() == {"RUN_ID": "meanwhile"}
    monkeypatch.setenv("RUNLORE_RUN_ID", "")


def test_this_process_takes_none_of_its_own_variables_for_its_settings() -> None:
    configure(mode="offline", project="ours")
    with run_context("nightly"), step_context("a"):
        assert os.environ["RUNLORE_PROJECT"] == "ours"
        assert configure(mode="offline").project == "default"
        assert os.environ["RUNLORE_RUN_ID"]
    with pytest.raises(MissingContextError):
        log_metadata({"a": 1})


def test_a_name_that_the_file_system_cannot_write_fails_no_step() -> None:
    code = """
    import os
    from runlore.producer import run_context, step_context
    with run_context("nightly", run_id="r1"), step_context("\\u8bad\\u7ec3"):
        print(os.environ["RUNLORE_RUN_ID"], "RUNLORE_STEP" in os.environ)
    print("RUNLORE_RUN_ID" in os.environ)
    """
    output = run_python(code, PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0", RUNLORE_MODE="offline").stdout
    assert output in ("r1 False\nFalse\n", "r1 True\nFalse\n")


def test_env_of_the_step_context_is_what_a_child_needs() -> None:
    with run_context("nightly", run_id="r1", model="churn"), step_context("train") as step:
        env = get_step_context().env()
        assert env == step.env()
    assert env == {
        "RUNLORE_RUN_ID": "r1",
        "RUNLORE_STEP": "train",
        "RUNLORE_PIPELINE": "nightly",
        "RUNLORE_MODEL": "model:churn",
        "RUNLORE_PROJECT": "default",
        "RUNLORE_URL": "",
        "RUNLORE_DATA_DIR": os.environ["RUNLORE_DATA_DIR"],
        "RUNLORE_MODE": "offline",
        "RUNLORE_RECORD": "numbers",
        "RUNLORE_REDACT": "on",
        "RUNLORE_PARENT_PROCESS": this_process().name,
    }
