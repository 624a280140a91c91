"""Wrapping the methods of estimators, those of classes that are made later too, and taking the wrappers off again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from types import FunctionType
from typing import Any

from runlore.integrations.sklearn import fits

WRAPPED = {"fit": fits.call_fit, "fit_predict": fits.call_fit, "fit_transform": fits.call_fit, "score": fits.call_score}
"""Methods that are recorded, and what is called for each."""
_undo: list[Callable[[], object]] = []


def autolog(
    *, group: str | None = None, tags: Iterable[str] = (), candidates: int = 100, disable: bool = False
) -> None:
    """Record each fit of an estimator, pipeline or search from now on; with `disable`, no longer.

    `group` and `tags`: of the runs. `candidates`: of a search, the best that become runs of their own.

        autolog()
        GridSearchCV(SVC(), {"C": [1, 10]}).fit(rows, kinds).score(test_rows, test_kinds)
    """
    fits.SETTINGS.update(on=not disable, group=group, tags=tuple(tags), candidates=candidates)
    if disable:
        while _undo:
            _undo.pop()()
    elif not _undo:
        fits.GUARD.run(_wrap_all)


def _wrap_all() -> None:
    base: Any = import_module("sklearn.base")
    for kind in (base.ClassifierMixin, base.RegressorMixin, *_subclasses(base.BaseEstimator)):
        _wrap_class(kind)
    _wrap_later_classes(base.BaseEstimator)
    _mark_tasks()


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    subclasses: list[type[Any]] = kind.__subclasses__()
    for found in subclasses:
        yield found
        yield from _subclasses(found)


def _wrap_class(kind: type[Any]) -> None:
    for name, call in WRAPPED.items():
        method: Any = vars(kind).get(name)
        if isinstance(method, FunctionType) and not hasattr(method, "runlore_wraps"):
            _set(kind, name, _wrapper(method, call.__name__))
            continue
        inner: Any = getattr(method, "fn", None)  # sklearn's available_if
        if isinstance(inner, FunctionType) and not hasattr(inner, "runlore_wraps"):
            _set(method, "fn", _wrapper(inner, call.__name__))


def _set(owner: Any, name: str, value: Any) -> None:
    before: Any = owner.__dict__[name]
    setattr(owner, name, value)
    _undo.append(lambda: setattr(owner, name, before))


def _wrapper(method: Any, call: str) -> Any:
    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        # By way of the module, which another process imports: classes of a script travel there by value.
        return getattr(fits, call)(method, self, args, kwargs)

    marked: Any = wrapper
    marked.runlore_wraps = True
    return marked


def _wrap_later_classes(base: Any) -> None:
    def __init_subclass__(cls: type[Any], /, **kwargs: Any) -> None:  # noqa: N807 -- it becomes that method
        super(base, cls).__init_subclass__(**kwargs)
        fits.GUARD.run(lambda: _wrap_class(cls))

    base.__init_subclass__ = classmethod(__init_subclass__)
    _undo.append(lambda: delattr(base, "__init_subclass__"))


def _mark_tasks() -> None:
    """Tasks that a fit gives to threads are inside it: they do not inherit its context."""
    parallel: Any = import_module("sklearn.utils.parallel")
    task: Any = getattr(parallel, "_FuncWrapper", None)
    if task is None:
        return
    make, call = task.__init__, task.__call__

    @functools.wraps(make)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- it becomes that method
        make(self, *args, **kwargs)
        self.runlore_inside = fits.INSIDE.get()

    @functools.wraps(call)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- it becomes that method
        token = fits.INSIDE.set(fits.INSIDE.get() or getattr(self, "runlore_inside", False))
        try:
            return call(self, *args, **kwargs)
        finally:
            fits.INSIDE.reset(token)

    _set(task, "__init__", __init__)
    _set(task, "__call__", __call__)
