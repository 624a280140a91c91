"""MLflow as this adapter sees it: the shapes of its entities, and its modules, imported when they are used.

MLflow is no dependency, so nothing here may import it at the top.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

PREFIX = "runlore+"
_SERVER = "_MLFLOW_SERVER_FILE_STORE"
"""Set by MLflow in the processes of its server."""


class Metric(Protocol):
    """A number at a step and a time (milliseconds since 1970)."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def step(self) -> int: ...


class KeyValue(Protocol):
    """A parameter or a tag."""

    key: str
    value: str


class RunInfo(Protocol):
    """Who, where and when of a run."""

    run_id: str
    run_name: str | None
    experiment_id: str
    status: str
    start_time: int | None
    end_time: int | None
    artifact_uri: str | None
    lifecycle_stage: str


class RunData(Protocol):
    """Parameters and tags by key, and the last value of each metric."""

    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Run(Protocol):
    """A run as MLflow returns it."""

    info: RunInfo
    data: RunData


class Experiment(Protocol):
    """An experiment."""

    experiment_id: str
    name: str


class RegisteredVersion(Protocol):
    """A version of a registered model."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None
    source: str | None
    run_id: str | None
    current_stage: str | None
    tags: Mapping[str, str]


class RegisteredModel(Protocol):
    """A registered model; its aliases, each with a version."""

    name: str
    aliases: Mapping[str, str]


def inner_uri(uri: str) -> str:
    """Return the URI of MLflow's own store."""
    return uri.removeprefix(PREFIX)


def public_uri(uri: str) -> str:
    """Return a URI without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def tracking_builder(uri: str) -> Any:
    """Return what builds MLflow's own tracking store for a URI."""
    utils: Any = import_module("mlflow.tracking._tracking_service.utils")
    return utils._tracking_store_registry.get_store_builder(uri)


def registry_builder(uri: str) -> Any:
    """Return what builds MLflow's own model registry for a URI."""
    utils: Any = import_module("mlflow.tracking._model_registry.utils")
    return utils._get_store_registry().get_store_builder(uri)


def entities() -> Any:
    """Return ``mlflow.entities``."""
    return import_module("mlflow.entities")


def is_server() -> bool:
    """True in a process of ``mlflow server``, whose code and packages are not those of the runs."""
    return _SERVER in os.environ


def refusal(message: str) -> Exception:
    """MLflow's own error for a call that is wrong."""
    exceptions: Any = import_module("mlflow.exceptions")
    error: Exception = exceptions.MlflowException.invalid_parameter_value(message)
    return error
