"""Registered models as they are told to MLflow's registry. One method for each of the store's, as in `recorder`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runlore.integrations.mlflow import mapping
from runlore.integrations.mlflow.host import KeyValue, RegisteredVersion
from runlore.integrations.mlflow.mapping import Timed, model_ref
from runlore.integrations.mlflow.recorder import emit
from runlore.schemas import MetadataRetracted, ModelVersionCreated, NoteAdded

IS_PROMPT = "mlflow.prompt.is_prompt"
ALIAS, STAGE = "alias in MLflow", "stage in MLflow"
"""Reasons of stages."""


class ModelRecorder:
    """Records versions, stages and aliases. Prompts, which MLflow keeps as models, are left out."""

    def __init__(self, source: str, by_alias: Callable[[str, str], RegisteredVersion]) -> None:
        self._source = source
        self._by_alias = by_alias
        self._leaving: dict[tuple[str, str], str] = {}

    def create_model_version(self, version: RegisteredVersion, *_: Any, **__: Any) -> None:
        if IS_PROMPT in (version.tags or {}):
            return
        run_id, at = version.run_id or None, mapping.moment(version.creation_timestamp)
        target = model_ref(version.name, version.version)
        emit(Timed(ModelVersionCreated(target), at), run_id)
        emit(Timed(mapping.logged(target, mapping.version_groups(version, self._source)), at), run_id)
        self._note(version)

    def update_model_version(self, version: RegisteredVersion, *_: Any, **__: Any) -> None:
        self._note(version)

    def _note(self, version: RegisteredVersion) -> None:
        text = version.description
        if text and text.strip():
            at = mapping.moment(version.last_updated_timestamp)
            emit(Timed(NoteAdded((model_ref(version.name, version.version),), text), at))

    def transition_model_version_stage(
        self, changed: RegisteredVersion, name: str, version: str, stage: str, archive_existing_versions: bool = False
    ) -> None:
        at = mapping.moment(changed.last_updated_timestamp)
        emit(Timed(mapping.staged(name, version, stage.lower(), STAGE), at))

    def set_registered_model_alias(self, _: None, name: str, alias: str, version: str) -> None:
        emit(Timed(mapping.staged(name, version, alias, ALIAS)))

    def before_delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Look which version it names: afterwards nobody knows."""
        self._leaving[name, alias] = self._by_alias(name, alias).version

    def delete_registered_model_alias(self, _: None, name: str, alias: str) -> None:
        version = self._leaving.pop((name, alias), None)
        if version is not None:
            emit(Timed(mapping.staged(name, version, "none", f"{ALIAS} deleted: {alias}")))

    def set_model_version_tag(self, _: None, name: str, version: str, tag: KeyValue) -> None:
        emit(Timed(mapping.logged(model_ref(name, version), mapping.split_tags({tag.key: tag.value}))))

    def delete_model_version_tag(self, _: None, name: str, version: str, key: str) -> None:
        path = mapping.tag_path(key)
        emit(Timed(MetadataRetracted((model_ref(name, version),), (path,), "the tag was deleted in MLflow")))

    def delete_model_version(self, _: None, name: str, version: str) -> None:
        emit(Timed(mapping.logged(model_ref(name, version), {"mlflow": {"lifecycle_stage": "deleted"}})))


RECORDED = (
    "create_model_version", "update_model_version", "transition_model_version_stage", "set_registered_model_alias",
    "delete_registered_model_alias", "set_model_version_tag", "delete_model_version_tag", "delete_model_version",
)  # fmt: skip
"""Methods of the registry that are recorded."""
