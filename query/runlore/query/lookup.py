"""Finding one entity: by reference, version, stage, or the many names of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from runlore.query.core import ClientCore
from runlore.query.entities import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun, entity_class
from runlore.query.filters.conditions import INDEXED, SHORT
from runlore.query.moments import NOW, AsOf, Moment
from runlore.schemas.errors import AmbiguousError, NotFoundError
from runlore.schemas.names import check_version, exact_text
from runlore.schemas.references import EntityRef, parse_ref

UNVERSIONED = ("run", "step", "pipeline")
COLUMNS = (
    "entities.entity_id, entities.project, entities.kind, entities.run, entities.name, entities.version,"
    " entities.reference, entities.created_position"
)
"""The row that an entity is made from."""


def _selector(version: Any) -> str | None:
    """A version as text, by the rules of `log_*`; which texts are versions is for the view to say."""
    plain = exact_text(version)
    return plain if plain is None or type(plain) is str else check_version(plain)


class Lookup(ClientCore):
    """The part of a client that finds one entity."""

    def get(self, reference: str | EntityRef, as_of: AsOf | None = None) -> Entity:
        """The entity of a reference; without a version, the latest. Raises NotFoundError."""
        return self.at(reference, self.moment if as_of is None else self.moment_of(as_of))

    def at(self, reference: str | EntityRef, moment: Moment) -> Entity:
        """The entity that a reference meant at a moment. Raises NotFoundError."""
        ref = parse_ref(reference)
        if ref.kind in UNVERSIONED:
            return self._found(ref.kind, ref.run or "", ref.name, "", moment)
        return self._version(ref.kind, ref.name, ref.version, moment)

    def get_artifact_version(self, name: str, version: str | int | None = None) -> ArtifactVersion:
        """A version of an artifact; without one, the latest. Raises NotFoundError."""
        found = self._version("artifact", exact_text(name), _selector(version), self.moment)
        return cast(ArtifactVersion, found)

    def get_model_version(self, name: str, version: str | int | None = None) -> ModelVersion:
        """A version of a model: by its name, a stage, or ``latest`` (the default). Raises NotFoundError."""
        found = self._version("model", exact_text(name), _selector(version), self.moment)
        return cast(ModelVersion, found)

    def get_pipeline_run(self, name_id_or_prefix: str | None = None) -> PipelineRun:
        """A run by ID, name, pipeline (its last run) or unique prefix of an ID; without one, the last run.

        Raises NotFoundError, or AmbiguousError listing what fits.
        """
        with self.reader.read():
            wanted = exact_text(name_id_or_prefix)
            return cast(PipelineRun, self._last_run() if wanted is None else self._run(wanted))

    def first_version(self, kind: str, name: str) -> int | None:
        """The position at which the log named the first version, whatever the moment; None if it never did."""
        row = self.reader.one(
            "SELECT min(created_position) FROM entities"
            " WHERE project = ? AND kind = ? AND run = '' AND name = ? AND version != ''",
            (self.project, kind, name),
        )
        return None if row is None else row[0]

    def _last_run(self) -> Entity:
        known, values = self.moment.knows()
        row = self.reader.one(
            f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = 'run' AND {known}"
            " ORDER BY created_position DESC, entity_id DESC LIMIT 1",
            (self.project, *values),
        )
        if row is None:
            raise NotFoundError(f"project {self.project!r} has no runs")
        return self.entity(row, self.moment)

    def _run(self, wanted: str) -> Entity:
        row = self._row("run", "", wanted, "", self.moment)
        if row is not None:
            return self.entity(row, self.moment)
        pipeline = self._row("pipeline", "", wanted, "", self.moment)
        if pipeline is not None:
            last = self.entity(pipeline, self.moment).fields.get("last_run")
            if last is not None:
                return self._found("run", "", last, "", self.moment)
        rows = self._runs_named(wanted) or self._runs_starting_with(wanted)
        if not rows:
            raise NotFoundError(f"no run, pipeline or run ID prefix {wanted!r} in project {self.project!r}")
        if len(rows) > 1:
            raise AmbiguousError(f"{wanted!r} fits several runs: {', '.join(row[4] for row in rows)}")
        return self.entity(rows[0], self.moment)

    def _runs_named(self, name: str) -> list[tuple[Any, ...]]:
        """Runs that go by a name at the moment: of those that ever had it, the ones whose last name it is."""
        known, values = self.moment.knows()
        seen, more = self.moment.sees("n.position")
        # The index on values holds short ones; who has a longer name is looked for among the runs.
        short = len(name) <= INDEXED
        tables = ("history h", "entities") if short else ("entities", "history h")
        return self.reader.rows(
            f"SELECT {COLUMNS} FROM {' CROSS JOIN '.join(tables)} WHERE h.entity_id = entities.entity_id"
            " AND project = ? AND kind = 'run' AND h.value = ? AND h.path_id ="
            " (SELECT path_id FROM paths WHERE scope = 'field' AND key = 'name')"
            f" AND {SHORT if short else 1} AND {known} AND h.position = (SELECT max(n.position) FROM history n"
            f" WHERE n.entity_id = h.entity_id AND n.path_id = h.path_id AND {seen}) LIMIT 6",
            (self.project, name, *values, *more),
        )

    def _runs_starting_with(self, prefix: str) -> list[tuple[Any, ...]]:
        known, values = self.moment.knows()
        return self.reader.rows(
            f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = 'run' AND run = ''"
            f" AND name >= ? AND substr(name, 1, ?) = ? AND {known} LIMIT 6",
            (self.project, prefix, len(prefix), prefix, *values),
        )

    def _version(self, kind: str, name: str, version: str | None, moment: Moment) -> Entity:
        with self.reader.read():
            if version is not None and version != "latest":
                row = self._row(kind, "", name, version, moment)
                if row is not None:
                    return self.entity(row, moment)
            group = self._row(kind, "", name, "", NOW if moment.occurred_us is not None else moment)
            if group is None:
                raise NotFoundError(f"no {kind} named {name!r} in project {self.project!r}")
            if version in (None, "latest") and moment.occurred_us is not None:
                return self._highest(kind, name, moment)
            fields = Entity(self, group, moment).fields
            selected = fields.get("latest") if version in (None, "latest") else fields.get(f"stage:{version}")
            if selected is None:
                raise NotFoundError(f"{kind} {name!r} has no version or stage {version!r}")
            return self._found(kind, "", name, selected, moment)

    def _highest(self, kind: str, name: str, moment: Moment) -> Entity:
        """The highest version mentioned by then; the field `latest` is kept in the order of the log."""
        known, values = moment.knows()
        row = self.reader.one(
            f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = ? AND run = '' AND name = ?"
            f" AND version != '' AND {known} ORDER BY version_number DESC, entity_id DESC LIMIT 1",
            (self.project, kind, name, *values),
        )
        if row is None:
            raise NotFoundError(f"no {kind} named {name!r} had been mentioned by then in project {self.project!r}")
        return self.entity(row, moment)

    def _found(self, kind: str, run: str, name: str, version: str, moment: Moment) -> Entity:
        row = self._row(kind, run, name, version, moment)
        if row is None:
            of = f" of run {run}" if run else ""
            raise NotFoundError(f"no {kind} {name!r}{of} in project {self.project!r}")
        return self.entity(row, moment)

    def _row(self, kind: str, run: str, name: str, version: str, moment: Moment) -> tuple[Any, ...] | None:
        known, values = moment.knows()
        return self.reader.one(
            f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ? AND version = ?"
            f" AND {known}",
            (self.project, kind, run, name, version, *values),
        )

    def entity(self, row: tuple[Any, ...], moment: Moment) -> Entity:
        """The entity of a row of `COLUMNS`."""
        return entity_class(row[2])(self, row, moment)

    def entities_of(self, ids: Sequence[int], moment: Moment) -> list[Entity]:
        """The entities of the view's IDs, in that order."""
        rows = self.reader.rows(
            f"SELECT {COLUMNS} FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))", (str(list(ids)),)
        )
        by_id = {row[0]: row for row in rows}
        return [self.entity(by_id[entity_id], moment) for entity_id in ids]

    # -- what an entity leads to ---------------------------------------------------------------------

    def steps_of(self, project: str, run: str, moment: Moment) -> list[StepRun]:
        """The steps of a run, in the order in which the log named them."""
        known, values = moment.knows()
        rows = self.reader.rows(
            f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = 'step' AND run = ?"
            f" AND {known} ORDER BY entity_id",
            (project, run, *values),
        )
        return [StepRun(self, row, moment) for row in rows]

    def linked(self, entity_id: int, relation: str, moment: Moment) -> list[Entity]:
        """Entities that another relates to, in the order in which it was said."""
        said, values = moment.sees("links.position")
        rows = self.reader.rows(
            f"SELECT {COLUMNS} FROM links JOIN entities ON entity_id = target_id"
            f" WHERE source_id = ? AND relation = ? AND {said} GROUP BY entity_id ORDER BY min(position)",
            (entity_id, relation, *values),
        )
        return [self.entity(row, moment) for row in rows]
