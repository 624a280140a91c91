"""``MLFLOW_TRACKING_URI=runlore+…``: unchanged code of MLflow is recorded beside MLflow's own store."""

from __future__ import annotations

import logging
import math
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_tools import assert_same, empty_store, kill, mlflow_server, runlore_points

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import outbox_status
from runlore.query import Client
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from tests.patience import PATIENCE

mlflow: Any = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("mlflow")]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "template.db"


@pytest.fixture
def uri(template: Path, tmp_path: Path) -> str:
    return empty_store(template, tmp_path)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No telemetry, short retries, and no run, experiment or address left for the next test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID"):
        monkeypatch.setenv(name, "")  # to be removed at the end, whoever sets it
        monkeypatch.delenv(name)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def caught_up() -> Client:
    client = Client()
    producer.flush(PATIENCE)
    client.wait_for(producer.log_metadata({"done": True}, "marker:end"), PATIENCE)
    return client


def test_a_training_with_autolog_is_recorded_as_mlflow_tells_it(stack: EmbeddedStack, uri: str) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import SGDClassifier

    mlflow.set_tracking_uri(f"runlore+{uri}")
    mlflow.sklearn.autolog(silent=True, log_models=False)  # which takes MLflow half a minute
    try:
        mlflow.set_experiment("flowers")
        with mlflow.start_run(run_name="lilies", tags={"owner": "ada"}, description="a first try") as run:
            rows, kinds = load_iris(return_X_y=True)
            model = SGDClassifier(max_iter=5, tol=None).fit(rows, kinds)
            for epoch in range(20):
                mlflow.log_metric("loss", 1 / (epoch + 1), step=epoch)
            assert model.score(rows, kinds) > 0
            mlflow.initialize_logged_model("model", source_run_id=run.info.run_id, model_type="sgd")
    finally:
        mlflow.sklearn.autolog(disable=True)
    client, host = caught_up(), mlflow.MlflowClient(uri)
    assert_same(client, host, run.info.run_id)
    ours = client.get_pipeline_run(run.info.run_id)
    assert len(ours.history("metrics.loss")) == 20
    assert ours.metadata["parameters"]["max_iter"] == 5
    assert ours.metadata["models"]["model"]["type"] == "sgd"
    assert client.find("run", "parameters.alpha = 0.0001 and metrics.loss < 0.1 and tags.owner = 'ada'")
    assert "train" in ours.metadata["datasets"]


