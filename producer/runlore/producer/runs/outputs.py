"""The outputs of a step, as its function's return annotation declares them."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, cast

from runlore.producer.runs.model import ArtifactConfig
from runlore.schemas.references import checked_ref

_UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)
"""Errors of an annotation whose names are not defined (yet)."""


class Output(NamedTuple):
    """One declared output of a step."""

    name: str
    version: str | None
    is_model_artifact: bool


class Outputs(NamedTuple):
    """All declared outputs."""

    each: tuple[Output, ...]
    is_tuple: bool
    """The function returns a tuple of them."""
    may_be_none: bool = False
    """… or None instead, when there are none."""

    def values(self, result: Any) -> list[tuple[Output, Any]] | None:
        """The outputs with their values in what the function returned; None when they do not fit."""
        if not self.is_tuple:
            return [(output, result) for output in self.each]
        if result is None and self.may_be_none:
            return []
        values = tuple(cast(list[Any], result)) if isinstance(result, (tuple, list)) else ()
        return list(zip(self.each, values, strict=True)) if len(values) == len(self.each) else None


ANY_OUTPUT = Output("output", None, False)


def declared_outputs(function: Callable[..., Any]) -> Outputs:
    """The outputs that a function's return annotation declares.

    Raises InvalidReferenceError for a name that cannot be stored.
    """
    annotation = _return_annotation(function)
    if annotation is None or annotation is type(None):
        return Outputs((), False)
    members = _members(annotation)
    if len(members) == 1:
        parts = _parts(members[0])
        if parts is not None:
            outputs = tuple(_output(part, name) for name, part in parts)
            return Outputs(outputs, True, may_be_none=members[0] is not annotation)
    return Outputs((_output(annotation, "output"),), False)


def _members(annotation: Any) -> list[Any]:
    """The members of a union without None: one where the annotation is no union, or an optional."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return [annotation]
    return [member for member in typing.get_args(annotation) if member is not type(None)]


def _parts(annotation: Any) -> list[tuple[str, Any]] | None:
    """Name and annotation of each element, where a tuple of several outputs is declared."""
    if typing.get_origin(annotation) is tuple:
        elements = typing.get_args(annotation)
        return None if Ellipsis in elements else [(f"output_{at}", part) for at, part in enumerate(elements)]
    if not (
        isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(cast(object, annotation), "_fields")
    ):
        return None
    try:
        fields = typing.get_type_hints(cast(object, annotation), include_extras=True)
    except _UNRESOLVED:
        return None
    # A named tuple is one value, unless one of its fields names an output.
    return list(fields.items()) if any(any(_configs(part)) for part in fields.values()) else None


def _output(annotation: Any, default: str) -> Output:
    config = next(_configs(annotation), ArtifactConfig())
    name = config.name or default
    ref = checked_ref("artifact", name, config.version)
    return Output(ref.name, ref.version, config.is_model_artifact)


def _configs(annotation: Any) -> Iterator[ArtifactConfig]:
    """Return the arguments of `Annotated` on an output, also inside an optional."""
    if typing.get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, ArtifactConfig):
                yield extra
            elif isinstance(extra, str):
                yield ArtifactConfig(name=extra)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _configs(member)


def _return_annotation(function: Callable[..., Any]) -> Any:
    """The annotation, evaluated where it is text; `Any` where there is none or its names are unknown."""
    if not inspect.isroutine(function):
        function = type(function).__call__  # a callable object
    return _awaited(_plain_alias(_resolved(function)))


def _resolved(function: Callable[..., Any]) -> Any:
    try:
        raw = getattr(function, "__annotations__", {}).get("return", Any)
        if not isinstance(raw, str):
            return raw
        return typing.get_type_hints(function, include_extras=True).get("return", Any)
    except _UNRESOLVED:
        # Another annotation of the function does not resolve; the return's own may.
        return _evaluated(inspect.unwrap(function))


def _evaluated(function: Callable[..., Any]) -> Any:
    raw = getattr(function, "__annotations__", {}).get("return", Any)
    try:
        # The text is the function's own source code, evaluated where the function is defined.
        scope = {**getattr(function, "__globals__", {}), **_closure(function)}
        return eval(raw, scope) if isinstance(raw, str) else raw  # noqa: S307 -- what typing.get_type_hints does, for one annotation
    except _UNRESOLVED:
        return None if raw == "None" else Any


def _closure(function: Callable[..., Any]) -> dict[str, Any]:
    """The variables of the function's surroundings that have a value by now."""
    found: dict[str, Any] = {}
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(getattr(function, "__code__", None), "co_freevars", ()), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # an empty cell
            continue
    return found


def _plain_alias(annotation: Any) -> Any:
    """Return the type that ``type Rows = …`` (Python 3.12) stands for."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation


def _awaited(annotation: Any) -> Any:
    """Return the result type of an awaitable: a function may return one instead of being async."""
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Awaitable):
        arguments = typing.get_args(annotation)
        return arguments[-1] if arguments else Any
    return annotation
