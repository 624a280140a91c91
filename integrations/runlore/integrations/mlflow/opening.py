"""Opening a store for ``runlore+<URI>``."""

from __future__ import annotations

import inspect
from typing import Any

from runlore.integrations.guard import Guard
from runlore.integrations.mlflow import artifacts, models, plugin, recorder
from runlore.integrations.mlflow.host import entities, inner_uri, public_uri, registry_builder, tracking_builder
from runlore.integrations.mlflow.tee import tee

GUARD = Guard("MLflow")


def open_tracking_store(store_uri: str, artifact_uri: str | None) -> Any:
    """MLflow's own tracking store, recorded. Only MLflow's own errors are raised."""
    uri = inner_uri(store_uri)
    store = tracking_builder(uri)(store_uri=uri, artifact_uri=artifact_uri)
    GUARD.run(lambda: artifacts.use_inner_uri())
    GUARD.run(lambda: _record_runs(store, uri, (plugin.tracking_store, (store_uri, artifact_uri))))
    return store


def _record_runs(store: Any, uri: str, rebuild: tuple[Any, ...]) -> None:
    runs = recorder.RunRecorder(public_uri(uri), store.get_experiment, entities().RunStatus.to_string)
    tee(store, runs, recorder.RECORDED, GUARD, rebuild)


def open_registry_store(store_uri: str, tracking_uri: str | None) -> Any:
    """MLflow's own model registry, recorded. Only MLflow's own errors are raised."""
    uri = inner_uri(store_uri)
    build = registry_builder(uri)
    options: dict[str, Any] = {"store_uri": uri}
    taken = inspect.signature(build).parameters
    if "tracking_uri" in taken or any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        options["tracking_uri"] = None if tracking_uri is None else inner_uri(tracking_uri)
    store = build(**options)
    GUARD.run(lambda: _record_models(store, uri, (plugin.model_registry_store, (store_uri, tracking_uri))))
    return store


def _record_models(store: Any, uri: str, rebuild: tuple[Any, ...]) -> None:
    found = models.ModelRecorder(public_uri(uri), store.get_model_version_by_alias)
    tee(store, found, models.RECORDED, GUARD, rebuild)
