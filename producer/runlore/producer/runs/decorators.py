"""`@pipeline` and `@step`: runs and steps around functions, outputs and inputs recorded as lineage."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar, cast, overload

from runlore.producer.lifecycle import default_producer
from runlore.producer.runs.arguments import (
    ParameterSelection,
    call_parameters,
    selection_from_argument,
    selection_from_setting,
)
from runlore.producer.runs.attempts import Attempts, call_key
from runlore.producer.runs.calls import Call, RunCall, StepCall, lasts
from runlore.producer.runs.context import run_context, step_context
from runlore.producer.runs.model import Model
from runlore.producer.runs.place import run_of_step
from runlore.producer.runs.target import Target

P = ParamSpec("P")
R = TypeVar("R")
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
RecordArgument = bool | Iterable[str] | None


@overload
def pipeline(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def pipeline(
    *, name: str | None = None, model: Model | str | None = None, record: RecordArgument = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def pipeline(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    model: Model | str | None = None,
    record: RecordArgument = None,
) -> Any:
    """Each call of the function is a run of the pipeline `name` (default: the function's name).

    `record`: which arguments are its parameters. True: all plain values (numbers, short texts, short lists and dicts
    of those); a list of names: those; False: none; absent: what RUNLORE_RECORD says, which is numbers by default.
    What looks like a secret never is. A call that is repeated with the same arguments after it failed is linked to it.

    @pipeline(model=Model("churn"))
    def nightly():
        train(load())
    """
    selection = None if record is None else selection_from_argument(record)

    def decorate(target: Target, attempts: Attempts) -> Callable[[Arguments], Call]:
        def open_run(given: Arguments) -> Call:
            key = call_key(*given)
            before = attempts.take(key)
            parameters = call_parameters(target.signature, *given, _selection_or_default(selection))
            retry_of = None if before is None else before.name
            context = run_context(target.name, model=model, parameters=parameters, retry_of=retry_of)
            return RunCall(context, lambda ref: attempts.failed(key, ref))

        return open_run

    wrap = functools.partial(_decorated, decorate, "pipeline", name, selection)
    return wrap if function is None else wrap(function)


@overload
def step(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def step(
    *, name: str | None = None, model: Model | str | None = None, record: RecordArgument = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    model: Model | str | None = None,
    record: RecordArgument = None,
) -> Any:
    """Each call of the function is a step of the current run; its outputs become artifact versions.

    Outputs are read from the return annotation: ``Annotated[T, ArtifactConfig(name=...)]``,
    ``Annotated[T, "name"]``, a tuple of those, or any other type (then the output is called ``output``).
    A value that an earlier step of the run returned in this process is recorded as consumed.
    `record`: which arguments are its parameters, as for `pipeline`.
    The second call of the same step in a run is the step ``name_2``; after a failure, with the same arguments, it is
    linked to the failed one. A function that returns an awaitable is a step until that is done.
    """
    selection = None if record is None else selection_from_argument(record)

    def decorate(target: Target, attempts: Attempts) -> Callable[[Arguments], Call]:
        def open_step(given: Arguments) -> Call:
            key = call_key(*given)
            run = run_of_step()
            # What an earlier step returned is an input, not a parameter.
            made = None if run is None else run.maker
            context = step_context(
                target.name,
                model=model,
                parameters=call_parameters(target.signature, *given, _selection_or_default(selection), made),
                outputs=tuple(output.name for output in target.outputs.each),
                count_calls=True,
                retry_of=attempts.take(key),
            )
            return StepCall(context, lambda ref: attempts.failed(key, ref), target.outputs, given)

        return open_step

    wrap = functools.partial(_decorated, decorate, "step", name, selection)
    return wrap if function is None else wrap(function)


def _selection_or_default(selection: ParameterSelection | None) -> ParameterSelection:
    return selection_from_setting(default_producer().settings.record) if selection is None else selection


def _decorated(
    decorate: Callable[[Target, Attempts], Callable[[Arguments], Call]],
    decorator: str,
    name: str | None,
    selection: ParameterSelection | None,
    given: Any,
) -> Any:
    if isinstance(given, (staticmethod, classmethod)):
        method = cast("staticmethod[..., Any] | classmethod[Any, ..., Any]", given)
        return type(method)(_decorated(decorate, decorator, name, selection, method.__func__))
    target = Target(given, decorator, name)
    target.check_names(selection.names if selection else frozenset())
    return target.copy_identity(_wrapped(target, decorate(target, Attempts())))


def _wrapped(target: Target, open_call: Callable[[Arguments], Call]) -> Callable[..., Any]:
    if target.is_async:

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            opened = open_call(target.arguments(args, kwargs))
            try:
                with opened:
                    opened.begin()
                    result = await target.call(*args, **kwargs)
                    opened.done(result)
            except BaseException as error:  # KeyboardInterrupt above all: `with` itself may be interrupted
                opened.give_up(error)
                raise
            return result

        return call_async

    def call(*args: Any, **kwargs: Any) -> Any:
        opened = open_call(target.arguments(args, kwargs))
        try:
            with opened:
                opened.begin()
                result = target.call(*args, **kwargs)
                if lasts(result):
                    return opened.end_when_done(result, target.name)
                opened.done(result)
        except BaseException as error:  # KeyboardInterrupt above all: `with` itself may be interrupted
            opened.give_up(error)
            raise
        return result

    return call
