"""``RUNLORE_MLFLOW=first``: a training needs no MLflow server; MLflow gets its runs when it can take them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow_tools import empty_store, free_port, kill, mlflow_points, mlflow_server, runlore_points

from runlore.cli.stack import EmbeddedStack
from runlore.integrations.mlflow.feed import Feeder
from runlore.query import Client
from tests.patience import PATIENCE, until

mlflow: Any = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("mlflow")]

TRAINING = """
import sys, time, mlflow
from pathlib import Path
mlflow.set_experiment("churn")
with mlflow.start_run(run_name="outage", tags={"owner": "ada"}) as run:
    print(run.info.run_id, flush=True)
    mlflow.log_params({"lr": 0.1, "optimizer": "adam"})
    for step in range(30):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        if step == 10:
            mlflow.log_text("weights", "model/weights.txt")
            for line in sys.stdin:
                break
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metrics({"val": 0.5, "nan": float("nan")}, step=1)
    assert mlflow.get_run(run.info.run_id).data.metrics["loss"] == 1 / 30
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")) == 30
print(child.info.run_id)
"""


def training(address: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "RUNLORE_MLFLOW": "first", "MLFLOW_TRACKING_URI": f"runlore+{address}"}
    environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    command = [sys.executable, "-c", TRAINING]
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def feed(address: str) -> str:
    command = [sys.executable, "-m", "runlore", "feed", "mlflow", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def assert_fed(host: Any, run_id: str) -> Any:
    """MLflow's run has everything that ours has."""
    run = Client().get_pipeline_run(run_id)
    theirs = host.get_run(run.metadata["mlflow"]["run_id"])
    assert theirs.data.tags["runlore.run_id"] == run_id
    assert mlflow_points(host, theirs.info.run_id) == runlore_points(run)
    assert theirs.data.params == {key: str(value) for key, value in run.metadata.get("parameters", {}).items()}
    assert (theirs.info.status, theirs.info.run_name) == ("FINISHED", run.fields["name"])
    return theirs


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return empty_store(tmp_path / "template.db", tmp_path)


@pytest.mark.timeout(900)  # two starts of MLflow's server
def test_a_training_neither_waits_for_mlflow_nor_fails_with_it(stack: EmbeddedStack, uri: str, tmp_path: Path) -> None:
    port = free_port()
    with mlflow_server(uri, tmp_path, port) as (address, process):
        train = training(address)
        assert train.stdout
        run_id = train.stdout.readline().strip()
        until(lambda: mlflow.MlflowClient(uri).search_runs(["1"]))  # fed while it trains
        kill(process)
    child_id = train.communicate("go on\n", timeout=PATIENCE)[0].strip()
    assert train.returncode == 0
    with mlflow_server(uri, tmp_path, port):
        assert set(feed(address).split()) == {run_id, child_id}
        folder = Path(os.environ["RUNLORE_DATA_DIR"]) / "mlflow"
        until(lambda: not Feeder(address, Client(), folder).waiting())
        host = mlflow.MlflowClient(uri)  # the server's own store
        theirs, child = assert_fed(host, run_id), assert_fed(host, child_id)
        assert child.data.tags["mlflow.parentRunId"] == theirs.info.run_id
        assert theirs.data.tags["owner"] == "ada"
        artifacts = mlflow.MlflowClient(address).list_artifacts(theirs.info.run_id, "model")
        assert [file.path for file in artifacts] == ["model/weights.txt"]
        assert len(host.search_runs([theirs.info.experiment_id])) == 2


def test_a_training_without_any_server_is_fed_later(stack: EmbeddedStack, uri: str) -> None:
    train = training("http://127.0.0.1:9")
    output, _ = train.communicate("go on\n", timeout=PATIENCE)
    assert train.returncode == 0
    run_id = output.split()[0]
    client = Client()
    until(lambda: client.get_pipeline_run(run_id).status == "completed")
    assert len(client.get_pipeline_run(run_id).history("metrics.loss")) == 30
