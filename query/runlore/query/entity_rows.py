"""The view's rows of entities: one by its name, many by their IDs, those that others link to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runlore.query.scope import Scope
from runlore.schemas.references import UNVERSIONED_KINDS

COLUMNS = (
    "entities.entity_id, entities.project, entities.kind, entities.run, entities.name, entities.version,"
    " entities.reference, entities.created_position"
)
"""The row that an entity is made from."""

EntityRow = tuple[Any, ...]
"""A row of `COLUMNS`."""


def named(scope: Scope, kind: str, run: str, name: str, version: str) -> EntityRow | None:
    """The row of a kind, name and version (or run), if something had named it by the scope's moment."""
    known, values = scope.moment.entity_condition()
    return scope.reader.one(
        f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ? AND version = ?"
        f" AND {known}",
        (scope.project, kind, run, name, version, *values),
    )


def is_known(scope: Scope, entity_id: int) -> bool:
    """Return whether an entity existed at the scope's moment."""
    known, values = scope.moment.entity_condition()
    return scope.reader.one(f"SELECT 1 FROM entities WHERE entity_id = ? AND {known}", (entity_id, *values)) is not None


def by_ids(scope: Scope, ids: Sequence[int]) -> list[EntityRow]:
    """The rows of entity IDs, in that order."""
    rows = scope.reader.rows(
        f"SELECT {COLUMNS} FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))", (str(list(ids)),)
    )
    by_id = {row[0]: row for row in rows}
    return [by_id[entity_id] for entity_id in ids]


def newest(
    scope: Scope, kind: str, limit: int, name: str | None = None, before: tuple[int, int] | None = None
) -> list[EntityRow]:
    """Rows of a kind (versions, where it has them), newest first.

    `before`: position of creation and entity ID of the row that the page follows.
    """
    known, seen = scope.moment.entity_condition()
    conditions, values = ["project = ?", "kind = ?", known], list[Any]([scope.project, kind, *seen])
    if before is not None:
        # One event can name many entities, so a position alone cannot say where a page ended.
        conditions.append("(created_position, entity_id) < (?, ?)")
        values += before
    if kind not in UNVERSIONED_KINDS:
        conditions.append("version != ''")
    if name is not None:
        conditions.append("name = ?")
        values.append(name)
        if kind not in UNVERSIONED_KINDS:
            conditions.append("run = ''")  # always true, and with it the index by name serves
    return scope.reader.rows(
        f"SELECT {COLUMNS} FROM entities WHERE {' AND '.join(conditions)}"
        " ORDER BY created_position DESC, entity_id DESC LIMIT ?",
        (*values, limit),
    )


def steps_of(scope: Scope, run: str) -> list[EntityRow]:
    """The steps of a run, in the order in which the log named them."""
    known, values = scope.moment.entity_condition()
    return scope.reader.rows(
        f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = 'step' AND run = ?"
        f" AND {known} ORDER BY entity_id",
        (scope.project, run, *values),
    )


def steps_of_many(scope: Scope, runs: Iterable[str]) -> list[tuple[str, str, int]]:
    """Run, name and entity ID of the steps of runs, in the order in which the log named them."""
    known, values = scope.moment.entity_condition()
    return scope.reader.rows(
        "SELECT run, name, entity_id FROM entities WHERE project = ? AND kind = 'step'"
        f" AND run IN (SELECT value FROM json_each(?)) AND {known} ORDER BY entity_id",
        (scope.project, msgspec.json.encode(list(runs)).decode(), *values),
    )


def targets_of(scope: Scope, source: int, relations: Iterable[str]) -> list[EntityRow]:
    """Return the entities that one relates to in one of these ways, in log order."""
    return _linked(scope, "source_id", source, "target_id", relations)


def sources_of(scope: Scope, target: int, relations: Iterable[str]) -> list[EntityRow]:
    """Return the entities that relate to one in one of these ways, in log order."""
    return _linked(scope, "target_id", target, "source_id", relations)


def _linked(scope: Scope, one: str, entity_id: int, other: str, relations: Iterable[str]) -> list[EntityRow]:
    seen, values = scope.moment.event_condition("links.position")
    names = ", ".join(f"'{relation}'" for relation in relations)
    return scope.reader.rows(
        f"SELECT {COLUMNS} FROM links JOIN entities ON entity_id = {other}"
        f" WHERE {one} = ? AND relation IN ({names}) AND {seen} GROUP BY entity_id ORDER BY min(position), entity_id",
        (entity_id, *values),
    )
