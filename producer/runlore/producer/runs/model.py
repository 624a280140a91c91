"""Declarations of pipelines and steps: models and artifacts."""

from __future__ import annotations

import msgspec

from runlore.schemas.references import EntityRef, checked_ref


class Model(msgspec.Struct, frozen=True):
    """The model that a pipeline or step is about. Without a version, one new version per run.

    `version` may be a version's name or a stage.
    """

    name: str
    version: str | int | None = None

    def ref(self) -> EntityRef:
        """Raises InvalidReferenceError."""
        return checked_ref("model", self.name, self.version)


class ArtifactConfig(msgspec.Struct, frozen=True):
    """Configuration of a step's output: ``Annotated[DataFrame, ArtifactConfig(name="cleaned")]``."""

    name: str | None = None
    version: str | int | None = None
    is_model_artifact: bool = False
