"""The kinds of entities: artifact and model versions, runs and steps; any other kind works like an artifact."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from runlore.query import entity_rows
from runlore.query.entity import Entity
from runlore.query.entity_rows import EntityRow
from runlore.query.entries import MissingKeyError, plain_values
from runlore.query.history import was_logged
from runlore.query.scope import Scope
from runlore.query.view.leaves import Cells, field_of_many, step_keys
from runlore.schemas.names import exact_text
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.store.cells import readable, to_cell


class ArtifactVersion(Entity, kind=""):
    """One version of an artifact, or of any other kind with names and versions."""

    @property
    def data_type(self) -> str | None:
        """The Python type of the value, if it was recorded."""
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
        named, makers = self.produced_by, cast("list[StepRun]", self._sources("produced"))
        # Not the last of the makers: they come in the order in which each said so first.
        return next((maker for maker in makers if maker.reference == named), None)

    @property
    def consumers(self) -> list[StepRun]:
        """Steps that consumed it, in log order."""
        return cast("list[StepRun]", self._sources("consumed"))


class ModelVersion(Entity, kind="model"):
    """One version of a model."""

    @property
    def stage(self) -> str | None:
        return self.fields.get("stage")

    @property
    def run(self) -> str | None:
        """ID of the run that made it."""
        return self.fields.get("run")

    @property
    def left_empty_by(self) -> str | None:
        """ID of the failed run that left it without metadata: then it is the latest only where there is no other."""
        return self.fields.get("left_empty_by")

    @property
    def runs(self) -> list[PipelineRun]:
        """Runs that made or used it, in log order."""
        return cast("list[PipelineRun]", self._sources("made", "used"))


class _Ran(Entity):
    """Base of runs and steps."""

    @property
    def status(self) -> str | None:
        """``running``, ``completed``, ``failed``, ``killed``; None if no event says that it started."""
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
        return f"{fields['error_type']}: {readable(fields.get('error_message', ''))}"

    @property
    def attempt(self) -> int:
        """1, or more where it was started again, or tried after another that failed."""
        found: int = self.fields.get("attempt", 1)
        return found

    @property
    def retry_of(self) -> str | None:
        """Reference of the run or step that failed and was tried again with this one."""
        return self.fields.get("retry_of")

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fields.get("parameters", {})
        return found

    def parameter_cells(self) -> Cells:
        return {format_path(("parameters", name)): to_cell(value)[:2] for name, value in self.parameters.items()}


class StepRun(_Ran, kind="step"):
    """One step of a run."""

    @property
    def run(self) -> str:
        """ID of its run."""
        return self._run

    @property
    def outputs(self) -> list[Entity]:
        """Artifact versions it produced."""
        return self._targets("produced")

    @property
    def inputs(self) -> list[Entity]:
        """Artifact versions it consumed."""
        return self._targets("consumed")


class Steps(Mapping[str, StepRun]):
    """The steps of a run by name, in the order in which the log named them."""

    def __init__(self, steps: list[StepRun], run: str) -> None:
        self._steps, self._run = {step.name: step for step in steps}, run

    def __getitem__(self, name: str) -> StepRun:
        name = exact_text(name)
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


class PipelineRun(_Ran, kind="run"):
    """One run of a pipeline; its `name` is the name of the run, its `id` the run's ID."""

    def __init__(self, scope: Scope, row: EntityRow) -> None:
        super().__init__(scope, row)
        self.id: str = row[4]
        self._read_name: str | None = None

    @property
    def name(self) -> str:
        """The name that it goes by, else its ID; read once."""
        if self._read_name is None:
            read_names([self])
        return self._read_name or self.id

    @property
    def pipeline(self) -> str | None:
        return self.fields.get("pipeline")

    @property
    def parent(self) -> str | None:
        """Reference of the run that this one is a part of."""
        return self.fields.get("parent")

    @property
    def group(self) -> str | None:
        """What it is listed with: an experiment, a study."""
        return self.fields.get("group")

    @property
    def environment(self) -> dict[str, Any]:
        """What it was started in: git, command, Python, machine, packages; empty where that was not recorded."""
        found: dict[str, Any] = self.fields.get("environment", {})
        return found

    @property
    def steps(self) -> Steps:
        rows = entity_rows.steps_of(self.scope, self.id)
        return Steps([StepRun(self.scope, row) for row in rows], self.id)

    @property
    def models(self) -> list[Entity]:
        """Model versions the run made or used."""
        return [*self._targets("made"), *self._targets("used")]

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values by key: its own, and those of its steps as ``step::key``."""
        with self.scope.reader.read():
            return plain_values(self.scope.reader, self._numbered_parts(), self.moment)

    def parts(self) -> list[tuple[str, Entity]]:
        return [("", self), *((f"{name}::", step) for name, step in self.steps.items())]

    def holder(self, key: str | PathParts) -> tuple[Entity, str | PathParts]:
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
        logged = (found for found in places if was_logged(self.scope.reader, found[0].entity_id, found[1]))
        return next(held, None) or next(logged, meant[-1])


def read_names(runs: Sequence[PipelineRun]) -> None:
    """Read the names of runs of one scope at once, for lists that show them."""
    if runs:
        scope = runs[0].scope
        names = field_of_many(scope.reader, [run.entity_id for run in runs], "name", scope.moment)
        for run in runs:
            run._read_name = str(names.get(run.entity_id) or run.id)  # pyright: ignore[reportPrivateUsage] -- own


class Pipeline(Entity, kind="pipeline"):
    """A pipeline, by its name."""