def test_batches_nested_runs_tags_and_statuses_are_recorded(stack: EmbeddedStack, uri: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    mlflow.set_tracking_uri(f"runlore+{uri}")
    host = mlflow.MlflowClient()
    with mlflow.start_run(run_name="sweep") as parent, mlflow.start_run(run_name="trial", nested=True) as trial:
        mlflow.log_metrics({"val/loss": 0.5, "val.acc": 0.25}, step=3)
        points = [Metric("loss", value, 1_700_000_000_123 + value, value) for value in range(100)]
        again = [Metric("loss", 7.5, 1_700_000_000_123, 0), Metric("nan", math.nan, 5, -1)]
        host.log_batch(
            trial.info.run_id, points + again, [Param("lr", "0.10"), Param("on", "True")], [RunTag("a", "b")]
        )
        mlflow.set_tags({"gone": "1", "kept": "2"})
        mlflow.delete_tag("gone")
        mlflow.log_metric("late", 1.0, step=1, synchronous=False).wait()
    killed = host.create_run("0", run_name="stopped")
    host.set_terminated(killed.info.run_id, "KILLED")
    with pytest.raises(ValueError, match="broken"), mlflow.start_run() as failed:
        raise ValueError("broken")
    client, plain = caught_up(), mlflow.MlflowClient(uri)
    ours = client.get_pipeline_run(trial.info.run_id)
    assert ours.fields["parent"] == f"run:{parent.info.run_id}"
    assert ours.metadata["parameters"] == {"lr": "0.10", "on": True}
    for run in (parent, trial, killed, failed):
        assert_same(client, plain, run.info.run_id)
    found = runlore_points(ours)
    assert found["nan"] == [(-1, 5, "nan")]
    assert {key: len(found[key]) for key in found} == {"val/loss": 1, "val.acc": 1, "loss": 101, "nan": 1, "late": 1}
    assert client.get_pipeline_run(killed.info.run_id).status == "killed"
    assert ours.history("tags.gone")[-1].reason == "the tag was deleted in MLflow"


def test_registered_models_aliases_and_stages_are_recorded(stack: EmbeddedStack, uri: str) -> None:
    mlflow.set_tracking_uri(f"runlore+{uri}")
    host = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        mlflow.log_text("weights", "model/weights.txt")
    host.create_registered_model("churn")
    for _ in range(2):
        host.create_model_version("churn", f"runs:/{run.info.run_id}/model", run.info.run_id, tags={"team": "risk"})
    host.set_registered_model_alias("churn", "champion", "1")
    host.transition_model_version_stage("churn", "2", "Production")
    host.update_model_version("churn", "2", description="won the A/B test")
    client = caught_up()
    first, second = client.get_model_version("churn", "champion"), client.get_model_version("churn", "production")
    assert (first.version, second.version, first.run, second.run) == ("1", "2", run.info.run_id, run.info.run_id)
    assert first.metadata["tags"] == {"team": "risk"}
    assert first.metadata["mlflow"]["source"] == f"runs:/{run.info.run_id}/model"
    host.delete_registered_model_alias("churn", "champion")
    assert caught_up().get_model_version("churn", 1).stage == "none"


@pytest.mark.timeout(900)  # a start of MLflow's server
def test_a_server_that_dies_fails_the_call_as_without_us_and_the_value_is_kept(
    stack: EmbeddedStack, uri: str, tmp_path: Path
) -> None:
    with mlflow_server(uri, tmp_path) as (address, process):
        mlflow.set_tracking_uri(f"runlore+{address}")
        with pytest.raises(mlflow.MlflowException, match="API request"), mlflow.start_run() as run:  # noqa: PT012
            mlflow.log_text("through the server", "note.txt")
            assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt") == "through the server"
            mlflow.log_metric("loss", 0.5, step=1)
            kill(process)
            mlflow.log_metric("loss", 0.25, step=2)
    ours = caught_up().get_pipeline_run(run.info.run_id)
    assert [(entry.at_step, entry.value) for entry in ours.history("metrics.loss")] == [(1, 0.5), (2, 0.25)]
    assert ours.status == "running"  # as in MLflow, whose client asks for the run before it says that it has ended


def test_a_call_that_mlflow_refuses_is_not_recorded(stack: EmbeddedStack, uri: str) -> None:
    mlflow.set_tracking_uri(f"runlore+{uri}")
    with mlflow.start_run() as run:
        mlflow.log_param("lr", 1)
        with pytest.raises(mlflow.MlflowException):
            mlflow.log_param("lr", 2)
    assert caught_up().get_pipeline_run(run.info.run_id).metadata["parameters"] == {"lr": 1}


def test_without_nats_a_training_goes_on_and_its_events_wait(settings: Settings, uri: str) -> None:
    producer.configure()
    mlflow.set_tracking_uri(f"runlore+{uri}")
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5, step=1)
    (outbox,) = outbox_status(DataDir(settings.data_dir))
    assert outbox.waiting >= 4
    with EmbeddedStack(settings, lambda text: None) as running:
        assert running.wait_ready(lambda seconds: time.sleep(seconds) or False, PATIENCE)
        assert_same(caught_up(), mlflow.MlflowClient(uri), run.info.run_id)
        producer.configure(mode="disabled")


def test_what_goes_wrong_on_our_side_is_one_warning(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the data folder should be")
    producer.configure(data_dir=blocked / "data")
    mlflow.set_tracking_uri(f"runlore+{uri}")
    with caplog.at_level(logging.WARNING, "runlore"), mlflow.start_run() as run:
        for step in range(10):
            mlflow.log_metric("loss", 0.5, step=step)
    assert len(mlflow.MlflowClient(uri).get_metric_history(run.info.run_id, "loss")) == 10
    ours = [record for record in caplog.records if record.name == "runlore"]
    assert len(ours) == 1
    assert "MLflow is not recorded" in ours[0].message
    producer.configure(mode="disabled")


def test_a_run_that_a_script_leaves_open_is_ended_as_mlflow_ends_it(
    stack: EmbeddedStack, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"runlore+{uri}")
    code = "import mlflow\nprint(mlflow.start_run().info.run_id)\nmlflow.log_metric('loss', 1.0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert_same(caught_up(), mlflow.MlflowClient(uri), done.stdout.split()[0])


def test_a_recorded_store_is_what_it_was_and_can_be_pickled(uri: str) -> None:
    producer.configure(mode="disabled")
    mlflow.set_tracking_uri(f"runlore+{uri}")
    store = mlflow.MlflowClient()._tracking_client.store
    assert isinstance(store, type(mlflow.MlflowClient(uri)._tracking_client.store))
    assert type(pickle.loads(pickle.dumps(store))).__name__ == "SqlAlchemyStore"
