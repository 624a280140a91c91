"""LightGBM's callback: each round's evaluations are what LightGBM's own callback records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loop_tools import caught_up, parameters, points, run_section

from runlore.cli.stack import EmbeddedStack

lightgbm: Any = pytest.importorskip("lightgbm")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("lightgbm")]

from sklearn.datasets import load_breast_cancer  # noqa: E402

from runlore.integrations.lightgbm import RunloreCallback  # noqa: E402

ROWS, KINDS = load_breast_cancer(return_X_y=True)
PARAMETERS = {"objective": "binary", "metric": ["binary_logloss", "auc"], "num_threads": 1, "verbose": -1}


def data() -> tuple[Any, Any]:
    train = lightgbm.Dataset(ROWS[:400], KINDS[:400])
    return train, lightgbm.Dataset(ROWS[400:], KINDS[400:], reference=train)


def test_evaluations_of_each_round_are_those_that_lightgbm_records(stack: EmbeddedStack) -> None:
    train, valid = data()
    told: dict[str, Any] = {}
    with RunloreCallback("cancer") as callback:
        stop = lightgbm.early_stopping(3, verbose=False)
        callbacks = [stop, callback, lightgbm.record_evaluation(told)]
        lightgbm.train(PARAMETERS, train, 300, [valid], ["valid"], callbacks=callbacks)
    run = caught_up().get_pipeline_run(callback.run_id)
    assert run.status == "completed"
    wanted = {f"valid-{name}": list(enumerate(values)) for name, values in told["valid"].items()}
    assert points(run) == wanted
    assert len(told["valid"]["auc"]) < 300
    assert parameters(run)["objective"] == "binary"


def test_a_cross_validation_is_what_lightgbm_returns(stack: EmbeddedStack) -> None:
    with RunloreCallback() as callback:
        table = lightgbm.cv(PARAMETERS, data()[0], 4, nfold=3, callbacks=[callback])
    run = caught_up().get_pipeline_run(callback.run_id)
    found = {name.replace("-mean", " mean").replace("-stdv", " stdv"): values for name, values in points(run).items()}
    assert {name.partition("-")[2].replace(" ", "-"): values for name, values in found.items()} == {
        name.partition(" ")[2]: list(enumerate(values)) for name, values in table.items()
    }


def test_an_interrupt_inside_with_kills_the_run_at_once_and_goes_on(stack: EmbeddedStack) -> None:
    def interrupts(env: Any) -> None:
        if env.iteration == 2:
            raise KeyboardInterrupt

    interrupts.order = 50  # type: ignore[attr-defined]
    train, valid = data()
    callback = RunloreCallback()
    with pytest.raises(KeyboardInterrupt), callback:
        lightgbm.train(PARAMETERS, train, 9, [valid], ["valid"], callbacks=[callback, interrupts])
    run = caught_up().get_pipeline_run(callback.run_id)
    assert (run.status, len(run.history(("metrics", "valid-auc")))) == ("killed", 3)


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("LightGBM", tmp_path)
