"""`@pipeline` and `@step`: runs and steps around functions, outputs and inputs recorded as lineage."""

from __future__ import annotations

import functools
import inspect
import logging
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeVar, cast, overload

from runlore.producer.arguments import call_parameters
from runlore.producer.context import run_context, step_context
from runlore.producer.lifecycle import default_producer
from runlore.producer.model import ArtifactConfig, Model
from runlore.producer.place import Made, Run, current_run
from runlore.schemas.events import ArtifactVersionConsumed, ArtifactVersionProduced
from runlore.schemas.references import EntityRef, checked

logger = logging.getLogger("runlore")

P = ParamSpec("P")
R = TypeVar("R")


class Output(NamedTuple):
    """One declared output of a step."""

    name: str
    version: str | None
    is_model_artifact: bool


@overload
def pipeline(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def pipeline(
    *, name: str | None = None, model: Model | str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def pipeline(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, model: Model | str | None = None
) -> Any:
    """Each call of the function is a run of the pipeline `name` (default: the function's name).

    Arguments that are plain values (numbers, short texts, short lists and dicts of those) are its parameters.

    @pipeline(model=Model("churn"))
    def nightly():
        train(load())
    """

    def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
        called = name or target.__name__

        def open_run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> run_context:
            return run_context(called, model=model, parameters=call_parameters(target, args, kwargs))

        return _wrapped(target, open_run, _nothing, _nothing)

    return decorate if function is None else decorate(function)


@overload
def step(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def step(
    *, name: str | None = None, model: Model | str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def step(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, model: Model | str | None = None
) -> Any:
    """Each call of the function is a step of the current run; its outputs become artifact versions.

    Outputs are read from the return annotation: ``Annotated[T, ArtifactConfig(name=...)]``,
    ``Annotated[T, "name"]``, a tuple of those, or any other type (then the output is called ``output``).
    A value that an earlier step of the run returned in this process is recorded as consumed.
    Arguments that are plain values are its parameters, as for `pipeline`.
    The second call of the same step in a run is the step ``name_2``.
    """

    def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
        called = name or target.__name__

        def open_step(args: tuple[Any, ...], kwargs: dict[str, Any]) -> step_context:
            outputs = tuple(output.name for output in declared_outputs(target)[0])
            run = current_run()
            # What an earlier step returned is an input, not a parameter.
            made = None if run is None else run.maker
            parameters = call_parameters(target, args, kwargs, made)
            return step_context(called, model=model, parameters=parameters, outputs=outputs, count_calls=True)

        return _wrapped(target, open_step, _consume, functools.partial(_produce, target))

    return decorate if function is None else decorate(function)


def _nothing(*_: Any) -> None:
    """Pipelines have no inputs or outputs of their own."""


def _wrapped(
    target: Callable[..., Any],
    open_context: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    before: Callable[..., None],
    after: Callable[..., None],
) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise TypeError(f"{target.__name__} yields: a step or pipeline returns its values, so that it has an end")
    if inspect.iscoroutinefunction(target):

        @functools.wraps(target)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            context = open_context(args, kwargs)
            try:
                with context:
                    before(context, args, kwargs)
                    result = await target(*args, **kwargs)
                    after(context, result)
            except BaseException as error:
                context.give_up(error)  # `with` itself may be interrupted
                raise
            return result

        return call_async

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = open_context(args, kwargs)
        try:
            with context:
                before(context, args, kwargs)
                result = target(*args, **kwargs)
                after(context, result)
        except BaseException as error:
            context.give_up(error)  # `with` itself may be interrupted
            raise
        return result

    return call


def _consume(context: step_context, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    run = current_run()
    assert run
    seen: set[Made] = set()
    for value in (*args, *kwargs.values()):
        made = run.maker(value)
        if made is not None and made not in seen:
            seen.add(made)
            default_producer().emit_packed(
                ArtifactVersionConsumed(made.artifact, made.step), context.run_id, context.step_name
            )


def _produce(target: Callable[..., Any], context: step_context, result: Any) -> None:
    run = current_run()
    assert run
    for output, value in _named_values(target, result):
        _produce_one(context, run, output, value)


def _named_values(target: Callable[..., Any], result: Any) -> list[tuple[Output, Any]]:
    outputs, many = declared_outputs(target)
    if not many:
        return [(output, result) for output in outputs]
    values: tuple[Any, ...] = tuple(result) if isinstance(result, (tuple, list)) else ()  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] -- a user's value
    if len(values) == len(outputs):
        return list(zip(outputs, values, strict=True))
    # The work is done: a wrong annotation must not fail it. What came is one output.
    logger.warning("runlore: step %r returned something else than its %d outputs", target.__name__, len(outputs))
    return [(Output("output", None, False), result)]


def _produce_one(context: step_context, run: Run, output: Output, value: Any) -> None:
    ref = EntityRef("artifact", output.name, output.version)
    fact = ArtifactVersionProduced(ref, _type_name(value), output.is_model_artifact)
    default_producer().emit_packed(fact, context.run_id, context.step_name)
    assert context.step
    run.remember(value, Made(ref, context.step.ref))


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@functools.lru_cache(maxsize=1024)
def declared_outputs(target: Callable[..., Any]) -> tuple[tuple[Output, ...], bool]:
    """The outputs a function's return annotation declares, and whether it returns a tuple of them.

    Raises InvalidReferenceError for a name that cannot be stored.
    """
    annotation = _return_annotation(target)
    if annotation is None or annotation is type(None):
        return (), False
    plain = _without_annotated(annotation)
    if typing.get_origin(plain) is tuple and Ellipsis not in typing.get_args(plain) and plain is annotation:
        parts = typing.get_args(plain)
        return tuple(_output(part, f"output_{index}") for index, part in enumerate(parts)), True
    return (_output(annotation, "output"),), False


def _return_annotation(target: Callable[..., Any]) -> Any:
    raw = getattr(target, "__annotations__", {}).get("return", Any)
    if not isinstance(raw, str):
        return raw
    try:
        return typing.get_type_hints(target, include_extras=True).get("return", Any)
    except (NameError, TypeError, AttributeError, SyntaxError):
        # Another annotation of the function does not resolve; the return's own may.
        pass
    try:
        # The text is the function's own source code, evaluated where the function stands.
        scope = {**getattr(target, "__globals__", {}), **_closure(target)}
        return eval(raw, scope)  # noqa: S307 -- what typing.get_type_hints does, for one annotation
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None if raw == "None" else Any


def _closure(target: Callable[..., Any]) -> dict[str, Any]:
    return dict(inspect.getclosurevars(target).nonlocals) if inspect.isfunction(target) else {}


def _without_annotated(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _output(annotation: Any, default: str) -> Output:
    config = next(_configs(annotation), ArtifactConfig())
    name = config.name or default
    checked(EntityRef("artifact", name, config.version))
    return Output(name, config.version, config.is_model_artifact)


def _configs(annotation: Any) -> Iterator[ArtifactConfig]:
    for extra in cast(tuple[Any, ...], getattr(annotation, "__metadata__", ())):
        if isinstance(extra, ArtifactConfig):
            yield extra
        elif isinstance(extra, str):
            yield ArtifactConfig(name=extra)
