"""Keras: ``model.fit(…, callbacks=[RunloreCallback()])``, on any of its backends.

Each epoch's logs become metrics under Keras's own names (`loss`, `val_loss`), with the epoch as their step.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from runlore.integrations.training import Recorded

_Host: Any = import_module("keras.callbacks").Callback


class RunloreCallback(Recorded, _Host):  # type: ignore[misc]  # checked where the host is not installed
    """Record a training as a run, or on the run or step that is open.

    model.fit(rows, kinds, epochs=10, callbacks=[RunloreCallback()])
    """

    ADAPTER = "Keras"
    PIPELINE = "keras"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        training = self.begin()
        training.log({"parameters": lambda: parameters_of(self.model, self.params)})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._training is not None:
            self._training.metrics(logs or {}, epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.end()


def parameters_of(model: Any, params: dict[str, Any] | None) -> dict[str, Any]:
    """What Keras tells of a training: the loop's numbers, the optimizer's settings, the loss, the model's size."""
    from runlore.integrations.storable import numbers, storable

    found = numbers(params or {})
    optimizer: Any = getattr(model, "optimizer", None)
    if optimizer is not None:
        found["optimizer"] = storable(optimizer.get_config())
    found["loss"] = storable(getattr(model, "loss", None))
    found["model"] = model.name
    if model.built:
        found["weights"] = model.count_params()
    return found
