"""``runlore.integrations.sklearn.autolog()``: each fit is a run or step, with what the estimator itself says."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_tools import caught_up, parameters, points, run_section, script, stepped

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.integrations.sklearn import autolog
from runlore.producer import outbox_status, run_context, step_context
from runlore.store.folder import DataDir

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("sklearn")]

from sklearn.datasets import load_iris  # noqa: E402
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.model_selection._search import BaseSearchCV  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

ROWS, KINDS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    autolog(disable=True)


def test_a_fit_is_a_run_with_the_estimators_parameters_and_numbers(stack: EmbeddedStack) -> None:
    autolog(group="flowers", tags=["cpu"])
    model = LogisticRegression(C=0.5, class_weight={0: 1.0, 1: 2.0, 2: 1.0}).fit(ROWS, KINDS)
    score = model.score(ROWS, KINDS)
    run = caught_up().get_pipeline_run("LogisticRegression")
    assert (run.status, run.fields["group"], run.tags) == ("completed", "flowers", ["cpu"])
    assert parameters(run) == {**model.get_params(), "class_weight": {"0": 1.0, "1": 2.0, "2": 1.0}}
    assert run.metadata["metrics"] == {"n_iter": int(model.n_iter_[0]), "n_features_in": 4, "score": score}
    assert run.metadata["data"] == {"rows": 150}


def test_losses_of_each_iteration_are_those_of_the_estimator(stack: EmbeddedStack) -> None:
    autolog()
    network = MLPClassifier((4,), max_iter=8, random_state=1, early_stopping=True)
    with pytest.warns(ConvergenceWarning):
        network.fit(ROWS, KINDS)
    boosted = GradientBoostingClassifier(n_estimators=7).fit(ROWS, KINDS)
    client = caught_up()
    assert stepped(points(client.get_pipeline_run("MLPClassifier"))) == {
        "loss_curve": list(enumerate(network.loss_curve_)),
        "validation_scores": list(enumerate(network.validation_scores_)),
    }
    found = stepped(points(client.get_pipeline_run("GradientBoostingClassifier")))
    assert found == {"train_score": list(enumerate(boosted.train_score_))}


def test_a_pipeline_is_one_run_and_its_scaler_none(stack: EmbeddedStack) -> None:
    autolog()
    model = make_pipeline(StandardScaler(), SGDClassifier(max_iter=9, tol=None)).fit(ROWS, KINDS)
    score = model.score(ROWS, KINDS)
    StandardScaler().fit_transform(ROWS)
    client = caught_up()
    (found,) = client.find("run", "status = 'completed'")
    run = client.get_pipeline_run(found.id)
    assert run.pipeline == "Pipeline"
    assert parameters(run)["sgdclassifier__max_iter"] == 9
    assert parameters(run)["standardscaler"] == "StandardScaler"
    assert run.metadata["metrics"]["n_iter"] == 9
    assert run.metadata["metrics"]["score"] == score


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_search_is_a_run_and_its_candidates_are_parts_of_it(stack: EmbeddedStack, jobs: int) -> None:
    autolog(candidates=3)
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0, 100.0]}, cv=3, n_jobs=jobs).fit(ROWS, KINDS)
    client = caught_up()
    run = client.get_pipeline_run("GridSearchCV")
    assert run.metadata["best_parameters"] == search.best_params_
    assert run.metadata["metrics"]["best_score"] == search.best_score_
    assert run.metadata["search"] == {"candidates": 4, "recorded": 3}
    parts = [client.get_pipeline_run(found.id) for found in client.find("run", f"parent = 'run:{run.id}'")]
    assert len(parts) == 3
    for part in parts:
        index = int(part.fields["name"].removeprefix("candidate-"))
        assert parameters(part) == search.cv_results_["params"][index]
        wanted = {key: values[index] for key, values in search.cv_results_.items() if not key.startswith("param")}
        assert part.metadata["metrics"] == wanted
    assert len(client.find("run", "status = 'completed'")) == 4


def test_estimators_that_others_fit_in_threads_are_no_runs_of_their_own(stack: EmbeddedStack) -> None:
    autolog()
    from joblib import parallel_backend

    with parallel_backend("threading", n_jobs=2):
        BaggingClassifier(LogisticRegression(), n_estimators=4, n_jobs=2).fit(ROWS, KINDS)
    assert [found.pipeline for found in map(_run, caught_up().find("run", ""))] == ["BaggingClassifier"]


def _run(found: Any) -> Any:
    return caught_up().get_pipeline_run(found.id)


def test_a_fit_inside_a_run_is_a_step_and_inside_a_step_that_step(stack: EmbeddedStack) -> None:
    autolog()
    with run_context("nightly") as run:
        Ridge(alpha=0.5).fit(ROWS, KINDS)
        Ridge(alpha=0.25).fit(ROWS, KINDS)
        with step_context("train"):
            Ridge(alpha=0.75).fit(ROWS, KINDS)
    steps = caught_up().get_pipeline_run(run.run_id).steps
    alphas = {name: parameters(step)["alpha"] for name, step in steps.items()}
    assert alphas == {"fit_Ridge": 0.5, "fit_Ridge_2": 0.25, "train": 0.75}
    assert {step.status for step in steps.values()} == {"completed"}


def test_a_fit_that_fails_raises_its_own_error_and_is_recorded_as_failed(stack: EmbeddedStack) -> None:
    autolog()
    with pytest.raises(ValueError, match="NaN"):
        Ridge().fit(np.full((2, 2), np.nan), [0, 1])
    with pytest.raises(NotFittedError):
        LogisticRegression().score(ROWS, KINDS)
    run = caught_up().get_pipeline_run("Ridge")
    assert (run.status, run.fields["error_type"]) == ("failed", "ValueError")


def test_an_interrupted_fit_is_killed_and_the_interrupt_goes_on(stack: EmbeddedStack) -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Interrupted(ClassifierMixin, BaseEstimator):  # made after autolog
        def fit(self, rows: Any, kinds: Any) -> None:
            raise KeyboardInterrupt

        def predict(self, rows: Any) -> Any: ...

    autolog()
    with pytest.raises(KeyboardInterrupt):
        Interrupted().fit(ROWS, KINDS)
    assert caught_up().get_pipeline_run("Interrupted").status == "killed"


PROGRAM = """
from runlore.integrations.sklearn import autolog
autolog()
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV

