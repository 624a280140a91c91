"""Targets of `@pipeline` and `@step`: functions, methods, partials and callable objects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from runlore.producer.runs.outputs import Outputs, declared_outputs


class Target:
    """One decorated callable. What is read from it is kept here and nowhere else, so that it goes when it does.

    Raises TypeError for what cannot be a step or pipeline.
    """

    def __init__(self, given: Any, decorator: str, name: str | None) -> None:
        _check(given, decorator)
        self.call: Callable[..., Any] = given
        self._bound: functools.partial[Any] = (
            given if isinstance(given, functools.partial) else functools.partial(given)
        )
        self.function = self._bound.func
        self.name = name or _name(self.function)
        if _is(inspect.isgeneratorfunction, self.function) or _is(inspect.isasyncgenfunction, self.function):
            raise TypeError(f"{self.name} yields: a step or pipeline returns its values, so that it has an end")
        self.is_async = _is(inspect.iscoroutinefunction, self.function)

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments of a call, those that a partial brings among them."""
        return (*self._bound.args, *args), {**self._bound.keywords, **kwargs}

    @cached_property
    def signature(self) -> inspect.Signature | None:
        """Of the function itself; None where it cannot be read, as for some built-in functions."""
        try:
            return inspect.signature(self.function)
        except (TypeError, ValueError):
            return None

    def check_names(self, recorded: Iterable[str]) -> None:
        """Raise TypeError for a name that no argument of the function can have."""
        parameters: Mapping[str, inspect.Parameter] = self.signature.parameters if self.signature else {}
        if parameters and not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
            for name in sorted(set(recorded) - set(parameters)):
                raise TypeError(f"record={name!r}: {self.name} has no such argument; it has {', '.join(parameters)}")

    @cached_property
    def outputs(self) -> Outputs:
        """Read at the first call: then the names in the annotations are defined."""
        return declared_outputs(self.function)

    def copy_identity(self, wrapper: Callable[..., Any]) -> Callable[..., Any]:
        """Give the wrapper the name, signature and documentation of its target."""
        is_function = hasattr(self.function, "__name__")
        # An object's attributes are its own.
        functools.update_wrapper(wrapper, self.function, updated=("__dict__",) if is_function else ())
        wrapper.__wrapped__ = self.call  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess] -- as functools.wraps does
        if not is_function:
            wrapper.__name__ = wrapper.__qualname__ = self.name
        return wrapper


def _check(given: Any, decorator: str) -> None:
    if isinstance(given, type):
        raise TypeError(f"@{decorator} over the class {given.__qualname__}: decorate a function or a method of it")
    if isinstance(given, str):
        raise TypeError(f"@{decorator}({given!r}): pass the name as name={given!r}")
    if not callable(given):
        raise TypeError(f"@{decorator} over {type(given).__name__}: decorate a function")


def _name(function: Any) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _is(question: Callable[[Any], bool], function: Any) -> bool:
    """Return whether it, or the `__call__` of its class, is such a function."""
    return question(function) or (not inspect.isroutine(function) and question(type(function).__call__))
