"""The order *first*: runs go to Runlore's outbox at once, and to MLflow when it can take them.

Experiments and runs need no server: no call on them goes over the network. Everything else (searches, registered
models, traces) is MLflow's own and asks it, as with the order *tee*; so do runs that were not made here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from runlore.integrations.guard import Guard
from runlore.integrations.mlflow.host import KeyValue, Metric, entities
from runlore.integrations.mlflow.local_runs import LocalRuns, now
from runlore.integrations.mlflow.recorder import RunRecorder


class FirstStore:
    """The methods of MLflow's tracking store that are answered here; `store_class` adds all others."""

    _own: tuple[LocalRuns, RunRecorder, Guard, Callable[[], Any], Callable[[str], None]]

    @cached_property
    def inner(self) -> Any:
        """MLflow's own store, recorded; opened when it is needed, as that may take a server."""
        return self._own[3]()

    def _record(self, record: Callable[..., None], *told: Any) -> None:
        self._own[2].run(lambda: record(*told))

    # -- experiments ---------------------------------------------------------------------------------

    def get_experiment(self, experiment_id: str) -> Any:
        runs, experiment_id = self._own[0], str(experiment_id)
        known = runs.experiment_by_id(experiment_id)
        return known or runs.remember(experiment_id, self.inner.get_experiment(experiment_id).name)

    def get_experiment_by_name(self, experiment_name: str) -> Any:
        return self._own[0].experiment(experiment_name)

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        experiment_id: str = self._own[0].experiment(name).experiment_id
        return experiment_id

    # -- runs ----------------------------------------------------------------------------------------

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int | None, tags: Sequence[KeyValue], run_name: str | None
    ) -> Any:
        runs, recorder, _, _, created = self._own
        own = {tag.key: tag.value for tag in tags or ()}
        local = runs.create(str(experiment_id), user_id, start_time, own, run_name)
        run = local.run()
        self._record(recorder.create_run, run)
        created(run.info.run_id)
        return run

    def get_run(self, run_id: str) -> Any:
        local = self._own[0].find(run_id)
        return self.inner.get_run(run_id) if local is None else local.run()

    def update_run_info(self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None) -> Any:
        runs, recorder = self._own[:2]
        local = runs.find(run_id)
        if local is None:
            return self.inner.update_run_info(run_id, run_status, end_time, run_name)
        if run_status is not None:
            local.fields.update(status=entities().RunStatus.to_string(run_status), end_time=end_time)
        if run_name:
            local.fields["run_name"] = run_name
        runs.save(local)
        self._record(recorder.update_run_info, local.info(), run_id, run_status, end_time, run_name)
        return local.info()

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[KeyValue], tags: Sequence[KeyValue]
    ) -> None:
        runs, recorder = self._own[:2]
        local = runs.find(run_id)
        if local is None:
            self.inner.log_batch(run_id, metrics, params, tags)
            return
        local.take(metrics, params, tags)
        self._record(recorder.log_batch, None, run_id, metrics, params, tags)

    def log_batch_async(self, run_id: str, metrics: Any, params: Any, tags: Any) -> Any:
        self.log_batch(run_id, metrics, params, tags)
        operations: Any = import_module("mlflow.utils.async_logging.run_operations")
        return operations.RunOperations(operation_futures=[])

    def log_metric(self, run_id: str, metric: Metric) -> None:
        self.log_batch(run_id, [metric], [], [])

    def log_param(self, run_id: str, param: KeyValue) -> None:
        self.log_batch(run_id, [], [param], [])

    def set_tag(self, run_id: str, tag: KeyValue) -> None:
        self.log_batch(run_id, [], [], [tag])

    def log_metric_async(self, run_id: str, metric: Metric) -> Any:
        return self.log_batch_async(run_id, [metric], [], [])

    def log_param_async(self, run_id: str, param: KeyValue) -> Any:
        return self.log_batch_async(run_id, [], [param], [])

    def set_tag_async(self, run_id: str, tag: KeyValue) -> Any:
        return self.log_batch_async(run_id, [], [], [tag])

    def delete_tag(self, run_id: str, key: str) -> None:
        local = self._own[0].find(run_id)
        if local is None:
            self.inner.delete_tag(run_id, key)
        elif local.tags.pop(key, None) is not None:
            self._record(self._own[1].delete_tag, None, run_id, key)

    def get_metric_history(self, run_id: str, metric_key: str, max_results: Any = None, page_token: Any = None) -> Any:
        local = self._own[0].find(run_id)
        if local is None:
            return self.inner.get_metric_history(run_id, metric_key, max_results, page_token)
        entities_of_store: Any = import_module("mlflow.store.entities")
        return entities_of_store.PagedList(list(local.history.get(metric_key, ())), None)

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        if self._own[0].find(run_id) is None:
            self.inner.log_inputs(run_id, datasets, models)
        else:
            self._record(self._own[1].log_inputs, None, run_id, datasets, models)

    def log_outputs(self, run_id: str, models: Any) -> None:
        if self._own[0].find(run_id) is None:
            self.inner.log_outputs(run_id, models)

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        if self._own[0].find(run_id) is None:
            self.inner.record_logged_model(run_id, mlflow_model)

    # -- models that a run logs: files among its artifacts --------------------------------------------

    @cached_property
    def _models(self) -> dict[str, Any]:
        return {}

    def create_logged_model(
        self, experiment_id: str, name: str | None = None, source_run_id: str | None = None, tags: Any = None,
        params: Any = None, model_type: str | None = None,
    ) -> Any:  # fmt: skip
        runs = self._own[0]
        if source_run_id is None or runs.find(source_run_id) is None:
            return self.inner.create_logged_model(experiment_id, name, source_run_id, tags, params, model_type)
        location = runs.artifacts(source_run_id) / (name or "model")
        model = entities().LoggedModel(
            experiment_id, f"m-{uuid.uuid4().hex}", name or "model", location.as_uri(), now(), now(), model_type,
            source_run_id, entities().LoggedModelStatus.PENDING, None, tags, params,
        )  # fmt: skip
        self._models[model.model_id] = model
        self._record(self._own[1].create_logged_model, model)
        return model

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> Any:
        return self._models.get(model_id) or self.inner.get_logged_model(model_id)

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        if model_id not in self._models:
            return self.inner.finalize_logged_model(model_id, status)
        self._models[model_id].status = status
        return self._models[model_id]

    def set_logged_model_tags(self, model_id: str, tags: Any) -> None:
        if model_id not in self._models:
            self.inner.set_logged_model_tags(model_id, tags)

    def log_logged_model_params(self, model_id: str, params: Any) -> None:
        if model_id not in self._models:
            self.inner.log_logged_model_params(model_id, params)

    # -- nothing waits here, so there is nothing to flush ---------------------------------------------

    def flush_async_logging(self) -> None: ...

    def shut_down_async_logging(self) -> None: ...

    def end_async_logging(self) -> None: ...


def store_class() -> Any:
    """A tracking store for MLflow: what `FirstStore` does not answer, MLflow's own does."""
    base: Any = import_module("mlflow.store.tracking.abstract_store").AbstractStore
    others = [name for name in dir(base) if not name.startswith("_") and not hasattr(FirstStore, name)]
    return type("FirstStore", (FirstStore, base), {name: _passed_on(base, name) for name in others})


def _passed_on(base: Any, name: str) -> Any:
    if not callable(getattr(base, name)):
        return property(lambda self: getattr(self.inner, name))

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.inner, name)(*args, **kwargs)

    return call
