"""What can be a step or pipeline: functions, methods, partials, objects, and what they return to await."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import subprocess
import textwrap
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Annotated, Any, NamedTuple, Optional
from unittest.mock import AsyncMock, MagicMock

import pytest
from log_tools import read_outbox

from runlore.producer import (
    ArtifactConfig,
    configure,
    get_step_context,
    log_metadata,
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    Event,
    MetadataLogged,
    MissingContextError,
    RunFinished,
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
def emitted(settings: Settings) -> Callable[[], list[Event]]:
    return lambda: read_outbox(settings)


def started(events: list[Event]) -> list[tuple[str | None, dict[str, Any]]]:
    """Name and parameters of each step."""
    return [(event.step, event.fact.parameters) for event in events if isinstance(event.fact, StepStarted)]


def outputs(events: list[Event]) -> dict[str | None, list[str]]:
    """The names of each step's outputs."""
    found: dict[str | None, list[str]] = {}
    for event in events:
        if isinstance(event.fact, ArtifactVersionProduced):
            found.setdefault(event.step, []).append(event.fact.artifact.name)
    return found


def ends(events: list[Event]) -> dict[str | None, tuple[str, str | None, str | None]]:
    facts = [(event.step, event.fact) for event in events if isinstance(event.fact, StepFinished)]
    return {name: (fact.status, fact.error_type, fact.error_message) for name, fact in facts}


def logged(events: list[Event]) -> list[tuple[str | None, Any]]:
    return [(e.step, e.fact.metadata["n"]) for e in events if isinstance(e.fact, MetadataLogged)]


def where(number: int) -> None:
    log_metadata({"n": number})


def rows_of(count: int, *, factor: int = 1) -> Annotated[list[int], "rows"]:
    return [count * factor]


class Trainer:
    """A callable object with a method."""

    rate = 0.5

    def __call__(self, count: int) -> Annotated[list[int], "called"]:
        return [count]

    def fit(self, count: int) -> Annotated[list[int], "fitted"]:
        return [count]

    @step
    @staticmethod
    def static(count: int) -> int:
        return count

    @step
    @classmethod
    def klass(cls, count: int) -> float:
        return cls.rate * count


# -- what is decorated -------------------------------------------------------------------------------


def test_partials_methods_and_objects_are_steps_with_their_names_parameters_and_outputs(emitted: Any) -> None:
    with run_context("nightly"):
        assert step(functools.partial(rows_of, 3))() == [3]
        assert step(functools.partial(rows_of, factor=2), )(4) == [8]  # fmt: skip
        assert step(Trainer())(5) == [5]
        assert step(Trainer().fit)(6) == [6]
        assert step(name="named")(Trainer())(count=7) == [7]
        assert step(lambda count: count)(8) == 8
        assert step(max)(1, 2) == 2
        assert (Trainer.static(9), Trainer().static(10), Trainer.klass(2), Trainer().klass(4)) == (9, 10, 1.0, 2.0)
    assert started(emitted()) == [
        ("rows_of", {"count": 3, "factor": 1}),
        ("rows_of_2", {"count": 4, "factor": 2}),
        ("Trainer", {"count": 5}),
        ("fit", {"count": 6}),
        ("named", {"count": 7}),
        ("<lambda>", {"count": 8}),
        ("max", {}),
        ("static", {"count": 9}),
        ("static_2", {"count": 10}),
        ("klass", {"count": 2}),
        ("klass_2", {"count": 4}),
    ]
    assert outputs(emitted())["rows_of_2"] == ["rows"]
    assert (outputs(emitted())["Trainer"], outputs(emitted())["fit"]) == (["called"], ["fitted"])


def test_what_a_partial_brings_is_consumed(emitted: Any) -> None:
    @step
    def load() -> list[int]:
        return [1, 2]

    def use(data: list[int], n: int) -> None: ...

    with run_context("nightly"):
        step(functools.partial(use, load()))(n=3)
    consumed = [event.step for event in emitted() if isinstance(event.fact, ArtifactVersionConsumed)]
    assert (consumed, started(emitted())[-1]) == (["use"], ("use", {"n": 3}))


