"""One call of `fit` or `score`, recorded around the estimator's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from runlore.integrations.guard import Guard
from runlore.integrations.sklearn.estimators import curves, measurements, rows_of, settings_of
from runlore.integrations.sklearn.searches import record_search
from runlore.integrations.training import Options, Training

GUARD = Guard("scikit-learn")
SETTINGS: dict[str, Any] = {"on": False, "group": None, "tags": (), "candidates": 100}
"""What `autolog` was told."""
INSIDE = ContextVar("inside a recorded fit", default=False)
"""Estimators fit others: only the outermost call is recorded."""
_fitted: dict[int, tuple[weakref.ref[Any], Training]] = {}
"""Trainings of estimators that are still there, for their scores."""


def call_fit(method: Callable[..., Any], estimator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Fit, and record it."""
    if INSIDE.get() or not SETTINGS["on"] or not predicts(estimator):
        return method(estimator, *args, **kwargs)
    token = INSIDE.set(True)
    training = _begin(estimator, args[0] if args else kwargs.get("X"))
    try:
        result = method(estimator, *args, **kwargs)
        GUARD.run(lambda: _told(training, estimator))
    except BaseException as error:
        training.finish(error=error)
        raise
    else:
        training.finish()
        return result
    finally:
        INSIDE.reset(token)


def call_score(method: Callable[..., Any], estimator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Score, and log it on the run of the estimator's fit."""
    if INSIDE.get() or not SETTINGS["on"]:
        return method(estimator, *args, **kwargs)
    token = INSIDE.set(True)
    try:
        result = method(estimator, *args, **kwargs)
    finally:
        INSIDE.reset(token)
    reference, training = _fitted.get(id(estimator), (None, None))
    if training is not None and reference is not None and reference() is estimator:
        training.metrics({"score": result})
    return result


def predicts(estimator: Any) -> bool:
    """False for what only transforms: scalers and encoders are parts of a training."""
    kind: Any = estimator.__class__
    return hasattr(kind, "predict") or hasattr(kind, "fit_predict")


def _begin(estimator: Any, rows: Any) -> Training:
    name = type(estimator).__name__
    told: dict[str, Any] = {}
    GUARD.run(lambda: told.update(settings_of(estimator)))
    options = Options(name, group=SETTINGS["group"], tags=SETTINGS["tags"], parameters=told)
    training = Training(GUARD, options, as_step=f"fit_{name}")
    training.log({"data": lambda: rows_of(rows)})
    return training


def _told(training: Training, estimator: Any) -> None:
    """What the estimator knows after it was fitted."""
    training.log({"metrics": lambda: measurements(estimator)})
    GUARD.run(lambda: _log_curves(training, estimator))
    if hasattr(estimator, "cv_results_"):
        GUARD.run(lambda: record_search(training, estimator, SETTINGS["candidates"]))
    GUARD.run(lambda: _remember(estimator, training))


def _log_curves(training: Training, estimator: Any) -> None:
    for step, values in enumerate(curves(estimator)):
        training.log({"metrics": values}, step)


def _remember(estimator: Any, training: Training) -> None:
    key = id(estimator)
    _fitted[key] = weakref.ref(estimator, lambda _: _fitted.pop(key, None)), training
