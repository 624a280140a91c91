"""LightGBM: ``with RunloreCallback() as callback: lgb.train(…, callbacks=[callback])``.

Each round's evaluations become metrics (`valid-binary_logloss`), with the round as their step. LightGBM does not tell
a callback that its training has ended, by early stopping or by an error: the `with` block does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from runlore.integrations.storable import storable
from runlore.integrations.training import Recorded


class RunloreCallback(Recorded):
    """Record a training as a run, or on the run or step that is open.

    with RunloreCallback() as callback:
        lightgbm.train(params, rows, valid_sets=[held_out], callbacks=[callback, lightgbm.early_stopping(5)])
    """

    ADAPTER = "LightGBM"
    PIPELINE = "lightgbm"
    order = 5
    """Before LightGBM's early stopping, which ends a round with an error."""
    before_iteration = False

    def __call__(self, env: Any) -> None:
        """Take one round, as LightGBM tells it."""
        if env.iteration == env.begin_iteration or self._training is None:
            self.begin().log({"parameters": lambda: storable(env.params)})
        if self._training is not None:
            self._training.log({"metrics": lambda: dict(_measured(env.evaluation_result_list or ()))}, env.iteration)


def _measured(results: Sequence[Any]) -> Iterator[tuple[str, float]]:
    """Of a training: data, measure, value, whether higher is better. A cross-validation adds the deviation."""
    for result in results:
        data, measure, value, _, *deviation = cast("tuple[str, str, float, bool, float]", tuple(result))
        name = f"{data}-{measure}"
        if deviation:
            yield f"{name}-mean", float(value)
            yield f"{name}-stdv", float(deviation[0])
        else:
            yield name, float(value)
