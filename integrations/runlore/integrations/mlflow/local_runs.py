"""Runs of the order *first*: made here, so that a training needs no server. MLflow gets them later (`feed`)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runlore.integrations.mlflow import mapping
from runlore.integrations.mlflow.host import KeyValue, Metric, entities, refusal

DEFAULT_ID, DEFAULT_NAME = "0", "Default"


class LocalRun:
    """One run: what MLflow's API is asked for while it trains."""

    def __init__(self, info: dict[str, Any], tags: dict[str, str]) -> None:
        self.fields = info
        self.tags = tags
        self.params: dict[str, str] = {}
        self.history: dict[str, list[Metric]] = {}

    def info(self) -> Any:
        """MLflow's RunInfo."""
        return entities().RunInfo(**self.fields)

    def run(self) -> Any:
        """MLflow's Run."""
        make = entities()
        last = [max(points, key=lambda one: (one.step, one.timestamp, one.value)) for points in self.history.values()]
        params = [make.Param(key, value) for key, value in self.params.items()]
        tags = [make.RunTag(key, value) for key, value in self.tags.items()]
        return make.Run(self.info(), make.RunData(metrics=last, params=params, tags=tags))

    def take(self, metrics: Iterable[Metric], params: Iterable[KeyValue], tags: Iterable[KeyValue]) -> None:
        """Log values. Raises MLflow's error for a parameter that changes, as its own stores do."""
        for param in params:
            if self.params.setdefault(param.key, param.value) != param.value:
                raise refusal(f"Changing param values is not allowed: {param.key!r} has been logged already")
        for metric in metrics:
            self.history.setdefault(metric.key, []).append(metric)
        self.tags.update({tag.key: tag.value for tag in tags})


class LocalRuns:
    """The runs and experiments of one data folder; child processes find them by their IDs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, LocalRun] = {}

    def create(
        self, experiment_id: str, user: str, start: int | None, tags: dict[str, str], name: str | None
    ) -> LocalRun:
        """Begin a run under an ID of our own."""
        run_id = uuid.uuid4().hex
        artifacts = self.artifacts(run_id)
        artifacts.mkdir(parents=True)
        name = name or tags.get(mapping.RUN_NAME) or f"run-{run_id[:8]}"
        info = {
            "run_id": run_id, "experiment_id": experiment_id, "user_id": user, "status": "RUNNING", "run_name": name,
            "start_time": now() if start is None else start, "end_time": None, "lifecycle_stage": "active",
            "artifact_uri": artifacts.as_uri(),
        }  # fmt: skip
        run = self._runs[run_id] = LocalRun(info, {**tags, mapping.RUN_NAME: name})
        self.save(run)
        return run

    def find(self, run_id: str) -> LocalRun | None:
        """A run that was made here, by this process or another one of the folder."""
        if run_id not in self._runs:
            told = _read(self._file(run_id))
            if told is None:
                return None
            self._runs[run_id] = LocalRun(told["info"], told["tags"])
        return self._runs[run_id]

    def save(self, run: LocalRun) -> None:
        """Keep a run's fields for other processes."""
        _write(self._file(run.fields["run_id"]), {"info": run.fields, "tags": run.tags})

    def artifacts(self, run_id: str) -> Path:
        """Where a run's artifacts wait for MLflow."""
        return self._folder / run_id / "artifacts"

    def _file(self, run_id: str) -> Path:
        return self._folder / Path(run_id).name / "run.json"

    # -- experiments ---------------------------------------------------------------------------------

    def experiment(self, name: str) -> Any:
        """The experiment of a name: its ID follows from the name, so nobody has to be asked."""
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        return self.remember(DEFAULT_ID if name == DEFAULT_NAME else str(digest), name)

    def remember(self, experiment_id: str, name: str) -> Any:
        """The experiment of an ID and a name, to be found by its ID from now on."""
        path = self._experiment_file(experiment_id)
        if not path.exists():
            _write(path, {"name": name})
        return entities().Experiment(experiment_id, name, self._folder.as_uri(), "active")

    def experiment_by_id(self, experiment_id: str) -> Any:
        """An experiment that was named here before; None for any other."""
        if experiment_id == DEFAULT_ID:
            return self.experiment(DEFAULT_NAME)
        told = _read(self._experiment_file(experiment_id))
        return None if told is None else self.remember(experiment_id, told["name"])

    def _experiment_file(self, experiment_id: str) -> Path:
        return self._folder / "experiments" / f"{Path(experiment_id).name}.json"


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _read(path: Path) -> Any | None:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _write(path: Path, told: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump(told, file)
    Path(name).replace(path)
