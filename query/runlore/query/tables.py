"""Many entities as one table: a row each, a column for each field, parameter and path of metadata."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from runlore.query import entity_rows
from runlore.query.entities import PipelineRun, read_names
from runlore.query.entity import Entity
from runlore.query.frames import Frame
from runlore.query.scope import Scope
from runlore.query.time.moment import utc
from runlore.query.view.budget import read_cell
from runlore.query.view.leaves import Cells, StoredRow, cells_of, rows_of_parts
from runlore.schemas.errors import ArgumentError
from runlore.schemas.paths import format_path, parse_path
from runlore.store.cells import ENDED, from_cell

CHUNK = 500
"""Entities that are read with one statement."""
OWN = ("reference", "name", "version", "created")
"""Columns of every entity."""
DICTS = ("parameters", "environment")
"""Fields that hold a dict; parameters become columns (`parameters.lr`), the environment only where it is asked for."""
_CREATED = "SELECT position, recorded_us FROM events WHERE position IN (SELECT value FROM json_each(?))"
ColumnValues = dict[str, Any]


def table_of(entities: Iterable[Entity], columns: Sequence[str] | None = None) -> Frame:
    """A row for each entity as of its moment; see `Client.table`."""
    listed = list(entities)
    if columns is not None and (isinstance(columns, str) or not all(isinstance(name, str) for name in columns)):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
        raise ArgumentError("columns is a list of keys and fields, such as ['name', 'status', 'metrics.accuracy']")
    if not listed:
        return Frame({name: [] for name in columns or OWN})
    ask: Callable[..., Frame] | None = getattr(listed[0].scope, "ask", None)  # a query service reads its own view
    if ask is not None:
        return ask("table", entities=listed, columns=columns)
    rows: list[ColumnValues] = []
    with listed[0].scope.reader.read():
        for scope, group in itertools.groupby(listed, key=lambda entity: entity.scope):
            same = list(group)
            for first in range(0, len(same), CHUNK):
                rows += _values(scope, same[first : first + CHUNK])
        position = max(entity.position for entity in listed)
    names = list(columns) if columns is not None else _columns(rows)
    return Frame({name: [_value(row, name) for row in rows] for name in names}, position)


def _columns(rows: Iterable[ColumnValues]) -> list[str]:
    """What all of them have, first; then fields, parameters and metadata in the order of their first appearance."""
    seen: dict[str, None] = dict.fromkeys(OWN)
    for row in rows:
        seen.update(dict.fromkeys(row))
    return [name for name in seen if name not in DICTS]


def _value(row: ColumnValues, name: str) -> Any:
    if name in row:
        return row[name]
    field, _, inner = name.partition(".")
    if field in DICTS and isinstance(row.get(field), dict):  # a part of the environment, however deep
        found: Any = row[field]
        for part in parse_path(inner) if inner else ():
            found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
        return found
    return None


def _values(scope: Scope, entities: Sequence[Entity]) -> list[ColumnValues]:
    """The values of entities of one scope by column."""
    reader, moment = scope.reader, scope.moment
    read_names([entity for entity in entities if isinstance(entity, PipelineRun)])
    positions = str(sorted({entity.created_position for entity in entities}))
    created = {position: utc(micros) for position, micros in reader.rows(_CREATED, (positions,))}
    parts = _parts(scope, entities)
    flat = [part for own in parts for part in own]
    stored = iter(rows_of_parts(reader, flat, moment))
    fields = rows_of_parts(reader, [("", entity.entity_id) for entity in entities], moment, "field")
    made: list[ColumnValues] = []
    for entity, own, (_, field_rows) in zip(entities, parts, fields, strict=True):
        row: ColumnValues = {
            "reference": entity.reference,
            "name": entity.name,
            "version": entity.version,
            "created": created.get(entity.created_position),
        }
        row |= _fields(field_rows)
        cells: Cells = cells_of(itertools.islice(stored, len(own)))
        row |= {path: read_cell(*cell) for path, cell in cells.items()}
        made.append(row)
    return made


def _parts(scope: Scope, entities: Sequence[Entity]) -> list[list[tuple[str, int]]]:
    """Of each entity the numbers of its parts, with their prefixes: a run's are its steps, too."""
    runs = [entity.id for entity in entities if isinstance(entity, PipelineRun)]
    steps: dict[str, list[tuple[str, int]]] = {run: [] for run in runs}
    for run, name, entity_id in entity_rows.steps_of_many(scope, runs) if runs else ():
        steps[run].append((f"{name}::", entity_id))
    return [
        [("", entity.entity_id), *(steps[entity.id] if isinstance(entity, PipelineRun) else ())] for entity in entities
    ]


def _fields(rows: Iterable[StoredRow]) -> ColumnValues:
    """Fields, a run's name aside: that is the entity's own."""
    found: ColumnValues = {}
    for _, path, _, kind, cell in rows:
        name = parse_path(path)[0]
        if kind in ENDED or name == "name":
            continue
        value = found[name] = from_cell(kind, cell)
        if name == "parameters" and isinstance(value, dict):
            found |= {format_path((name, key)): item for key, item in cast("dict[str, Any]", value).items()}
    return found
