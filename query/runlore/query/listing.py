"""Listing entities, newest first, in pages; each list takes a constant number of statements."""

from __future__ import annotations

from typing import Any, cast

from runlore.query import entity_rows
from runlore.query.entities import PipelineRun, read_names
from runlore.query.entity import Entity, entities_from_rows
from runlore.query.entity_rows import COLUMNS
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW, Moment, check_limit, checked_position
from runlore.schemas.names import exact_text
from runlore.store import stretches
from runlore.store.kinds import is_instance

Before = Entity | int | None


def list_entities(scope: Scope, kind: str, name: str | None, limit: int, before: Before) -> list[Entity]:
    """See `Client.list_entities`."""
    check_limit(limit)
    with scope.reader.read():
        found = entities_from_rows(scope, entity_rows.newest(scope, kind, limit, exact_text(name), _place(before)))
        read_names([run for run in found if isinstance(run, PipelineRun)])
    return found


def list_runs(scope: Scope, pipeline: str | None, status: str | None, limit: int, before: Before) -> list[PipelineRun]:
    """See `Client.list_pipeline_runs`."""
    check_limit(limit)
    known, values = scope.moment.entity_condition()
    conditions, bound = ["project = ?", "kind = 'run'", known], list[Any]([scope.project, *values])
    if (place := _place(before)) is not None:
        conditions.append("(created_position, entity_id) < (?, ?)")
        bound += place
    for field, wanted in (("pipeline", exact_text(pipeline)), ("status", exact_text(status))):
        if wanted is not None:
            test, more = _field_is(field, wanted, scope.moment)
            conditions.append(test)
            bound += more
    with scope.reader.read():
        rows = scope.reader.rows(
            f"SELECT {COLUMNS} FROM entities WHERE {' AND '.join(conditions)}"
            " ORDER BY created_position DESC, entity_id DESC LIMIT ?",
            (*bound, limit),
        )
        found = cast(list[PipelineRun], entities_from_rows(scope, rows))
        read_names(found)
    return found


def _field_is(field: str, wanted: str, moment: Moment) -> tuple[str, tuple[Any, ...]]:
    """SQL that holds where a text field of an entity has a value at a moment, and its values."""
    path = "(SELECT path_id FROM paths WHERE scope = 'field' AND key = ?)"
    if moment == NOW:
        last = "SELECT iif(h.type = 'str', h.value, NULL) FROM heads h WHERE h.entity_id = entities.entity_id"
        return f"({last} AND h.path_id = {path}) = ?", (field, wanted)
    seen, values = moment.row_condition("m")
    last = stretches.newest("iif(m.type = 'str', m.value, NULL)", "entities.entity_id", path, seen)
    return f"{last} = ?", (field, *values, wanted)


def count_kinds(scope: Scope) -> dict[str, int]:
    """See `Client.list_kinds`."""
    if scope.moment == NOW:
        return dict(
            scope.reader.rows(
                "SELECT kind, entities FROM kind_counts WHERE project = ? ORDER BY kind", (scope.project,)
            )
        )
    known, values = scope.moment.entity_condition()
    rows = scope.reader.rows(
        f"SELECT kind, count(*) FROM entities WHERE project = ? AND {known} AND {is_instance()}"
        " GROUP BY kind ORDER BY kind",
        (scope.project, *values),
    )
    return dict(rows)


def _place(before: Before) -> tuple[int, int] | None:
    if before is None:
        return None
    return before.place if isinstance(before, Entity) else (checked_position(before), 0)