class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, k=1): self.k = k
    def fit(self, X, y):
        self.classes_ = [0, 1]
        return self
    def predict(self, X): return [self.k] * len(X)

if __name__ == "__main__":
    import pickle
    search = GridSearchCV(Own(), {"k": [0, 1]}, cv=2, n_jobs=2).fit([[0]] * 8, [0, 1] * 4)
    print(search.best_score_, type(pickle.loads(pickle.dumps(search.best_estimator_))).__name__)
"""


def test_estimators_of_a_script_travel_to_worker_processes_as_without_us(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = script(PROGRAM, tmp_path)
    assert (done.stdout.split(), done.returncode) == (["0.5", "Own"], 0), done.stderr
    client = caught_up()
    names = sorted(client.get_pipeline_run(found.id).pipeline for found in client.find("run", ""))
    assert names == ["GridSearchCV", "Own", "Own"]


def test_without_nats_a_fit_goes_on_and_its_events_wait(data: DataDir) -> None:
    producer.configure()
    autolog()
    assert Ridge().fit(ROWS, KINDS).score(ROWS, KINDS) > 0.5
    (outbox,) = outbox_status(data)
    assert outbox.waiting >= 4
    producer.configure(mode="disabled")


def test_what_goes_wrong_on_our_side_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "blocked").write_text("a file where the data folder should be")
    producer.configure(data_dir=tmp_path / "blocked" / "data")
    autolog()
    with caplog.at_level(logging.WARNING, "runlore"):
        for _ in range(3):
            assert Ridge().fit(ROWS, KINDS).score(ROWS, KINDS) > 0.5
    (warning,) = [record.message for record in caplog.records if record.name == "runlore"]
    assert "scikit-learn is not recorded" in warning
    producer.configure(mode="disabled")


def test_switched_off_everything_is_as_it_was() -> None:
    from sklearn import base

    before = vars(Ridge)["fit"], vars(base.ClassifierMixin)["score"], vars(BaseSearchCV)["fit"]
    autolog()
    assert vars(Ridge)["fit"] is not before[0]
    autolog()
    autolog(disable=True)
    assert (vars(Ridge)["fit"], vars(base.ClassifierMixin)["score"], vars(BaseSearchCV)["fit"]) == before
    assert "__init_subclass__" not in vars(base.BaseEstimator)
    assert pickle.loads(pickle.dumps(Ridge(alpha=2.0))).alpha == 2.0


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("scikit-learn", tmp_path)
