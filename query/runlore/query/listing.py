"""Listing entities, newest first, in pages."""

from __future__ import annotations

from typing import Any, cast

from runlore.query.entities import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.query.lookup import COLUMNS, UNVERSIONED, Lookup
from runlore.query.moments import asked_position, check_limit
from runlore.schemas.names import exact_text

Before = Entity | int | None
PAGE = 200


class Listing(Lookup):
    """The part of a client that lists."""

    def list_entities(
        self, kind: str, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[Entity]:
        """Entities of a kind (versions, where it has them), newest first.

        `before`: the last entity of a page, for the page after it; or a position, for what was created before it.
        """
        check_limit(limit)
        known, seen = self.moment.knows()
        conditions, values = ["project = ?", "kind = ?", known], list[Any]([self.project, kind, *seen])
        if before is not None:
            # One event can name many entities, so a position alone cannot say where a page ended.
            conditions.append("(created_position, entity_id) < (?, ?)")
            values += before.place if isinstance(before, Entity) else (asked_position(before), 0)
        if kind not in UNVERSIONED:
            conditions.append("version != ''")
        if name is not None:
            conditions.append("name = ?")
            values.append(exact_text(name))
            if kind not in UNVERSIONED:
                conditions.append("run = ''")  # true anyway; with it the index by name serves, however many others
        rows = self.reader.rows(
            f"SELECT {COLUMNS} FROM entities WHERE {' AND '.join(conditions)}"
            " ORDER BY created_position DESC, entity_id DESC LIMIT ?",
            (*values, limit),
        )
        return [self.entity(row, self.moment) for row in rows]

    def list_artifact_versions(
        self, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[ArtifactVersion]:
        return cast(list[ArtifactVersion], self.list_entities("artifact", name, limit, before))

    def list_model_versions(
        self, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[ModelVersion]:
        return cast(list[ModelVersion], self.list_entities("model", name, limit, before))

    def list_steps(self, limit: int = 100, before: Before = None) -> list[StepRun]:
        return cast(list[StepRun], self.list_entities("step", None, limit, before))

    def list_pipeline_runs(
        self,
        pipeline: str | None = None,
        status: str | None = None,
        limit: int = 100,
        before: Before = None,
    ) -> list[PipelineRun]:
        """Runs, newest first; of one pipeline or with one status, if given."""
        check_limit(limit)
        found: list[PipelineRun] = []
        with self.reader.read():
            while len(found) < limit:
                page = cast(list[PipelineRun], self.list_entities("run", None, PAGE, before))
                found += [
                    run
                    for run in page
                    if (pipeline is None or run.pipeline == pipeline) and (status is None or run.status == status)
                ]
                if len(page) < PAGE:
                    break
                before = page[-1]
        return found[:limit]

    def list_kinds(self) -> dict[str, int]:
        """The kinds of entities in the project and how many there are of each."""
        known, values = self.moment.knows()
        rows = self.reader.rows(
            f"SELECT kind, count(*) FROM entities WHERE project = ? AND {known}"
            " AND (version != '' OR kind IN ('run', 'step', 'pipeline')) GROUP BY kind ORDER BY kind",
            (self.project, *values),
        )
        return dict(rows)
