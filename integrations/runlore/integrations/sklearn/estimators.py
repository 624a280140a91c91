"""What an estimator says of itself: its settings before the fit, its numbers after it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from runlore.integrations.storable import scalar, storable

NUMBERS = (
    "n_iter_", "n_features_in_", "best_score_", "best_index_", "refit_time_", "n_splits_", "inertia_", "loss_",
    "best_loss_", "oob_score_", "lower_bound_", "dual_gap_", "reconstruction_err_", "alpha_", "l1_ratio_",
    "n_estimators_", "best_iteration", "best_score",
)  # fmt: skip
"""Attributes of fitted estimators that are one number."""
CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "oob_scores_", "lower_bounds_")
"""Attributes of fitted estimators with one number for each iteration."""


def settings_of(estimator: Any) -> dict[str, Any]:
    """All parameters of an estimator and of those inside it, as sklearn names them."""
    return {name: storable(value) for name, value in estimator.get_params(deep=True).items()}


def rows_of(rows: Any) -> dict[str, int]:
    """How many rows it is fitted on: nothing else about the data."""
    shape: Any = getattr(rows, "shape", None)
    return {"rows": int(shape[0] if shape else len(rows))}


def measurements(estimator: Any) -> dict[str, Any]:
    """Numbers of a fitted estimator; those of the last step of a pipeline and of a search's best one among them."""
    found: dict[str, Any] = {}
    for each in _inner(estimator):
        for name in NUMBERS:
            number = scalar(_attribute(each, name))
            if number is not None:
                found.setdefault(name.removesuffix("_"), number)
    return found


def curves(estimator: Any) -> Iterator[dict[str, float]]:
    """The numbers of each iteration, from the first on."""
    found: dict[str, list[float]] = {}
    for each in _inner(estimator):
        for name in CURVES:
            values: Any = _attribute(each, name)
            if values is not None and len(values) and name not in found:
                found[name] = [float(value) for value in values]
    for row in zip_longest(*found.values()):
        yield {name.removesuffix("_"): value for name, value in zip(found, row, strict=True) if value is not None}


def _inner(estimator: Any) -> Iterator[Any]:
    """The estimator, then what it consists of that was fitted last."""
    for _ in range(10):
        yield estimator
        best = _attribute(estimator, "best_estimator_")
        inner = _last_step(estimator) if best is None else best
        if inner is None:
            return
        estimator = inner


def _last_step(estimator: Any) -> Any:
    steps: Any = _attribute(estimator, "steps")
    try:
        return steps[-1][1]
    except (TypeError, LookupError):
        return None


def _attribute(estimator: Any, name: str) -> Any:
    try:
        return getattr(estimator, name, None)
    except Exception:  # noqa: BLE001 -- properties of estimators raise what they like when they do not apply
        return None