def test_wrapped_functions_and_mocks_are_steps_as_the_functions_that_they_stand_for(emitted: Any) -> None:
    def logging(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    with run_context("nightly"):
        assert step(logging(rows_of))(3) == [3]
        assert step(MagicMock(return_value=5))(3) == 5
        assert asyncio.run(step(AsyncMock(return_value=6))(3)) == 6
    assert started(emitted())[0] == ("rows_of", {"count": 3, "factor": 1})
    assert [name for name, _ in started(emitted())[1:]] == ["MagicMock", "AsyncMock"]
    assert outputs(emitted())["rows_of"] == ["rows"]
    for given in (rows_of, functools.partial(rows_of, 3)):
        decorated: Any = step(given)
        assert (decorated.__name__, decorated.__module__, decorated.__wrapped__) == ("rows_of", __name__, given)
        assert inspect.signature(decorated) == inspect.signature(given)
    decorated = step(Trainer())
    assert (decorated.__name__, decorated.__doc__) == ("Trainer", Trainer.__doc__)
    assert not hasattr(decorated, "fit")


def test_what_cannot_be_a_step_is_refused_when_it_is_decorated() -> None:
    class Steps:
        def __call__(self) -> Generator[int]:
            yield 1

    async def stream() -> Any:
        yield 1

    for wrong, words in (
        (Trainer, "over the class Trainer: decorate a function or a method"),
        (5, "over int: decorate a function"),
        ("train", "pass the name as name='train'"),
        (Steps(), "Steps yields"),
        (stream, "stream yields"),
        (functools.partial(stream), "stream yields"),
    ):
        for decorate in (step, pipeline):
            with pytest.raises(TypeError, match=words):
                decorate(wrong)  # type: ignore[call-overload]


def test_a_steps_own_name_and_the_second_call_of_another_do_not_meet(emitted: Any) -> None:
    @step
    def train(n: int) -> None:
        where(n)

    @step
    def train_2(n: int) -> None:
        where(n)

    with run_context("first"):
        train(0), train(1), train_2(2), train(3), train_2(4)
    with run_context("second"):
        train_2(0), train(1), train(2)
        with step_context("fit"):
            where(3)
        step(name="fit")(train)(4)
    names = logged(emitted())
    assert len(set(names[:5])) == len({name for name, _ in names[:5]}) == 5
    assert names[5:8] == [("train_2", 0), ("train", 1), ("train_3", 2)]
    assert [name for name, _ in started(emitted())[-3:]] == ["fit", "fit_2", "train_4"]


def test_a_step_defined_in_a_loop_lets_go_of_its_data() -> None:
    class Data(list[int]): ...

    def trial() -> list[weakref.ref[Any]]:
        data, rows = Data([1]), Data([2])

        @step(record=True)
        def fit(rows: Data) -> float:
            if len(kept) == 1:
                raise ValueError("failed")
            return float(len(data))

        @step
        async def later() -> Data:
            return data

        with run_context("trial"):
            asyncio.run(later())
            fit(rows)
        return [weakref.ref(data), weakref.ref(rows)]

    kept: list[list[weakref.ref[Any]]] = []
    for _ in range(3):
        try:
            kept.append(trial())
        except ValueError:
            kept.append([])
    gc.collect()
    assert [ref() for refs in kept for ref in refs] == [None] * 4


# -- outputs -----------------------------------------------------------------------------------------


class Split(NamedTuple):
    train: Annotated[list[int], ArtifactConfig(name="train_rows")]
    test: list[int]


class Scores(NamedTuple):
    accuracy: float
    loss: float


def test_outputs_are_found_in_optionals_named_tuples_and_awaitables(emitted: Any) -> None:
    @step
    def optional() -> Optional[Annotated[list[int], "a"]]:  # noqa: UP045 -- as older code writes it
        return [1]

    @step
    def union() -> Annotated[list[int], "b"] | None:
        return [1]

    @step
    def inside() -> Annotated[list[int] | None, "c"]:
        return None

    @step
    def pair(found: bool) -> tuple[Annotated[list[int], "d"], Annotated[list[int], "e"]] | None:
        return ([1], [2]) if found else None

    @step
    def split() -> Split:
        return Split([1], [2])

    @step
    def scores() -> Scores:
        return Scores(0.9, 0.1)

    @step
    def awaited() -> Awaitable[Annotated[list[int], "f"]]:
        async def work() -> list[int]:
            return [1]

        return work()

    async def main() -> None:
        optional(), union(), inside(), pair(True), pair(False), split(), scores()
        await awaited()

    with run_context("nightly"):
        asyncio.run(main())
    assert outputs(emitted()) == {
        "optional": ["a"], "union": ["b"], "inside": ["c"], "pair": ["d", "e"], "split": ["train_rows", "test"],
        "scores": ["output"], "awaited": ["f"],
    }  # fmt: skip


def test_an_annotation_is_read_with_what_is_defined_around_the_function(emitted: Any) -> None:
    def make() -> Any:
        name = "local"
        Rows = Annotated[list[int], name]  # noqa: N806 -- a type

        @step
        def early(flag: DoesNotExist = False) -> Rows:  # type: ignore  # noqa: F821
            return later() if flag else [len(Rows.__metadata__)]

        early()  # `later` has no value yet

        def later() -> list[int]:
            return [2]

        return early

    with run_context("nightly"):
        assert make()(True) == [2]
    assert outputs(emitted()) == {"early": ["local"], "early_2": ["local"]}


# -- what lasts --------------------------------------------------------------------------------------


class Later:
    """Good for nothing but to be awaited."""

    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        where(1)
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
    where(1)
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
        where(0)  # the caller is outside of it meanwhile
        assert "work" not in ends(emitted())
        result = await waiting
        where(2)
        return result

    with run_context("nightly"):
        assert asyncio.run(main()) == 5
    events = emitted()
    assert logged(events) == [(None, 0), ("work", 1), (None, 2)]
    finished = next(at for at, event in enumerate(events) if isinstance(event.fact, StepFinished))
    assert finished > next(at for at, event in enumerate(events) if logged([event]) == [("work", 1)])
    assert (ends(events)["work"][0], outputs(events)) == ("completed", {"work": ["output"]})


def test_steps_that_return_awaitables_run_side_by_side_in_their_own_contexts(emitted: Any) -> None:
    @step
    def fetch(n: int) -> Awaitable[int]:
        async def work() -> int:
            await asyncio.sleep(0)
            where(n)
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
    assert sorted(logged(emitted())) == [("fetch", 0), ("fetch_2", 1), ("fetch_3", 2)]
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


# -- how they fail -----------------------------------------------------------------------------------


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


def test_a_run_says_which_failed_run_it_tries_again(emitted: Any) -> None:
    with run_context("nightly", retry_of="r1"):
        pass
    assert str(emitted()[0].fact.retry_of) == "run:r1"
