"""PyTorch Lightning: ``Trainer(logger=RunloreLogger())``, for `lightning` and for `pytorch_lightning`.

What modules log becomes metrics under their own names, with Lightning's step. Only rank zero records.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from runlore.integrations.storable import storable
from runlore.integrations.training import Recorded, Training

_BOTH = ("lightning.pytorch", "pytorch_lightning")


def _host() -> str:
    """The package that the program uses: the one that is imported, else the one that is installed."""
    imported = [name for name in _BOTH if name in sys.modules]
    installed = [name for name in _BOTH if find_spec(name.partition(".")[0]) is not None]
    return (imported or installed or _BOTH)[0]


_package = _host()
_Host: Any = import_module(f"{_package}.loggers.logger").Logger
_rank: Any = import_module(f"{_package}.utilities.rank_zero").rank_zero_only


class RunloreLogger(Recorded, _Host):  # type: ignore[misc]  # checked where the host is not installed
    """Record what a Trainer does as a run, or on the run or step that is open. A test after a fit belongs to its run.

    Trainer(max_epochs=10, logger=RunloreLogger("churn", group="seeds")).fit(module, rows)
    """

    ADAPTER = "Lightning"
    PIPELINE = "lightning"

    @property
    def name(self) -> str:
        """The pipeline that its runs belong to."""
        return self._options.pipeline

    @property
    def version(self) -> str:
        """ID of the run; empty until it has begun."""
        return self.run_id or ""

    @property
    def experiment(self) -> Training | None:
        """The training, begun when it is first asked for; None on other ranks."""
        if self._training is None and _rank.rank == 0:
            self.begin()
        return self._training

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        training = self.experiment
        if training is not None:
            training.parameters(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        training = self.experiment
        if training is not None:
            training.metrics(metrics, step)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        if self._training is not None and _rank.rank == 0:
            self._training.log({"checkpoint": lambda: _checkpoint(checkpoint_callback)})

    def finalize(self, status: str) -> None:
        """End the run: Lightning says only that it failed, so the error that is being handled says how."""
        error = sys.exc_info()[1]
        self.end(None if status == "success" or error is not None else "failed", error)


def _checkpoint(callback: Any) -> dict[str, Any]:
    found = {"best": callback.best_model_path, "score": callback.best_model_score, "last": callback.last_model_path}
    return {name: storable(value) for name, value in found.items() if value not in (None, "")}
