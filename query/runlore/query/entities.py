"""The kinds of entities: artifact and model versions, runs and steps; any other kind works like an artifact."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from runlore.query import timeline
from runlore.query.entity import Entity
from runlore.query.entries import Entry, MissingKeyError, entries
from runlore.query.leaves import Cells, step_keys
from runlore.query.moments import Moment
from runlore.schemas.cells import to_cell
from runlore.schemas.names import exact_text
from runlore.schemas.paths import PathParts, format_path, parse_path

if TYPE_CHECKING:
    from runlore.query.lookup import Lookup

__all__ = ["ArtifactVersion", "Entity", "ModelVersion", "PipelineRun", "StepRun", "entity_class"]


class ArtifactVersion(Entity):
    """One version of an artifact, or of any other kind with names and versions."""

    @property
    def data_type(self) -> str | None:
        """The Python type of the value, if the step said it."""
        return self.fields.get("data_type")

    @property
    def is_model_artifact(self) -> bool:
        return bool(self.fields.get("is_model_artifact"))

    @property
    def produced_by(self) -> str | None:
        """Reference of the step that made it."""
        return self.fields.get("produced_by")

    @property
    def producer(self) -> StepRun | None:
        """The step that made it, the last one if several say so; None when no step did."""
        named, makers = self.produced_by, cast("list[StepRun]", self._linking(("produced",)))
        # Not the last of the makers: they come in the order in which each said so first.
        return next((maker for maker in makers if maker.reference == named), None)

    @property
    def consumers(self) -> list[StepRun]:
        """Steps that consumed it, in the order in which it was said."""
        return cast("list[StepRun]", self._linking(("consumed",)))


class ModelVersion(Entity):
    """One version of a model."""

    @property
    def stage(self) -> str | None:
        return self.fields.get("stage")

    @property
    def run(self) -> str | None:
        """ID of the run that made it."""
        return self.fields.get("run")

    @property
    def runs(self) -> list[PipelineRun]:
        """Runs that made or used it, in the order in which it was said."""
        return cast("list[PipelineRun]", self._linking(("made", "used")))


class _Ran(Entity):
    """What runs and steps have in common."""

    @property
    def status(self) -> str | None:
        """``running``, ``completed``, ``failed``; None when the log never said that it started."""
        return self.fields.get("status")

    @property
    def started_at(self) -> dt.datetime | None:
        return self.fields.get("started_at")

    @property
    def finished_at(self) -> dt.datetime | None:
        return self.fields.get("finished_at")

    @property
    def error(self) -> str | None:
        """Type and message of what failed it."""
        fields = self.fields
        if "error_type" not in fields:
            return None
        return f"{fields['error_type']}: {fields.get('error_message', '')}"

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fields.get("parameters", {})
        return found

    def parameter_cells(self) -> Cells:
        return {format_path(("parameters", name)): to_cell(value)[:2] for name, value in self.parameters.items()}


class StepRun(_Ran):
    """One step of a run."""

    @property
    def run(self) -> str:
        """ID of its run."""
        return self._run

    @property
    def outputs(self) -> list[Entity]:
        """Artifact versions it produced."""
        return self._linked("produced")

    @property
    def inputs(self) -> list[Entity]:
        """Artifact versions it consumed."""
        return self._linked("consumed")


class Steps(Mapping[str, StepRun]):
    """The steps of a run by name, in the order in which the log named them."""

    def __init__(self, steps: list[StepRun], run: str) -> None:
        self._steps, self._run = {step.name: step for step in steps}, run

    def __getitem__(self, name: str) -> StepRun:
        name = exact_text(name)
        if name not in self._steps:
            near = difflib.get_close_matches(name, self._steps, 3) or list(self._steps)
            raise MissingKeyError(f"run {self._run} has no step {name!r}; it has {', '.join(near) or 'none'}")
        return self._steps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"Steps({list(self._steps)})"


class PipelineRun(_Ran):
    """One run of a pipeline; its `name` is the name of the run, its `id` the run's ID."""

    def __init__(self, client: Lookup, row: tuple[Any, ...], moment: Moment) -> None:
        super().__init__(client, row, moment)
        self.id: str = row[4]
        self.name = self.fields.get("name") or self.id

    @property
    def pipeline(self) -> str | None:
        return self.fields.get("pipeline")

    @property
    def steps(self) -> Steps:
        return Steps(self._client.steps_of(self.project, self.id, self.moment), self.id)

    @property
    def models(self) -> list[Entity]:
        """Model versions the run made or used."""
        return [*self._linked("made"), *self._linked("used")]

    def _entries(self) -> dict[str, Entry]:
        """Its own keys, and those of its steps as ``step::key`` where it has none of that name; all of one position."""
        reader = self._client.reader
        with reader.read():
            found: dict[str, Entry] = {}
            for prefix, entity in self._parts():
                own = entries(reader, entity._id, self.moment, prefix)
                found |= {key: entry for key, entry in own.items() if key not in found}
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        return {key: entry.value for key, entry in self._entries().items()}

    def _parts(self) -> list[tuple[str, Entity]]:
        return [("", self), *((f"{name}::", step) for name, step in self.steps.items())]

    def _holder(self, key: str | PathParts) -> tuple[Entity, str | PathParts]:
        """Of the run itself and its steps the first that holds ``step::key``, as `metadata` shows it.

        Where none does, the first that ever did, else the step: it may have a field of that name.
        """
        # A path begins with a quote where the key has odd characters, a dot for one: then the cut is inside the quotes.
        parts = parse_path(key) if isinstance(key, str) and key.startswith('"') else key
        text = parts if isinstance(parts, str) else next(iter(parts), "")
        if "::" not in text:
            return self, key
        steps = self.steps
        meant: list[tuple[Entity, str | PathParts]] = [
            (steps[name], rest if isinstance(parts, str) else (rest, *parts[1:]))
            for name, rest in step_keys(text)
            if name in steps
        ]
        if not meant:
            return self, key
        # `metadata` takes the step first that the log named first, not the one with the shortest name.
        places = [(self, key), *sorted(meant, key=lambda found: found[0].place)]
        held = (found for found in places if found[0].holds(found[1]))
        logged = (found for found in places if timeline.was_logged(self._client.reader, found[0]._id, found[1]))
        return next(held, None) or next(logged, meant[-1])


KINDS: dict[str, type[Entity]] = {
    "model": ModelVersion,
    "run": PipelineRun,
    "step": StepRun,
    "pipeline": Entity,
}


def entity_class(kind: str) -> type[Entity]:
    """The class of a kind; every kind without one of its own works like artifact."""
    return KINDS.get(kind, ArtifactVersion)
