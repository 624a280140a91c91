"""Runs as they are told to MLflow's tracking store. One method for each method of the store that changes something.

Each takes what the store returned, then the arguments of the call.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runlore.integrations.mlflow import mapping
from runlore.integrations.mlflow.host import Experiment, KeyValue, Metric, Run, RunInfo, is_server
from runlore.integrations.mlflow.mapping import Timed, run_ref
from runlore.producer import Receipt, default_producer, describe_run
from runlore.schemas import MetadataRetracted, NoteAdded, Uri

RUNNING = "RUNNING"


def emit(timed: Timed, run_id: str | None = None) -> Receipt:
    """Store one fact in the outbox."""
    fact: Any = timed.fact
    return default_producer().emit_nowait(fact, run=run_id, occurred_at=timed.occurred_at)


class RunRecorder:
    """Records what happens to runs.

    `experiment_of` asks MLflow for an experiment; `status_text` names a status; `marks` are put on each run.
    """

    def __init__(
        self,
        source: str,
        experiment_of: Callable[[str], Experiment | None],
        status_text: Callable[[int], str],
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        self._source, self._marks = source, marks or {}
        self._experiment_of = experiment_of
        self._status_text = status_text
        self._names: dict[str, str] = {}

    # -- experiments: only their names matter --------------------------------------------------------

    def get_experiment(self, experiment: Experiment, *_: Any, **__: Any) -> None:
        self._names[experiment.experiment_id] = experiment.name

    def get_experiment_by_name(self, experiment: Experiment | None, *_: Any, **__: Any) -> None:
        if experiment is not None:
            self._names[experiment.experiment_id] = experiment.name

    def create_experiment(self, experiment_id: str, name: str, *_: Any, **__: Any) -> None:
        self._names[str(experiment_id)] = name

    def rename_experiment(self, _: None, experiment_id: str, new_name: str) -> None:
        self._names[experiment_id] = new_name

    def experiment_name(self, experiment_id: str) -> str:
        """The experiment's name, asked for once; its ID where nobody knows it."""
        if experiment_id not in self._names:
            experiment = self._experiment_of(experiment_id)
            self._names[experiment_id] = experiment_id if experiment is None else experiment.name
        return self._names[experiment_id]

    # -- runs -----------------------------------------------------------------------------------------

    def create_run(self, run: Run, *_: Any, **__: Any) -> None:
        self.start(run.info, run.data.tags)
        groups = mapping.split_tags(run.data.tags)
        groups["mlflow"] = {**groups.get("mlflow", {}), **mapping.described(run, self._source), **self._marks}
        self._log(run.info.run_id, groups)
        self._note(run.info.run_id, run.data.tags.get(mapping.NOTE))
        if not is_server():
            describe_run(run.info.run_id)
        _at_exit()

    def start(self, info: RunInfo, tags: Any) -> None:
        """A run began, or began again."""
        emit(mapping.started(info, self.experiment_name(info.experiment_id), tags), info.run_id)

    def update_run_info(
        self,
        info: RunInfo | None,
        run_id: str,
        run_status: int | None = None,
        end_time: int | None = None,
        run_name: str | None = None,
    ) -> None:
        if run_name:
            self._log(run_id, {"mlflow": {"runName": run_name}})
        if run_status is None:
            return
        status = self._status_text(run_status)
        ended = mapping.finished(status, end_time)
        if ended is not None:
            emit(ended, run_id)
        elif status == RUNNING and info is not None:
            emit(Timed(mapping.started(info, self.experiment_name(info.experiment_id), {}).fact), run_id)

    def delete_run(self, _: None, run_id: str) -> None:
        self._log(run_id, {"mlflow": {"lifecycle_stage": "deleted"}})

    def restore_run(self, _: None, run_id: str) -> None:
        self._log(run_id, {"mlflow": {"lifecycle_stage": "active"}})

    # -- values ---------------------------------------------------------------------------------------

    def log_batch(
        self,
        _: Any,
        run_id: str,
        metrics: Iterable[Metric] = (),
        params: Iterable[KeyValue] = (),
        tags: Sequence[KeyValue] = (),
    ) -> None:
        by_key = {tag.key: tag.value for tag in tags}
        groups = {**mapping.parameters(params), **mapping.split_tags(by_key)}
        if groups:
            self._log(run_id, groups)
        self._note(run_id, by_key.get(mapping.NOTE))
        for timed in mapping.measured(run_id, metrics):
            emit(timed, run_id)

    log_batch_async = log_batch

    def log_metric(self, _: None, run_id: str, metric: Metric) -> None:
        self.log_batch(None, run_id, metrics=[metric])

    def log_param(self, _: None, run_id: str, param: KeyValue) -> None:
        self.log_batch(None, run_id, params=[param])

    def set_tag(self, _: None, run_id: str, tag: KeyValue) -> None:
        self.log_batch(None, run_id, tags=[tag])

    def delete_tag(self, _: None, run_id: str, key: str) -> None:
        fact = MetadataRetracted((run_ref(run_id),), (mapping.tag_path(key),), "the tag was deleted in MLflow")
        emit(Timed(fact), run_id)

    def log_inputs(self, _: None, run_id: str, datasets: Sequence[Any] | None = None, models: Any = None) -> None:
        found = dict(map(_dataset, datasets or ()))
        if found:
            self._log(run_id, {"datasets": found})

    def create_logged_model(self, model: Any, *_: Any, **__: Any) -> None:
        if model.source_run_id:
            told = {"model_id": model.model_id, "uri": Uri(model.artifact_location), "type": model.model_type}
            self._log(model.source_run_id, {"models": {model.name: told}})

    def _log(self, run_id: str, groups: dict[str, Any]) -> None:
        emit(Timed(mapping.logged(run_ref(run_id), groups)), run_id)

    def _note(self, run_id: str, text: str | None) -> None:
        if text and text.strip():
            emit(Timed(NoteAdded((run_ref(run_id),), text)), run_id)


RECORDED = (
    "get_experiment", "get_experiment_by_name", "create_experiment", "rename_experiment", "create_run",
    "update_run_info", "delete_run", "restore_run", "log_batch", "log_batch_async", "log_metric", "log_param",
    "set_tag", "delete_tag", "log_inputs", "create_logged_model",
)  # fmt: skip
"""Methods of the tracking store that are recorded. Those with ``_async`` for one value call ``log_batch_async``."""


def _dataset(given: Any) -> tuple[str, dict[str, Any]]:
    """An input by its context (training, evaluation), or by its own name where it has none."""
    context = next((tag.value for tag in given.tags or () if tag.key == "mlflow.data.context"), None)
    dataset = given.dataset
    told = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    return context or dataset.name, told


_hooked: list[bool] = []


def _at_exit() -> None:
    """End MLflow's active runs before the producer ends: MLflow's own hook comes after it, as it was there first."""
    if not _hooked:
        _hooked.append(True)
        atexit.register(end_active_runs)


def end_active_runs() -> None:
    """End MLflow's active runs, as MLflow does at the end of a process."""
    host: Any = sys.modules.get("mlflow")
    with contextlib.suppress(Exception):  # as MLflow's own
        while host is not None and host.active_run() is not None:
            host.end_run()
