"""transformers: ``Trainer(…, callbacks=[RunloreCallback()])``.

What the trainer logs becomes metrics under its own names (`loss`, `eval_loss`), with the trainer's global step.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from runlore.integrations.storable import storable
from runlore.integrations.training import Recorded
from runlore.producer import redact_parameters

_Host: Any = import_module("transformers").TrainerCallback


class RunloreCallback(Recorded, _Host):  # type: ignore[misc]  # checked where the host is not installed
    """Record a training as a run, or on the run or step that is open. Of several processes only the first records.

    Trainer(model=model, args=args, train_dataset=rows, callbacks=[RunloreCallback()]).train()
    """

    ADAPTER = "transformers"
    PIPELINE = "transformers"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            training = self.begin()
            training.log({"parameters": lambda: parameters_of(args)})
            training.log({"model": lambda: _model(kwargs.get("model"))})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._training is not None:
            self._training.metrics(logs or {}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end()


def parameters_of(args: Any) -> dict[str, Any]:
    """Settings of the trainer, tokens left out."""
    found = {name: value for name, value in storable(args.to_dict()).items() if value is not None}
    return redact_parameters(found)


def _model(model: Any) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    found = {"class": type(model).__qualname__, "weights": model.num_parameters()}
    if config is not None:
        found["config"] = storable(config.to_diff_dict())
    return found
