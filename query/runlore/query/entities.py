"""Entities as the query library gives them: artifact and model versions, runs, steps, and any other kind."""

from __future__ import annotations

import datetime as dt
import difflib
import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runlore.query import entries as stored
from runlore.query.entries import Entry, Metadata
from runlore.query.histories import History
from runlore.schemas.cells import readable
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.paths import PathParts

if TYPE_CHECKING:
    from runlore.query.client import Client

AsOf = int | dt.datetime


class Entity:
    """One thing metadata is about, as of one position (`position`), read when asked for."""

    def __init__(self, client: Client, row: tuple[Any, ...], as_of: int | None) -> None:
        self._client, self._as_of = client, as_of
        self._id: int = row[0]
        self.project: str = row[1]
        self.kind: str = row[2]
        self._run: str = row[3]
        self.name: str = row[4]
        self.version: str | None = row[5] or None
        self.reference: str = row[6]
        self.created_position: int = row[7]

    @property
    def created(self) -> dt.datetime | None:
        """When the log first named it (server time, UTC)."""
        row = self._client.reader.one("SELECT recorded_us FROM events WHERE position = ?", (self.created_position,))
        return stored.utc(row[0]) if row else None

    @property
    def position(self) -> int:
        """What is read here is complete up to this position."""
        head = self._client.position
        return head if self._as_of is None else min(head, self._as_of)

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in listings: position of creation, and order within one event."""
        return self.created_position, self._id

    @property
    def run_metadata(self) -> Metadata:
        """The current entry of every key; a group is one entry whose value is a dict."""
        return Metadata(self._entries(), self.reference)

    def _entries(self) -> dict[str, Entry]:
        return stored.entries(self._client.reader, self._id, self._as_of)

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values by key."""
        return stored.assemble(stored.leaves(self._client.reader, self._id, "metadata", self._as_of))

    @property
    def fields(self) -> dict[str, Any]:
        """What Runlore knows of the entity itself, for example ``status`` or ``stage``."""
        found = stored.leaves(self._client.reader, self._id, "field", self._as_of)
        return {leaf.parts[0]: leaf.value for leaf in found}

    def history(self, key: str | PathParts, limit: int | None = None, since: AsOf | None = None) -> History:
        """All entries of a key, group or leaf (``"metrics.loss"``), oldest first; the newest `limit` of them.

        `since`: only what the log recorded at that position or time, or later.

        An entry that ended has type ``removed`` or ``retracted`` and value None.
        Raises NotFoundError when it was never logged here.
        """
        if limit is not None and limit < 1:
            raise InvalidReferenceError(f"limit is 1 or more, or None for all, not {limit}")
        first = self._first(since)
        return History(stored.history(self._client.reader, self._id, key, limit, self._as_of, first))

    def _first(self, since: AsOf | None) -> int:
        if since is None or isinstance(since, int):
            return since or 0
        return self._client.position_at(since - dt.timedelta(microseconds=1)) + 1

    def field_history(self, name: str) -> History:
        """All entries of a field such as ``status`` or ``stage``, oldest first; none if it never had one."""
        return History(stored.field_history(self._client.reader, self._id, name, self._as_of))

    def as_of(self, when: AsOf) -> Entity:
        """The same entity as the log knew it at a position or (recorded) time.

        Raises NotFoundError when the log had not named it by then.
        """
        position = self._client.position_at(when)
        if position < self.created_position:
            raise NotFoundError(f"{self.reference} is first named at position {self.created_position}")
        return self._client.get(self.reference, as_of=position)

    @property
    def notes(self) -> History:
        """All notes, oldest first."""
        return self.field_history("note")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entity) and (self.project, self.reference, self._as_of) == (
            other.project,
            other.reference,
            other._as_of,
        )

    def __hash__(self) -> int:
        return hash((self.project, self.reference, self._as_of))

    def __repr__(self) -> str:
        at = "" if self._as_of is None else f" as of {self._as_of}"
        return f"<{self.reference}{at}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th><td>{html.escape(readable(entry.value))}</td>"
            f"<td>{html.escape(entry.type)}</td><td>{entry.position}</td></tr>"
            for key, entry in self.run_metadata.items()
        )
        head = "<tr><th>key</th><th>value</th><th>type</th><th>position</th></tr>"
        return f"<b>{html.escape(self.reference)}</b><table>{head}{rows}</table>"


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


class ModelVersion(Entity):
    """One version of a model."""

    @property
    def stage(self) -> str | None:
        return self.fields.get("stage")

    @property
    def run(self) -> str | None:
        """ID of the run that made it."""
        return self.fields.get("run")


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

    def _linked(self, relation: str) -> list[Entity]:
        return self._client.linked(self._id, relation, self._as_of)


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
        if name not in self._steps:
            near = difflib.get_close_matches(name, self._steps, 3) or list(self._steps)
            raise stored.MissingKeyError(f"run {self._run} has no step {name!r}; it has {', '.join(near) or 'none'}")
        return self._steps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"Steps({list(self._steps)})"


class PipelineRun(_Ran):
    """One run of a pipeline; its `name` is the name of the run, its `id` the run's ID."""

    def __init__(self, client: Client, row: tuple[Any, ...], as_of: int | None) -> None:
        super().__init__(client, row, as_of)
        self.id: str = row[4]
        self.name = self.fields.get("name") or self.id

    @property
    def pipeline(self) -> str | None:
        return self.fields.get("pipeline")

    @property
    def steps(self) -> Steps:
        return Steps(self._client.steps_of(self.project, self.id, self._as_of), self.id)

    @property
    def models(self) -> list[Entity]:
        """Model versions the run made or used."""
        return [*self._linked("made"), *self._linked("used")]

    def _entries(self) -> dict[str, Entry]:
        """Its own keys, and those of its steps as ``step::key``, all of one position."""
        with self._client.reader.read():
            found = super()._entries()
            for name, step in self.steps.items():
                found |= stored.entries(self._client.reader, step._id, self._as_of, f"{name}::")
        return found

    def history(self, key: str | PathParts, limit: int | None = None, since: AsOf | None = None) -> History:
        """As for every entity; ``step::key`` reads the step's own."""
        text = key if isinstance(key, str) else next(iter(key), "")
        step, found, rest = text.partition("::")
        try:
            return super().history(key, limit, since)
        except NotFoundError:
            if not found or step not in self.steps:
                raise
        return self.steps[step].history(rest if isinstance(key, str) else (rest, *key[1:]), limit, since)

    @property
    def metadata(self) -> dict[str, Any]:
        return {key: entry.value for key, entry in self._entries().items()}


KINDS: dict[str, type[Entity]] = {
    "model": ModelVersion,
    "run": PipelineRun,
    "step": StepRun,
    "pipeline": Entity,
}


def entity_class(kind: str) -> type[Entity]:
    """The class of a kind; every kind without one of its own works like artifact."""
    return KINDS.get(kind, ArtifactVersion)
