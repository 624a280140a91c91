"""Bringing runs of the order *first* to MLflow, from the log. Whatever MLflow has already is not brought again.

MLflow gives each run an ID of its own: it gets ours as the tag ``runlore.run_id``, and our run gets its as
``mlflow.run_id``. One feeder works in a folder at a time.
"""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from runlore.integrations.mlflow import mapping
from runlore.integrations.mlflow.host import Metric, entities, inner_uri, public_uri, tracking_builder
from runlore.integrations.mlflow.mapping import Timed, run_ref
from runlore.integrations.mlflow.past import Point
from runlore.integrations.mlflow.recorder import emit
from runlore.query import Client, PipelineRun
from runlore.schemas import NotFoundError

RUN_ID = "runlore.run_id"
ENDED = {ours: theirs for theirs, ours in mapping.STATUSES.items()}
WAITING = "mlflow.order = 'first' and mlflow.fed = false"
"""Runs that MLflow does not have completely, as a filter."""
MOST = 1_000


class Feeder:
    """Writes runs to the MLflow store at `uri`. Its errors are MLflow's own: try again later."""

    def __init__(self, uri: str, client: Client, folder: Path) -> None:
        mlflow: Any = import_module("mlflow")
        self._source = public_uri(inner_uri(uri))
        self._host: Any = mlflow.MlflowClient(tracking_uri=inner_uri(uri), registry_uri=inner_uri(uri))
        self._store: Any = tracking_builder(inner_uri(uri))(store_uri=inner_uri(uri), artifact_uri=None)
        self._client = client
        self._folder = folder
        self._ids: dict[str, str] = {}
        self._done: dict[str, int] = {}
        """Up to which event a run's metrics are there."""

    def waiting(self) -> list[str]:
        """IDs of the runs that are to be fed to this store, oldest first; a thousand at most."""
        found = self._client.find("run", WAITING, order_by="created", limit=MOST)
        runs = [run for run in found if isinstance(run, PipelineRun)]
        return [run.id for run in runs if run.metadata["mlflow"].get("store") == self._source]

    def feed(self, run_ids: Iterable[str]) -> list[str]:
        """Feed these runs; those that have ended, and so are finished with. Nothing where another feeder works."""
        with _alone(self._folder) as alone:
            return [run_id for run_id in run_ids if self._feed_run(run_id)] if alone else []

    def _feed_run(self, run_id: str) -> bool:
        try:
            run = self._client.get_pipeline_run(run_id)
        except NotFoundError:
            return False  # still on its way
        if "mlflow" not in run.metadata:
            return False
        theirs = self._id_of(run)
        self._values(run, theirs)
        status = ENDED.get(run.status or "")
        if status is None:
            return False
        artifacts = self._folder / run.id / "artifacts"
        if artifacts.is_dir() and any(artifacts.iterdir()):
            self._host.log_artifacts(theirs, str(artifacts))
        end = None if run.finished_at is None else mapping.milliseconds(run.finished_at)
        # Not the client's `set_terminated`, which prints to stdout.
        self._store.update_run_info(theirs, entities().RunStatus.from_string(status), end, None)
        emit(Timed(mapping.logged(run_ref(run.id), {"mlflow": {"fed": True}})), run.id)
        return True

    def _id_of(self, run: PipelineRun) -> str:
        """MLflow's ID of a run; it is created where MLflow has none."""
        if run.id not in self._ids:
            experiment_id = self._experiment_id(run.fields["group"])
            known = self._host.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{run.id}'", max_results=1)
            made = known[0] if known else self._create(run, experiment_id)
            self._ids[run.id] = made.info.run_id
            if run.metadata["mlflow"].get("run_id") != made.info.run_id:
                emit(Timed(mapping.logged(run_ref(run.id), {"mlflow": {"run_id": made.info.run_id}})), run.id)
        return self._ids[run.id]

    def _create(self, run: PipelineRun, experiment_id: str) -> Any:
        tags = {**tags_of(run), RUN_ID: run.id}
        parent = tags.get(mapping.PARENT)
        if parent:
            tags[mapping.PARENT] = self._ids.get(parent) or self._parent(parent)
        start = None if run.started_at is None else mapping.milliseconds(run.started_at)
        return self._host.create_run(experiment_id, start, tags, run.fields["name"])

    def _parent(self, run_id: str) -> str:
        try:
            return self._id_of(self._client.get_pipeline_run(run_id))
        except NotFoundError:
            return run_id

    def _experiment_id(self, name: str) -> str:
        experiment = self._host.get_experiment_by_name(name)
        found: str = self._host.create_experiment(name) if experiment is None else experiment.experiment_id
        return found

    def _values(self, run: PipelineRun, theirs: str) -> None:
        """Bring parameters, tags and metrics that are not there yet."""
        make, data = entities(), self._host.get_run(theirs).data
        parameters = run.metadata.get("parameters", {})
        params = [make.Param(key, str(value)) for key, value in parameters.items() if key not in data.params]
        tags = [
            make.RunTag(key, value)
            for key, value in tags_of(run).items()
            if data.tags.get(key) != value and key != mapping.PARENT
        ]
        metrics = [point for key in run.metadata.get("metrics", {}) for point in self._points(run, theirs, key)]
        if params or tags or metrics:
            self._host.log_batch(theirs, metrics=metrics, params=params, tags=tags)
        self._done[run.id] = run.position

    def _points(self, run: PipelineRun, theirs: str, key: str) -> Iterator[Metric]:
        have = Counter[Point]()
        if run.id not in self._done:
            points: list[Metric] = self._host.get_metric_history(theirs, key)
            have.update((point.step, point.timestamp, repr(float(point.value))) for point in points)
        for entry in run.history(("metrics", key), after=self._done.get(run.id)):
            at = mapping.milliseconds(entry.occurred_at)
            same = (entry.at_step, at, repr(entry.value))
            if have[same] > 0:
                have[same] -= 1
            elif not entry.ended:
                yield entities().Metric(key, entry.value, at, entry.at_step or 0)


def tags_of(run: PipelineRun) -> dict[str, str]:
    """A run's tags as MLflow had them: the users' and its own; no values that we keep beside them."""
    system = {f"{mapping.SYSTEM}{key}": value for key, value in run.metadata["mlflow"].items() if key not in KEPT}
    tags = {**system, **run.metadata.get("tags", {})}
    return {**tags, mapping.NOTE: run.notes[-1].value} if run.notes else tags


KEPT = ("experiment_id", "store", "artifact_uri", "order", "fed", "run_id", "lifecycle_stage")


@contextmanager
def _alone(folder: Path) -> Generator[bool]:
    """Hold the folder's lock; False where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "feed.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
