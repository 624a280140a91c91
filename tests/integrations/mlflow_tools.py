"""MLflow in a test's folder, and both histories of a run in one form."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from runlore.integrations.mlflow.mapping import milliseconds
from runlore.query import Client, PipelineRun
from tests.patience import PATIENCE, until

Point = tuple[int | None, int, str]
"""Step, time in milliseconds, the value's text: not-a-number equals itself there."""


def empty_store(template: Path, folder: Path) -> str:
    """URI of a fresh store: MLflow takes seconds to make its tables, so they are made once."""
    import mlflow

    if not template.exists():
        mlflow.MlflowClient(f"sqlite:///{template}").search_experiments()
    shutil.copy(template, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def mlflow_points(client: Any, run_id: str) -> dict[str, list[Point]]:
    """Histories of metrics as MLflow's API tells them."""
    keys = client.get_run(run_id).data.metrics
    return {
        key: sorted(
            (point.step, point.timestamp, repr(point.value)) for point in client.get_metric_history(run_id, key)
        )
        for key in keys
    }


def runlore_points(run: PipelineRun) -> dict[str, list[Point]]:
    """Histories of metrics as Runlore tells them."""
    return {
        key: sorted(
            (entry.at_step, milliseconds(entry.occurred_at), repr(entry.value))
            for entry in run.history(("metrics", key))
        )
        for key in run.metadata.get("metrics", {})
    }


STATUSES = {"running": "RUNNING", "completed": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


def assert_same(client: Client, host: Any, run_id: str) -> None:
    """Everything that MLflow knows of a run is in Runlore, value by value, step by step, time by time."""
    theirs, ours = host.get_run(run_id), client.get_pipeline_run(run_id)
    assert runlore_points(ours) == mlflow_points(host, run_id)
    parameters = ours.metadata.get("parameters", {})
    assert {key: str(value) for key, value in parameters.items()} == theirs.data.params
    own = {key: value for key, value in theirs.data.tags.items() if not key.startswith("mlflow.")}
    assert ours.metadata.get("tags", {}) == own
    system = {
        key.removeprefix("mlflow."): value for key, value in theirs.data.tags.items() if key.startswith("mlflow.")
    }
    note = system.pop("note.content", None)
    assert [one.value for one in ours.notes] == ([] if note is None else [note])
    assert {key: ours.metadata["mlflow"].get(key) for key in system} == system
    assert ours.metadata["mlflow"]["artifact_uri"] == theirs.info.artifact_uri
    assert (ours.id, ours.fields["name"]) == (run_id, theirs.info.run_name)
    assert ours.fields["group"] == host.get_experiment(theirs.info.experiment_id).name
    assert STATUSES[ours.status or ""] == theirs.info.status
    assert milliseconds(ours.started_at) == theirs.info.start_time
    assert (None if ours.finished_at is None else milliseconds(ours.finished_at)) == theirs.info.end_time


@contextmanager
def mlflow_server(uri: str, folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server of MLflow; its address and process."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(folder / "artifacts")]
    environ = {**os.environ, "MLFLOW_TRACKING_URI": "", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ, start_new_session=True)
    try:
        until(
            lambda: _answers(f"http://127.0.0.1:{port}/health"), 3 * PATIENCE
        )  # it imports for a minute on a busy machine
        yield f"http://127.0.0.1:{port}", process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a server and its workers at once."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
