"""Calls of decorated functions: runs and steps that last as long as the function, or the awaitable it returned."""

from __future__ import annotations

import abc
import inspect
import logging
import types
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

from runlore.producer.lifecycle import default_producer
from runlore.producer.runs.context import run_context, step_context
from runlore.producer.runs.outcome import is_failure
from runlore.producer.runs.outputs import ANY_OUTPUT, Outputs
from runlore.producer.runs.place import RUN, STEP, Made, Run, Step, still_open
from runlore.schemas.events import ArtifactVersionConsumed, ArtifactVersionProduced
from runlore.schemas.references import EntityRef

logger = logging.getLogger("runlore")

RunAndStep = tuple[Run | None, Step | None]


class Call(abc.ABC):
    """An open run or step around one call of a decorated function. `on_failure` is called with the one that failed."""

    def __init__(self, context: run_context | step_context, on_failure: Callable[[EntityRef], None]) -> None:
        self._context, self._on_failure = context, on_failure
        self._outside = _place()
        self._lasts = self._ended = False

    def __enter__(self) -> Self:
        self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if not self._lasts:
            self.end(error)

    def give_up(self, error: BaseException) -> None:
        """Close it as failed, unless it lasts or has ended: `with` itself may be interrupted."""
        if not self._lasts:
            self._context.give_up(error)

    def end(self, error: BaseException | None) -> None:
        """End the run or step, once."""
        if self._ended:
            return
        self._ended = True
        if is_failure(error):
            self._on_failure(self.ref)
        self._context.__exit__(None if error is None else type(error), error, None)

    @property
    @abc.abstractmethod
    def ref(self) -> EntityRef:
        """The run or step."""

    def begin(self) -> None:  # noqa: B027 -- a pipeline has nothing to record here
        """Record what there is to record before the function is called."""

    def done(self, result: Any) -> None:  # noqa: B027 -- as above
        """Record the function's result, while the run or step is still open."""

    def end_when_done(self, result: Any, name: str) -> Any:
        """Let the call last until the awaitable that it returned is done; meanwhile the caller is outside of it.

        Returns what to give to the caller: a future itself, or a coroutine around any other awaitable.
        """
        inside = _place()
        self._lasts = True
        _go(self._outside)
        if _is_future(result):
            result.add_done_callback(self._future_done)
            return result
        coroutine: Any = self._awaited(result, inside)
        coroutine.__name__ = coroutine.__qualname__ = name
        weakref.finalize(coroutine, self.end, RuntimeError("its result was never awaited"))
        return coroutine

    async def _awaited(self, result: Awaitable[Any], inside: RunAndStep) -> Any:
        outside = _place()
        _go(inside)
        try:
            value = await result
            self.done(value)
        except BaseException as error:  # cancelled and interrupted calls have failed too
            self.end(error)
            raise
        else:
            self.end(None)
        finally:
            _go(outside)
        return value

    def _future_done(self, future: Any) -> None:
        error: BaseException | None = None
        try:
            self.done(future.result())
        except BaseException as failure:  # noqa: BLE001 -- the future gives it to whoever awaits it
            error = failure
        self.end(error)


class RunCall(Call):
    """The call of a pipeline."""

    _context: run_context

    @property
    def ref(self) -> EntityRef:
        return EntityRef("run", self._context.run_id)


class StepCall(Call):
    """The call of a step: its arguments are consumed, its results produced."""

    _context: step_context

    def __init__(
        self,
        context: step_context,
        on_failure: Callable[[EntityRef], None],
        outputs: Outputs,
        given: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> None:
        super().__init__(context, on_failure)
        self._outputs = outputs
        self._given: tuple[tuple[Any, ...], dict[str, Any]] = given

    @property
    def ref(self) -> EntityRef:
        return self._step.ref

    @property
    def _step(self) -> Step:
        assert self._context.step
        return self._context.step

    def begin(self) -> None:
        """Record which of the arguments are outputs of earlier steps."""
        args, kwargs = self._given
        self._given = (), {}  # a step that lasts must not keep its data alive
        makers = (self._step.run.maker(value) for value in (*args, *kwargs.values()))
        for made in dict.fromkeys(made for made in makers if made is not None):
            self._emit(ArtifactVersionConsumed(made.artifact, made.step))

    def done(self, result: Any) -> None:
        """Record what the function returned as its outputs."""
        values = self._outputs.values(result)
        if values is None:
            # The work is done: a wrong annotation must not fail it. The result is recorded as one output.
            count = len(self._outputs.each)
            logger.warning("runlore: step %r returned something else than its %d outputs", self._step.name, count)
            values = [(ANY_OUTPUT, result)]
        for output, value in values:
            ref = EntityRef("artifact", output.name, output.version)
            self._emit(ArtifactVersionProduced(ref, _type_name(value), output.is_model_artifact))
            self._step.run.remember(value, Made(ref, self._step.ref))

    def _emit(self, fact: ArtifactVersionConsumed | ArtifactVersionProduced) -> None:
        default_producer().emit_packed(fact, self._step.run.id, self._step.name)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def lasts(result: Any) -> bool:
    """Return whether a function's work is done only when its result has been awaited.

    So it is for coroutines, futures and tasks, and for objects that are good for nothing but to be awaited. Others
    (references of Ray, futures of Dask) are values that may be awaited.
    """
    if result is None or not inspect.isawaitable(result):
        return False
    if _is_future(result) or isinstance(result, (types.CoroutineType, types.GeneratorType)):
        return True
    names = set(dir(type(result)))
    public = {name for name in names if not name.startswith("_")} - {"send", "throw", "close"}
    return not public and names.isdisjoint({"__aenter__", "__enter__", "__aiter__", "__iter__"})


def _is_future(result: Any) -> bool:
    """As `asyncio.isfuture`, without importing asyncio."""
    return (
        hasattr(cast(object, type(result)), "_asyncio_future_blocking") and result._asyncio_future_blocking is not None
    )


def _place() -> RunAndStep:
    return RUN.get(), STEP.get()


def _go(place: RunAndStep) -> None:
    RUN.set(still_open(place[0]))
    STEP.set(still_open(place[1]))
