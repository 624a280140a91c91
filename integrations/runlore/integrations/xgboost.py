"""XGBoost: ``xgb.train(…, callbacks=[RunloreCallback()])``, ``xgb.cv`` and ``XGBClassifier(callbacks=[…])``.

Each round's evaluations become metrics under XGBoost's own names (`train-logloss`), with the round as their step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any, cast

from runlore.integrations.storable import scalar
from runlore.integrations.training import Recorded

_Host: Any = import_module("xgboost.callback").TrainingCallback
_TRAIN_PARAMETERS = (
    "learner_train_param", "generic_param", "learner_model_param", "tree_train_param", "gbtree_train_param",
    "gblinear_train_param", "dart_train_param",
)  # fmt: skip
_FOUND = ("best_iteration", "best_score")


class RunloreCallback(Recorded, _Host):  # type: ignore[misc]  # checked where the host is not installed
    """Record a training as a run, or on the run or step that is open.

    booster = xgboost.train(params, rows, 100, evals=[(held_out, "valid")], callbacks=[RunloreCallback()])
    """

    ADAPTER = "XGBoost"
    PIPELINE = "xgboost"

    def before_training(self, model: Any) -> Any:
        training = self.begin()
        training.log({"parameters": lambda: parameters_of(model)})
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if self._training is not None:
            self._training.log({"metrics": lambda: dict(_last(evals_log))}, epoch)
        return False

    def after_training(self, model: Any) -> Any:
        if self._training is not None:
            self._training.log({"metrics": lambda: _found(model)})
        self.end()
        return model


def parameters_of(model: Any) -> dict[str, Any]:
    """Parameters that XGBoost uses, as `Booster.save_config` tells them; {} for those of a cross-validation."""
    if not hasattr(model, "save_config"):
        return {}
    found: dict[str, Any] = {}
    _collect(json.loads(model.save_config())["learner"], found)
    return found


def _collect(node: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in node.items():
        if name in _TRAIN_PARAMETERS:
            found.update({key: _number(text) for key, text in cast(dict[str, Any], value).items()})
        elif name in ("objective", "gradient_booster") and isinstance(value, dict):
            found[name if name == "objective" else "booster"] = value["name"]
        if isinstance(value, dict):
            _collect(cast(dict[str, Any], value), found)


def _number(text: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def _last(evals_log: Any) -> Iterator[tuple[str, float]]:
    """The newest value of each measure; those of a cross-validation are pairs of mean and deviation."""
    for data, measures in evals_log.items():
        for measure, values in measures.items():
            value = values[-1]
            if isinstance(value, tuple):
                mean, deviation = cast("tuple[float, float]", value)
                yield f"{data}-{measure}-mean", mean
                yield f"{data}-{measure}-std", deviation
            else:
                yield f"{data}-{measure}", scalar(value)


def _found(model: Any) -> dict[str, Any]:
    """The best round, where early stopping looked for it."""
    if not hasattr(model, "attr"):
        return {}
    found = {name: model.attr(name) for name in _FOUND}
    return {name: _number(text) for name, text in found.items() if text is not None}
