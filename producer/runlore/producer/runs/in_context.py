"""Functions bound to the current run and step, wherever they are called."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from runlore.producer.lifecycle import configure, default_producer
from runlore.producer.runs.environment import DELIVERY, EXPORTED
from runlore.producer.runs.place import PROCESS, RUN, STEP, Run, Step, current_place, environment
from runlore.schemas.references import EntityRef

P = ParamSpec("P")
R = TypeVar("R")


def in_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` bound to the run and step that are current now, for any thread, task or process.

        with step_context("train"):
            pool.map(in_context(evaluate), folds)

    It can be pickled if `function` can: another process then joins the run, as with `.env()`. Coroutine functions are
    accepted too. Outside a run the function is called as it is. Raises TypeError for a generator function.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{_name(function)} yields: wrap a function that returns, or open run_context inside it")
    return cast(Callable[P, R], _Bound(function, *current_place()))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


class _Bound:
    """A function and its place."""

    def __init__(self, function: Callable[..., Any], run: Run | None, step: Step | None) -> None:
        functools.update_wrapper(self, function)  # first: it copies the function's own attributes
        self._function, self._run, self._step = function, run, step

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return self._call_async(args, kwargs)
        with self._inside():
            return self._function(*args, **kwargs)

    async def _call_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._inside():
            return await self._function(*args, **kwargs)

    @contextlib.contextmanager
    def _inside(self) -> Generator[None]:
        if self._run is None:
            yield
            return
        before = RUN.get(), STEP.get()
        RUN.set(self._run)
        STEP.set(self._step)
        try:
            yield
        finally:
            RUN.set(before[0])
            STEP.set(before[1])

    def __repr__(self) -> str:
        return f"in_context({self._function!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._function, _carried(self._run, self._step))


class _Carried(NamedTuple):
    """A place on its way to another process."""

    run: str
    pipeline: str | None
    model: EntityRef | None
    step: tuple[str, EntityRef | None, tuple[str, ...]] | None
    """Name, model and outputs."""
    variables: dict[str, str]
    """Settings that say where its events go."""


def _carried(run: Run | None, step: Step | None) -> _Carried | None:
    if run is None:
        return None
    described = None if step is None else (step.name, step.model, step.outputs)
    return _Carried(run.id, run.pipeline, run.model, described, environment(run.id, None, None, None))


def _unpickled(function: Callable[..., Any], carried: _Carried | None) -> _Bound:
    if carried is None:
        return _Bound(function, None, None)
    run = _run(carried.run, carried.pipeline, carried.model)
    step = None if carried.step is None else _step(run, *carried.step)
    return _Arrived(function, run, step, carried.variables)


def _run(run_id: str, pipeline: str | None, model: EntityRef | None) -> Run:
    here = [item for item in (*PROCESS.open, PROCESS.read_environment()[0]) if isinstance(item, Run)]
    return next((run for run in here if run.id == run_id), None) or _joined(run_id, pipeline, model)


@functools.lru_cache(maxsize=64)
def _joined(run_id: str, pipeline: str | None, model: EntityRef | None) -> Run:
    """One object for a run in each process: it counts the calls of a step and knows what steps returned."""
    return Run(run_id, pipeline, model)


def _step(run: Run, name: str, model: EntityRef | None, outputs: tuple[str, ...]) -> Step:
    return Step(name, run, model, outputs)


class _Arrived(_Bound):
    """A bound function in the process that it was sent to."""

    def __init__(self, function: Callable[..., Any], run: Run, step: Step | None, variables: dict[str, str]) -> None:
        super().__init__(function, run, step)
        self._variables = variables

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _follow(self._variables)
        return super().__call__(*args, **kwargs)


def _follow(variables: dict[str, str]) -> None:
    """Log where the run is logged; what this process's own environment says goes before."""
    here = default_producer().settings
    wanted = {
        name: setting.cast(variables[setting.variable])
        for name, setting in DELIVERY.items()
        if variables.get(setting.variable) and not EXPORTED.outside(setting.variable)
    }
    if any(getattr(here, name) != value for name, value in wanted.items()):
        configure(**wanted)
