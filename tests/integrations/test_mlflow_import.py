"""`runlore import mlflow`: the past of a store, with its times, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow_tools import assert_same, empty_store

from runlore.cli.stack import EmbeddedStack
from runlore.integrations.mlflow.importer import Importer
from runlore.query import Client
from tests.patience import PATIENCE, until

mlflow: Any = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("mlflow")]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "template.db"


@pytest.fixture
def host(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    uri = empty_store(template, tmp_path)
    return mlflow.MlflowClient(uri, uri)


def past(host: Any, runs: int = 3, points: int = 40) -> list[str]:
    """Runs of years ago: one of each status, the second a part of the first; a model with two versions."""
    from mlflow.entities import Metric, Param, RunTag

    experiment = host.create_experiment("old", artifact_location="file:///gone")
    ids: list[str] = []
    for number, status in zip(range(runs), ("FINISHED", "KILLED", "RUNNING"), strict=False):
        begin = 1_500_000_000_000 + number
        tags = {"team": "risk", "mlflow.note.content": f"note {number}"}
        tags |= {"mlflow.parentRunId": ids[0]} if ids else {}
        run = host.create_run(experiment, begin, tags, f"run {number}").info.run_id
        loss = [Metric("loss", 1 / (step + 1), begin + step * 7, step) for step in range(points)]
        odd = [Metric("a.b/c", float("nan"), begin, -3), Metric("loss", 0.5, begin, 0)]
        host.log_batch(run, loss + odd, [Param("lr", "1e-05"), Param("opt", "adam")], [RunTag("x", "y")])
        if status != "RUNNING":
            host.set_terminated(run, status, begin + 1_000_000)
        ids.append(run)
    host.create_registered_model("churn")
    for number in (1, 2):
        host.create_model_version("churn", "file:///gone", ids[0], description=f"version {number}")
    host.transition_model_version_stage("churn", "1", "Production")
    host.set_registered_model_alias("churn", "champion", "2")
    return ids


def test_an_import_equals_mlflow_and_a_second_one_brings_nothing(stack: EmbeddedStack, host: Any) -> None:
    ids = past(host)
    done = Importer(host.tracking_uri, Client()).bring()
    assert (done.runs, done.versions) == (3, 2)
    client = Client()
    for run_id in ids:
        assert_same(client, host, run_id)
    run = client.get_pipeline_run(ids[1])
    assert (run.fields["parent"], run.status, run.environment) == (f"run:{ids[0]}", "killed", {})
    production, champion = (
        client.get_model_version("churn", "production"),
        client.get_model_version("churn", "champion"),
    )
    assert (production.version, champion.version, champion.run) == ("1", "2", ids[0])
    position = client.position
    assert Importer(host.tracking_uri, client).bring() == done._replace(events=0)
    assert client.position == position
    host.log_metric(ids[2], "loss", 9.0, step=99)
    host.set_terminated(ids[2], "FAILED")
    assert Importer(host.tracking_uri, client).bring(["old"]).events == 2
    assert_same(client, host, ids[2])


def test_an_import_that_is_killed_goes_on_where_it_was(stack: EmbeddedStack, host: Any) -> None:
    ids = past(host, points=1500)
    command = [sys.executable, "-m", "runlore", "import", "mlflow", host.tracking_uri]
    process = subprocess.Popen(command, env=dict(os.environ))
    until(lambda: Client().find("run", "name = 'run 0'"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.startswith("3 runs, 2 model versions")
    for run_id in ids:
        assert_same(Client(), host, run_id)


def test_an_unknown_experiment_is_an_error_of_its_own(stack: EmbeddedStack, host: Any) -> None:
    command = [sys.executable, "-m", "runlore", "import", "mlflow", host.tracking_uri, "--experiment", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 3
    assert "no experiment 'none'" in done.stderr
