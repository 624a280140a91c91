"""Failed runs and steps: their errors, and the attempts that follow them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import textwrap
from typing import Any

import pytest

from runlore.producer import (
    get_step_context,
    log_metadata,
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.schemas import (
    ArtifactVersionProduced,
    MissingContextError,
    OutboxError,
    RunFinished,
    StepFinished,
)

pytestmark = pytest.mark.usefixtures("offline")


def test_the_message_of_every_error_is_recorded(emitted: Any) -> None:
    class StubbornError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class OddNotesError(Exception):
        __notes__ = 5  # type: ignore[assignment]

    noted = ValueError("text")
    noted.add_note("see the manual")
    errors: list[BaseException] = [
        noted,
        StubbornError(),
        OddNotesError("odd"),
        KeyError("a: b"),
        FileNotFoundError(2, "No such", "a: b"),
        ExceptionGroup("many", [ValueError("first"), ExceptionGroup("inner", [KeyError("second")])]),
        ValueError("one: two\nthree"),
        ValueError(),
        subprocess.CalledProcessError(1, ["false"]),
    ]
    for error in errors:
        with pytest.raises(type(error)), run_context("nightly"):
            raise error
    with pytest.raises(SyntaxError), run_context("nightly"):
        compile("a b", "f", "exec")
    facts = [event.fact for event in emitted() if isinstance(event.fact, RunFinished)]
    assert [fact.error_message for fact in facts] == [
        "text\nsee the manual",
        "<exception str() failed>",
        "odd",
        "'a: b'",
        "[Errno 2] No such: 'a: b'",
        textwrap.dedent("""\
            many (2 sub-exceptions)
            ValueError: first
            ExceptionGroup: inner (1 sub-exception)
            KeyError: 'second'"""),
        "one: two\nthree",
        "",
        "Command '['false']' returned non-zero exit status 1.",
        "invalid syntax (f, line 1)",
    ]


def test_a_call_repeated_after_it_failed_is_linked_to_the_failed_one(emitted: Any) -> None:
    data, other = [1], [1]
    left = {"failures": 2}

    @step
    def train(rows: list[int], lr: float) -> None:
        if left["failures"]:
            left["failures"] -= 1
            raise ValueError("no")

    @step
    async def fetch() -> None:
        if left.setdefault("async", 1):
            left["async"] = 0
            raise ValueError("no")

    @pipeline
    def nightly() -> None:
        for rows, lr in ((data, 0.1), (other, 0.1), (data, 0.1), (data, 0.1), (other, 0.1), (data, 0.2)):
            with contextlib.suppress(ValueError):
                train(rows, lr)
        for _ in range(2):
            with contextlib.suppress(ValueError):
                asyncio.run(fetch())
        if left.setdefault("runs", 1):
            left["runs"] = 0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        nightly()
    nightly()
    events = emitted()
    first, second = dict.fromkeys(event.run for event in events)
    linked = {event.step: str(event.fact.retry_of) for event in events if getattr(event.fact, "retry_of", None)}
    assert linked == {
        "train_3": f"step:{first}/train",
        "train_5": f"step:{first}/train_2",
        "fetch_2": f"step:{first}/fetch",
        None: f"run:{first}",
    }
    assert first != second


def test_a_run_names_the_failed_run_that_it_retries(emitted: Any) -> None:
    with run_context("nightly", retry_of="r1"):
        pass
    assert str(emitted()[0].fact.retry_of) == "run:r1"


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
