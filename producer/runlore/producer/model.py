"""What pipelines and steps declare: models and artifacts."""

from __future__ import annotations

import msgspec

from runlore.schemas.references import EntityRef, check_name


class Model(msgspec.Struct, frozen=True):
    """The model that a pipeline or step is about. Without a version, one new version per run.

    `version` may be a version's name or a stage.
    """

    name: str
    version: str | None = None

    def ref(self) -> EntityRef:
        """Raises InvalidReferenceError."""
        check_name("model name", self.name)
        if self.version is not None:
            check_name("model version", self.version)
        return EntityRef("model", self.name, self.version)


class ArtifactConfig(msgspec.Struct, frozen=True):
    """How a step's output is stored: ``Annotated[DataFrame, ArtifactConfig(name="cleaned")]``."""

    name: str | None = None
    version: str | None = None
    is_model_artifact: bool = False
