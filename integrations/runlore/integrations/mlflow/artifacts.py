"""Artifacts behind MLflow's server: their repository wants the server's own address."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from runlore.integrations.mlflow.host import inner_uri

SCHEME = "mlflow-artifacts"
_done: list[bool] = []


def use_inner_uri() -> None:
    """Make ``mlflow-artifacts:`` work while the tracking URI begins with ``runlore+``. Once in a process."""
    if _done:
        return
    registry: Any = import_module("mlflow.store.artifact.artifact_repository_registry")
    tracking: Any = import_module("mlflow.tracking")
    known: Any = registry._artifact_repository_registry
    build = known._registry[SCHEME]

    def repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
        uri = inner_uri(tracking_uri or tracking.get_tracking_uri())
        return build(artifact_uri, tracking_uri=uri, registry_uri=registry_uri)

    known.register(SCHEME, repository)
    _done.append(True)
