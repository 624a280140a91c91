"""`runlore import mlflow`: the past of a store, with its times. What Runlore has already is not brought again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from runlore.integrations.mlflow.host import (
    Experiment,
    Metric,
    RegisteredModel,
    RegisteredVersion,
    Run,
    inner_uri,
    public_uri,
)
from runlore.integrations.mlflow.past import missing_of_run, missing_of_version, stages_of
from runlore.integrations.mlflow.recorder import emit
from runlore.producer import Receipt, default_producer, drain
from runlore.query import Client
from runlore.schemas import NotFoundError, NotSentError

PAGE = 1_000
DRAIN_SECONDS = 60.0
"""For what an earlier import left in the outbox of its process."""
LOOK_SECONDS = 0.05


class Imported(NamedTuple):
    """Counts of one import."""

    runs: int = 0
    """Runs that were looked at."""
    versions: int = 0
    """Model versions that were looked at."""
    events: int = 0
    """Events that were new."""


class Importer:
    """Brings runs and registered models of a store of MLflow. Stop it at any time: the next one goes on there."""

    def __init__(self, uri: str, client: Client, report: Callable[[str], None] = lambda _: None) -> None:
        mlflow: Any = import_module("mlflow")
        self._uri = inner_uri(uri)
        self._source = public_uri(self._uri)
        self._host: Any = mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        self._client = client
        self._report = report
        self._last: Receipt | None = None
        self._events = 0

    def bring(self, experiments: Sequence[str] = ()) -> Imported:
        """Import these experiments, or all, and every registered model. Raises NotFoundError, ReceiptTimeoutError.

        MLflow's own errors are raised as they are.
        """
        settle(self._client)
        runs = versions = 0
        for experiment in self._experiments(experiments):
            before = runs
            for run in self._runs(experiment):
                self._bring_run(run, experiment)
                runs += 1
            self._report(f"{experiment.name}: {runs - before} runs")
        for model in _pages(lambda token: self._host.search_registered_models(max_results=PAGE, page_token=token)):
            versions += self._bring_model(model)
        if self._last is not None:
            default_producer().flush(DRAIN_SECONDS)
            self._client.wait_for(self._last, DRAIN_SECONDS)
        return Imported(runs, versions, self._events)

    def _emit(self, timed: Any, run_id: str | None) -> None:
        self._last = emit(timed, run_id)
        self._events += 1

    def _bring_run(self, run: Run, experiment: Experiment) -> None:
        metrics = {key: self._history(run.info.run_id, key) for key in run.data.metrics}
        for timed in missing_of_run(self._client, run, experiment.name, metrics, self._source):
            self._emit(timed, run.info.run_id)

    def _bring_model(self, model: RegisteredModel) -> int:
        quoted = model.name.replace("'", "\\'")
        versions: list[RegisteredVersion] = list(
            _pages(lambda token: self._host.search_model_versions(f"name='{quoted}'", PAGE, page_token=token))
        )
        aliases: dict[str, list[str]] = {}
        for alias, number in sorted(model.aliases.items()):
            aliases.setdefault(str(number), []).append(alias)
        stages = stages_of(versions, aliases)
        for version in sorted(versions, key=lambda one: int(one.version)):
            number = str(version.version)
            own, stage = aliases.get(number, []), stages.get(number)
            for timed, run_id in missing_of_version(self._client, version, own, stage, self._source):
                self._emit(timed, run_id)
        return len(versions)

    def _experiments(self, names: Sequence[str]) -> Iterator[Experiment]:
        if not names:
            yield from _pages(lambda token: self._host.search_experiments(max_results=PAGE, page_token=token))
        for name in names:
            experiment = self._host.get_experiment_by_name(name)
            if experiment is None:
                raise NotFoundError(f"MLflow at {self._source} has no experiment {name!r}")
            yield experiment

    def _runs(self, experiment: Experiment) -> Iterator[Run]:
        order = ["attributes.start_time ASC"]
        return _pages(
            lambda token: self._host.search_runs(
                [experiment.experiment_id], max_results=PAGE, order_by=order, page_token=token
            )
        )

    def _history(self, run_id: str, key: str) -> list[Metric]:
        points: list[Metric] = self._host.get_metric_history(run_id, key)
        return points


def _pages(page: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


def settle(client: Client) -> None:
    """Wait until the read side has what an earlier import has emitted. Raises NotSentError where that cannot be."""
    report = drain(default_producer().settings, DRAIN_SECONDS)
    deadline = time.monotonic() + DRAIN_SECONDS
    while client.lag and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    if report.unsent or client.lag:
        raise NotSentError("events of this folder are not in the view yet: an import now could bring them twice")
