"""Targets of @step and @pipeline: functions, methods, partials, objects."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import weakref
from collections.abc import Callable, Generator
from typing import Annotated, Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from context_tools import log_number, logged_in_steps, outputs

from runlore.producer import (
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.schemas import (
    ArtifactVersionConsumed,
    Event,
    StepStarted,
)

pytestmark = pytest.mark.usefixtures("offline")


def started(events: list[Event]) -> list[tuple[str | None, dict[str, Any]]]:
    """Name and parameters of each step."""
    return [(event.step, event.fact.parameters) for event in events if isinstance(event.fact, StepStarted)]


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


def test_wrapped_functions_and_mocks_are_steps_like_the_functions_they_wrap(emitted: Any) -> None:
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
        log_number(n)

    @step
    def train_2(n: int) -> None:
        log_number(n)

    with run_context("first"):
        train(0), train(1), train_2(2), train(3), train_2(4)
    with run_context("second"):
        train_2(0), train(1), train(2)
        with step_context("fit"):
            log_number(3)
        step(name="fit")(train)(4)
    names = logged_in_steps(emitted())
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
