"""Leaves: the last value of each path of an entity at a moment, and how they are put together to groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from runlore.query.time.moment import NOW, Moment
from runlore.query.view.budget import read_cell
from runlore.query.view.connection import ViewReader
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.store import stretches
from runlore.store.cells import ENDED, from_cell


class Leaf(msgspec.Struct, frozen=True):
    """One row of heads or history."""

    path_id: int
    parts: PathParts
    position: int
    type: str
    value: Any


# Of one entity, or of many (a run's steps) in one statement, entity by entity.
_ONE = "heads h JOIN paths p USING (path_id) WHERE h.entity_id = :entity AND p.scope = :scope"
_MANY = """json_each(:entities) e CROSS JOIN heads h ON h.entity_id = e.value JOIN paths p USING (path_id)
    WHERE p.scope = :scope"""
_HEADS = "SELECT h.entity_id, h.path_id, p.path, h.position, h.type, h.value FROM {heads} ORDER BY {order}h.path_id"

# For every path the entity ever had, the last row that may be seen. CROSS JOIN fixes the order: SQLite would start from
# history and read the entity's whole past.
_THEN = f"""SELECT l.entity_id, l.path_id, l.path, n.position, n.type, n.value FROM (
        SELECT h.entity_id, h.path_id, p.path, {{last}} AS last FROM {{{{heads}}}}) l
    CROSS JOIN history n ON {stretches.at("l.last", "l.entity_id", "l.path_id")} ORDER BY l.entity_id, l.path_id"""
_LAST = stretches.newest("m.position", "h.entity_id", "h.path_id", "{seen}")
# A head that was there already is the last row itself: most are, and need no search.
_AS_OF = _THEN.format(
    last=f"iif(h.position <= :position, h.position, {_LAST})".format(
        seen=f"{stretches.upto(':position')} AND m.position <= :position"
    )
)
# Producers' clocks are in no order, so this one walks back from the newest entry to the first that had occurred.
_OCCURRED = _THEN.format(
    last=_LAST.format(
        seen=f"{stretches.upto(':position')} AND m.position <= :position AND EXISTS"
        " (SELECT 1 FROM events o WHERE o.position = m.position AND o.occurred_us <= :occurred)"
    )
)
_FIELD = "(SELECT path_id FROM paths WHERE scope = 'field' AND key = ? AND path = ?)"
_FIELD_OF_MANY = f"""SELECT h.entity_id, h.type, h.value FROM json_each(?) e
    CROSS JOIN heads h ON h.entity_id = e.value AND h.path_id = {_FIELD}"""

StoredRow = tuple[int, str, int, str, Any]
"""Path ID, path, position, type, cell."""
Parts = Sequence[tuple[str, int]]
"""Entities whose leaves are shown together, each with the prefix of its keys."""
Cells = dict[str, tuple[str, Any]]
"""Type and cell of each live leaf by path."""


def rows_at(reader: ViewReader, entity_id: int, scope: str, moment: Moment) -> list[StoredRow]:
    """The last row of each leaf at a moment, ended ones included, in the order their paths were first seen."""
    rows = [row[1:] for row in _read(reader, _ONE, {"entity": entity_id, "scope": scope}, moment)]
    return _seen(cast(list[StoredRow], rows), moment)


def rows_of_parts(
    reader: ViewReader, parts: Parts, moment: Moment, scope: str = "metadata"
) -> list[tuple[str, list[StoredRow]]]:
    """`rows_at` of each part, with its prefix, in one statement."""
    if len(parts) == 1:
        prefix, entity_id = parts[0]
        return [(prefix, rows_at(reader, entity_id, scope, moment))]
    found: dict[int, list[StoredRow]] = {entity_id: [] for _, entity_id in parts}
    bound = {"entities": str(sorted(found)), "scope": scope}
    for entity_id, *row in _read(reader, _MANY, bound, moment):
        found[entity_id].append(cast(StoredRow, tuple(row)))
    return [(prefix, _seen(found[entity_id], moment)) for prefix, entity_id in parts]


def _read(reader: ViewReader, heads: str, bound: dict[str, Any], moment: Moment) -> list[tuple[Any, ...]]:
    if moment == NOW:
        return reader.rows(_HEADS.format(heads=heads, order="h.entity_id, " if heads == _MANY else ""), bound)
    bound["position"] = moment.position
    if moment.occurred_us is None:
        return reader.rows(_AS_OF.format(heads=heads), bound)
    return reader.rows(_OCCURRED.format(heads=heads), bound | {"occurred": moment.occurred_us})


def _seen(rows: list[StoredRow], moment: Moment) -> list[StoredRow]:
    if moment.occurred_us is None:
        return rows
    lost = contradicted((row[2], parse_path(row[1])) for row in rows if row[3] not in ENDED)
    return [row for row in rows if row[3] in ENDED or parse_path(row[1]) not in lost]


def contradicted(live: Iterable[tuple[int, PathParts]]) -> set[PathParts]:
    """Of leaves with their positions, those above or below another one that came later in the log.

    A group that replaces a value ends it, but by the producers' clocks the event that did so may be out of sight.
    """
    kept, above, lost = set[PathParts](), set[PathParts](), set[PathParts]()
    for _, parts in sorted(live, reverse=True):
        over = {parts[:size] for size in range(1, len(parts))}
        if parts in above or over & kept:
            lost.add(parts)
        else:
            kept.add(parts)
            above |= over
    return lost


def leaves(reader: ViewReader, entity_id: int, scope: str, moment: Moment) -> list[Leaf]:
    """The live leaves of an entity, in the order their paths were first seen."""
    # Fields are read to be used, and few.
    return live_leaves(rows_at(reader, entity_id, scope, moment), from_cell if scope == "field" else read_cell)


def live_leaves(rows: Iterable[StoredRow], read: Callable[[str, Any], Any] = read_cell) -> list[Leaf]:
    """The leaves of rows that have not ended."""
    return [
        Leaf(path_id, parse_path(path), position, kind, read(kind, cell))
        for path_id, path, position, kind, cell in rows
        if kind not in ENDED
    ]


def field_of_many(reader: ViewReader, ids: Sequence[int], name: str, moment: Moment) -> dict[int, Any]:
    """One field of many entities by entity ID, in one statement; without those that have none at the moment."""
    if moment == NOW:
        rows = reader.rows(_FIELD_OF_MANY, (str(list(ids)), name, format_path((name,))))
    else:
        seen, values = moment.row_condition("m")
        last = stretches.newest("m.position", "e.value", _FIELD, seen)
        sql = (
            f"SELECT l.entity_id, n.type, n.value FROM (SELECT e.value AS entity_id, {last} AS last"
            f" FROM json_each(?) e) l CROSS JOIN history n ON {stretches.at('l.last', 'l.entity_id', _FIELD)}"
        )
        field = (name, format_path((name,)))
        rows = reader.rows(sql, (*field, *values, str(list(ids)), *field))
    return {entity_id: from_cell(kind, cell) for entity_id, kind, cell in rows if kind not in ENDED}


def cells(reader: ViewReader, parts: Parts, moment: Moment) -> Cells:
    """Type and cell of each live leaf; of a key that several parts hold, those of the first."""
    return cells_of(rows_of_parts(reader, parts, moment))


def cells_of(parts: Iterable[tuple[str, list[StoredRow]]]) -> Cells:
    """The same of rows that were read."""
    found, taken = Cells(), set[str]()
    for prefix, rows in parts:
        own = {prefixed(path, prefix): (kind, cell) for _, path, _, kind, cell in rows if kind not in ENDED}
        keys = {path: parse_path(path)[0] for path in own}
        found |= {path: cell for path, cell in own.items() if keys[path] not in taken}
        taken.update(keys.values())
    return found


def prefixed(path: str, prefix: str) -> str:
    """A path with something in front of its key."""
    if not prefix:
        return path
    key, *names = parse_path(path)
    return format_path((prefix + key, *names))


def step_keys(text: str) -> Iterator[tuple[str, str]]:
    """Return what ``step::key`` may mean on a run: steps and keys, the shortest step first; names may hold ``::``."""
    at = text.find("::")
    while at >= 0:
        yield text[:at], text[at + 2 :]
        at = text.find("::", at + 1)


def assemble(found: Iterable[Leaf]) -> dict[str, Any]:
    """Plain values by key; leaves of a group put together again."""
    values: dict[str, Any] = {}
    for leaf in found:
        inside = values
        for part in leaf.parts[:-1]:
            inside = inside.setdefault(part, {})
        inside[leaf.parts[-1]] = leaf.value
    return values
