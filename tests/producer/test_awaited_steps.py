"""Steps that return an awaitable: they last until it is done."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from context_tools import log_number, logged_in_steps, outputs

from runlore.producer import (
    get_step_context,
    pipeline,
    run_context,
    step,
)
from runlore.schemas import (
    Event,
    MissingContextError,
    RunFinished,
    StepFinished,
)

pytestmark = pytest.mark.usefixtures("offline")


def ends(events: list[Event]) -> dict[str | None, tuple[str, str | None, str | None]]:
    facts = [(event.step, event.fact) for event in events if isinstance(event.fact, StepFinished)]
    return {name: (fact.status, fact.error_type, fact.error_message) for name, fact in facts}


class Later:
    """Good for nothing but to be awaited."""

    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        log_number(1)
        return 5


class Reference:
    """A value that may be awaited, as Ray's and Dask's."""

    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 5

    def result(self) -> int:
        return 5


async def inner() -> int:
    await asyncio.sleep(0)
    assert get_step_context().step_name
    log_number(1)
    return 5


class AsyncCall:
    async def __call__(self) -> int:
        return await inner()


AWAITED: dict[str, Callable[[], Any]] = {
    "coroutine": lambda: inner(),
    "task": lambda: asyncio.ensure_future(inner()),
    "object": lambda: Later(),
    "partial": functools.partial(inner),
    "async call": AsyncCall(),
}


@pytest.mark.parametrize("kind", AWAITED)
def test_a_step_lasts_until_what_it_returned_is_done(emitted: Any, kind: str) -> None:
    async def main() -> Any:
        waiting = step(name="work")(AWAITED[kind])()
        log_number(0)  # the caller is outside of it meanwhile
        assert "work" not in ends(emitted())
        result = await waiting
        log_number(2)
        return result

    with run_context("nightly"):
        assert asyncio.run(main()) == 5
    events = emitted()
    assert logged_in_steps(events) == [(None, 0), ("work", 1), (None, 2)]
    finished = next(at for at, event in enumerate(events) if isinstance(event.fact, StepFinished))
    assert finished > next(at for at, event in enumerate(events) if logged_in_steps([event]) == [("work", 1)])
    assert (ends(events)["work"][0], outputs(events)) == ("completed", {"work": ["output"]})


def test_steps_that_return_awaitables_run_side_by_side_in_their_own_contexts(emitted: Any) -> None:
    @step
    def fetch(n: int) -> Awaitable[int]:
        async def work() -> int:
            await asyncio.sleep(0)
            log_number(n)
            if n == 1:
                raise ValueError("no")
            return n

        return work()

    @pipeline
    def nightly() -> Awaitable[list[Any]]:
        async def work() -> list[Any]:
            waiting = [fetch(n) for n in range(3)]
            return await asyncio.gather(*waiting, return_exceptions=True)

        return work()

    assert [type(found).__name__ for found in asyncio.run(nightly())] == ["int", "ValueError", "int"]  # type: ignore[arg-type]
    assert sorted(logged_in_steps(emitted())) == [("fetch", 0), ("fetch_2", 1), ("fetch_3", 2)]
    assert ends(emitted())["fetch_2"] == ("failed", "ValueError", "no")
    assert isinstance(emitted()[-1].fact, RunFinished)
    with pytest.raises(MissingContextError):
        get_step_context()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_failed_cancelled_and_forgotten_awaitables_end_their_step(emitted: Any) -> None:
    async def fails() -> None:
        raise ValueError("late")

    async def hangs() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        with pytest.raises(ValueError, match="late"):
            await step(name="future")(lambda: asyncio.ensure_future(fails()))()
        with pytest.raises(ValueError, match="late"):
            await step(name="coroutine")(lambda: fails())()
        task = step(name="cancelled")(lambda: asyncio.ensure_future(hangs()))()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        step(name="forgotten")(lambda: fails())()
        gc.collect()

    with run_context("nightly"):
        asyncio.run(main())
    assert ends(emitted()) == {
        "future": ("failed", "ValueError", "late"),
        "coroutine": ("failed", "ValueError", "late"),
        "cancelled": ("failed", "CancelledError", ""),
        "forgotten": ("failed", "RuntimeError", "its result was never awaited"),
    }


def test_a_value_that_may_be_awaited_is_returned_as_it_is(emitted: Any) -> None:
    reference = Reference()
    with run_context("nightly"):
        assert step(name="submit")(lambda: reference)() is reference
    assert ends(emitted()) == {"submit": ("completed", None, None)}
