"""XGBoost's callback: each round's evaluations are what XGBoost itself returns."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from loop_tools import INTERRUPT, caught_up, parameters, points, run_section, script, stepped

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import outbox_status, run_context
from runlore.store.folder import DataDir
from tests.patience import until

xgboost: Any = pytest.importorskip("xgboost")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("xgboost")]

from sklearn.datasets import load_breast_cancer  # noqa: E402

from runlore.integrations.xgboost import RunloreCallback  # noqa: E402

ROWS, KINDS = load_breast_cancer(return_X_y=True)
PARAMETERS = {
    "objective": "binary:logistic",
    "max_depth": 2,
    "eta": 0.3,
    "eval_metric": ["logloss", "auc"],
    "nthread": 1,
}


def data() -> tuple[Any, Any]:
    return xgboost.DMatrix(ROWS[:400], KINDS[:400]), xgboost.DMatrix(ROWS[400:], KINDS[400:])


def flat(told: dict[str, dict[str, list[float]]]) -> dict[str, list[tuple[int, float]]]:
    return {f"{data}-{name}": list(enumerate(values)) for data, found in told.items() for name, values in found.items()}


def test_evaluations_of_each_round_are_those_that_xgboost_returns(stack: EmbeddedStack) -> None:
    train, valid = data()
    told: dict[str, Any] = {}
    callback = RunloreCallback("cancer", group="trees", tags=["cpu"])
    booster = xgboost.train(
        PARAMETERS, train, 200, evals=[(train, "train"), (valid, "valid")], evals_result=told, verbose_eval=False,
        early_stopping_rounds=3, callbacks=[callback],
    )  # fmt: skip
    run = caught_up().get_pipeline_run(callback.run_id)
    assert (run.status, run.pipeline, run.fields["group"], run.tags) == ("completed", "cancer", "trees", ["cpu"])
    assert stepped(points(run)) == flat(told)
    assert len(told["valid"]["auc"]) < 200
    assert run.metadata["metrics"]["best_iteration"] == booster.best_iteration
    assert run.metadata["metrics"]["best_score"] == booster.best_score
    found = parameters(run)
    assert (found["objective"], found["booster"], found["max_depth"]) == ("binary:logistic", "gbtree", 2)
    assert found["eta"] == pytest.approx(0.3)


def test_a_cross_validation_is_what_its_table_says(stack: EmbeddedStack) -> None:
    callback = RunloreCallback(parameters=PARAMETERS)
    table = xgboost.cv(PARAMETERS, data()[0], 4, nfold=3, callbacks=[callback], as_pandas=False)
    run = caught_up().get_pipeline_run(callback.run_id)
    assert points(run) == {name: list(enumerate(values)) for name, values in table.items()}
    assert parameters(run)["max_depth"] == 2


def test_sklearns_interface_and_a_run_that_is_open(stack: EmbeddedStack) -> None:
    with run_context("nightly") as run:
        model = xgboost.XGBClassifier(n_estimators=5, nthread=1, callbacks=[RunloreCallback()])
        model.fit(ROWS, KINDS, eval_set=[(ROWS, KINDS)], verbose=False)
    client = caught_up()
    assert stepped(points(client.get_pipeline_run(run.run_id))) == flat(model.evals_result())
    assert len(client.find("run", "")) == 1


def test_copies_of_a_callback_in_a_search_each_have_their_run(stack: EmbeddedStack) -> None:
    from joblib.externals.loky import get_reusable_executor
    from sklearn.model_selection import GridSearchCV

    get_reusable_executor().shutdown(wait=True)  # workers of an earlier test have its settings
    model = xgboost.XGBClassifier(n_estimators=2, nthread=1, callbacks=[RunloreCallback()])
    GridSearchCV(model, {"max_depth": [1, 2]}, cv=2, n_jobs=2).fit(ROWS, KINDS)
    client = caught_up()
    until(
        lambda: len(client.find("run", "pipeline = 'xgboost' and status = 'completed'")) == 5
    )  # the workers send theirs


PROGRAM = """
import xgboost
from runlore.integrations.xgboost import RunloreCallback

class Interrupts(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == 2:
            ERROR

rows = xgboost.DMatrix([[0.0], [1.0]] * 8, [0, 1] * 8)
xgboost.train({"nthread": 1}, rows, 9, evals=[(rows, "train")], verbose_eval=False, callbacks=[RunloreCallback(), Interrupts()])
"""


@pytest.mark.parametrize(
    ("error", "status", "kind"), [(INTERRUPT, "killed", "KeyboardInterrupt"), ("1 / 0", "failed", "ZeroDivisionError")]
)
def test_a_script_that_is_interrupted_was_killed_and_one_with_an_error_failed(
    stack: EmbeddedStack, tmp_path: Path, error: str, status: str, kind: str
) -> None:
    done = script(PROGRAM.replace("ERROR", error), tmp_path)
    assert kind in done.stderr
    assert done.returncode != 0
    run = caught_up().get_pipeline_run("xgboost")
    assert (run.status, run.fields["error_type"]) == (status, kind)
    assert len(run.history(("metrics", "train-rmse"))) == 3


def test_a_training_whose_error_was_caught_failed_when_the_next_one_begins(stack: EmbeddedStack) -> None:
    rows = data()[0]

    def fails(predictions: Any, rows: Any) -> Any:
        raise ValueError("no gradient")

    callback, other = RunloreCallback(), RunloreCallback()
    with pytest.raises(ValueError, match="no gradient"):
        xgboost.train({"nthread": 1}, rows, 2, obj=fails, callbacks=[callback])
    xgboost.train({"nthread": 1}, rows, 2, callbacks=[other])
    client = caught_up()
    statuses = [client.get_pipeline_run(each.run_id).status for each in (callback, other)]
    assert statuses == ["failed", "completed"]
    with pytest.raises(ValueError, match="no gradient"), callback:
        xgboost.train({"nthread": 1}, rows, 2, obj=fails, callbacks=[callback])
    assert caught_up().get_pipeline_run(callback.run_id).fields["error_type"] == "ValueError"


def test_without_nats_a_training_goes_on_and_its_events_wait(data: DataDir) -> None:
    producer.configure()
    rows = xgboost.DMatrix(ROWS, KINDS)
    xgboost.train({"nthread": 1}, rows, 3, evals=[(rows, "train")], verbose_eval=False, callbacks=[RunloreCallback()])
    (outbox,) = outbox_status(data)
    assert outbox.waiting == 6
    producer.configure(mode="disabled")


def test_what_goes_wrong_on_our_side_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "blocked").write_text("a file where the data folder should be")
    producer.configure(data_dir=tmp_path / "blocked" / "data")
    with caplog.at_level(logging.WARNING, "runlore"):
        for _ in range(2):
            assert xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS, KINDS), 3, callbacks=[RunloreCallback()])
    (warning,) = [record.message for record in caplog.records if record.name == "runlore"]
    assert "XGBoost is not recorded" in warning
    producer.configure(mode="disabled")


def test_settings_that_are_wrong_are_a_warning_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    producer.configure(mode="disabled")
    monkeypatch.setattr("runlore.producer.lifecycle._producers", {})
    monkeypatch.setenv("RUNLORE_MODE", "on line")
    with caplog.at_level(logging.WARNING, "runlore"):
        assert xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS, KINDS), 3, callbacks=[RunloreCallback()])
    (warning,) = [record.message for record in caplog.records if record.name == "runlore"]
    assert "RUNLORE_MODE" in warning


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("XGBoost", tmp_path)
