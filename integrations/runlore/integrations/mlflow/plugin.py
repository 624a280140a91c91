"""What MLflow loads through entry points, while it is half imported itself: each function imports late."""

from __future__ import annotations

from typing import Any


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the tracking store of ``runlore+<URI>``: MLflow's own for <URI>, recorded."""
    from runlore.integrations.mlflow.opening import open_tracking_store

    return open_tracking_store(store_uri, artifact_uri)


def model_registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return the model registry of ``runlore+<URI>``: MLflow's own for <URI>, recorded."""
    from runlore.integrations.mlflow.opening import open_registry_store

    return open_registry_store(store_uri, tracking_uri)
