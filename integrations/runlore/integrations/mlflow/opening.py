"""Opening a store for ``runlore+<URI>``."""

from __future__ import annotations

import inspect
from typing import Any

from runlore.integrations.guard import Guard
from runlore.integrations.mlflow import artifacts, models, recorder
from runlore.integrations.mlflow.feeding import Feeding
from runlore.integrations.mlflow.first import store_class
from runlore.integrations.mlflow.host import entities, inner_uri, public_uri, registry_builder, tracking_builder
from runlore.integrations.mlflow.local_runs import LocalRuns
from runlore.integrations.mlflow.tee import tee
from runlore.producer import default_producer

GUARD = Guard("MLflow")
FIRST = {"order": "first", "fed": False}
"""Marks of a run that MLflow gets later."""


def open_tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """MLflow's own tracking store, recorded, or ours before it. Only MLflow's own errors are raised."""
    found: list[Any] = []
    if _order() == "first":
        GUARD.run(lambda: found.append(_first(store_uri, artifact_uri)))
    return found[0] if found else _tee(store_uri, artifact_uri)


def _order() -> str:
    order = ["tee"]
    GUARD.run(lambda: order.append(default_producer().settings.mlflow))
    return order[-1]


def _tee(store_uri: str, artifact_uri: str | None) -> Any:
    uri = inner_uri(store_uri)
    store = tracking_builder(uri)(store_uri=uri, artifact_uri=artifact_uri)
    GUARD.run(artifacts.use_inner_uri)
    GUARD.run(lambda: _record_runs(store, uri, (open_tracking_store, (store_uri, artifact_uri))))
    return store


def _first(store_uri: str, artifact_uri: str | None) -> Any:
    folder = default_producer().settings.data_dir.absolute() / "mlflow"
    runs = LocalRuns(folder)
    uri, status_text = inner_uri(store_uri), entities().RunStatus.to_string
    recording = recorder.RunRecorder(public_uri(uri), runs.experiment_by_id, status_text, FIRST)
    feeding = Feeding(uri, folder)
    store = store_class()()
    store._own = (runs, recording, GUARD, lambda: _tee(store_uri, artifact_uri), feeding.want)
    return store


def _record_runs(store: Any, uri: str, rebuild: tuple[Any, ...]) -> None:
    runs = recorder.RunRecorder(public_uri(uri), store.get_experiment, entities().RunStatus.to_string)
    tee(store, runs, recorder.RECORDED, GUARD, rebuild)


def open_registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """MLflow's own model registry, recorded. Only MLflow's own errors are raised."""
    uri = inner_uri(store_uri)
    build = registry_builder(uri)
    options: dict[str, Any] = {"store_uri": uri}
    taken = inspect.signature(build).parameters
    if "tracking_uri" in taken or any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        options["tracking_uri"] = None if tracking_uri is None else inner_uri(tracking_uri)
    store = build(**options)
    GUARD.run(lambda: _record_models(store, uri, (open_registry_store, (store_uri, tracking_uri))))
    return store


def _record_models(store: Any, uri: str, rebuild: tuple[Any, ...]) -> None:
    found = models.ModelRecorder(public_uri(uri), store.get_model_version_by_alias)
    tee(store, found, models.RECORDED, GUARD, rebuild)
