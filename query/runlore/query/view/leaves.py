"""Leaves: the last value of each path of an entity at a moment, and how they are put together to groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from runlore.query.time.moment import NOW, Moment
from runlore.query.view.budget import read_cell
from runlore.query.view.connection import ViewReader
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.store.cells import ENDED, from_cell


class Leaf(msgspec.Struct, frozen=True):
    """One row of heads or history."""

    path_id: int
    parts: PathParts
    position: int
    type: str
    value: Any


_HEADS = """SELECT h.path_id, p.path, h.position, h.type, h.value FROM heads h JOIN paths p USING (path_id)
    WHERE h.entity_id = ? AND p.scope = ? ORDER BY h.path_id"""

# For every path the entity ever had, the last row that may be seen: one seek a path. CROSS JOIN fixes the
# order: SQLite would start from history and read the entity's whole past.
_THEN = """SELECT n.path_id, p.path, n.position, n.type, n.value FROM heads h JOIN paths p USING (path_id)
    CROSS JOIN history n ON n.entity_id = h.entity_id AND n.path_id = h.path_id AND n.position = ({last})
    WHERE h.entity_id = ? AND p.scope = ? ORDER BY h.path_id"""
_AS_OF = _THEN.format(
    last="SELECT max(position) FROM history WHERE entity_id = h.entity_id AND path_id = h.path_id AND position <= ?"
)
# Producers' clocks are in no order, so this one walks back from the newest entry to the first that had occurred.
_OCCURRED = _THEN.format(
    last="""SELECT b.position FROM history b CROSS JOIN events o ON o.position = b.position
    WHERE b.entity_id = h.entity_id AND b.path_id = h.path_id AND b.position <= ? AND o.occurred_us <= ?
    ORDER BY b.position DESC LIMIT 1"""
)

StoredRow = tuple[int, str, int, str, Any]
"""Path ID, path, position, type, cell."""
Cells = dict[str, tuple[str, Any]]
"""Type and cell of each live leaf by path."""


def rows_at(reader: ViewReader, entity_id: int, scope: str, moment: Moment) -> list[StoredRow]:
    """The last row of each leaf at a moment, ended ones included, in the order their paths were first seen."""
    if moment == NOW:
        rows = reader.rows(_HEADS, (entity_id, scope))
    elif moment.occurred_us is None:
        rows = reader.rows(_AS_OF, (moment.position, entity_id, scope))
    else:
        rows = reader.rows(_OCCURRED, (*moment, entity_id, scope))
        live = [(row[2], parse_path(row[1])) for row in rows if row[3] not in ENDED]
        lost = contradicted(live)
        rows = [row for row in rows if row[3] in ENDED or parse_path(row[1]) not in lost]
    return cast(list[StoredRow], rows)


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
    read = from_cell if scope == "field" else read_cell  # fields are read to be used, and few
    return [
        Leaf(path_id, parse_path(path), position, kind, read(kind, cell))
        for path_id, path, position, kind, cell in rows_at(reader, entity_id, scope, moment)
        if kind not in ENDED
    ]


def field_of_many(reader: ViewReader, ids: Sequence[int], name: str, moment: Moment) -> dict[int, Any]:
    """One field of many entities by entity ID, in one statement; without those that have none at the moment."""
    seen, values = moment.event_condition("m.position")
    rows = reader.rows(
        "SELECT n.entity_id, n.type, n.value FROM json_each(?) e CROSS JOIN history n ON n.entity_id = e.value"
        " AND n.path_id = (SELECT path_id FROM paths WHERE scope = 'field' AND key = ? AND path = ?)"
        " AND n.position = (SELECT max(m.position) FROM history m"
        f" WHERE m.entity_id = n.entity_id AND m.path_id = n.path_id AND {seen})",
        (str(list(ids)), name, format_path((name,)), *values),
    )
    return {entity_id: read_cell(kind, cell) for entity_id, kind, cell in rows if kind not in ENDED}


def cells(reader: ViewReader, entity_id: int, moment: Moment, prefix: str = "") -> Cells:
    """Type and cell of each live leaf; `prefix` goes in front of the keys."""
    rows = rows_at(reader, entity_id, "metadata", moment)
    return {prefixed(path, prefix): (kind, cell) for _, path, _, kind, cell in rows if kind not in ENDED}


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
