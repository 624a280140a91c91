"""Changes: the rows of the view's history in the order of the log, page by page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runlore.query.entity import entities_of
from runlore.query.entries import Entry
from runlore.query.scope import Scope
from runlore.query.time.moment import Moment
from runlore.query.view.budget import read_cell
from runlore.query.view.events import Envelope, envelopes
from runlore.query.watch.selection import Place, Selection, Selectors
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.schemas.references import EntityRef
from runlore.store import stretches
from runlore.store.cells import ENDED, read_reason

PAGE_CHANGES = 500
PAGE_POSITIONS = 10_000
"""A page reads no more of the log than this, however little of it is wanted."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One path or field of one entity that an event set or ended."""

    position: int
    project: str
    entity: EntityRef
    scope: str
    """``metadata`` for what people log, ``field`` for what Runlore knows: status, stage, note and others."""
    entry: Entry
    """The entry, with the value before it; type ``removed`` or ``retracted`` where it ended."""
    place: Place
    """Pass it as `since` to go on after this change, in the middle of an event too."""

    @property
    def reference(self) -> str:
        """The entity as text, such as ``model:churn@3``."""
        return str(self.entity)


class ChangeRow(NamedTuple):
    """One row of the query below."""

    position: int
    entity_id: int
    path_id: int
    kind: str
    run: str
    name: str
    version: str
    scope: str
    path: str
    type: str
    value: Any
    previous_type: str | None
    previous: Any

    @property
    def ref(self) -> EntityRef:
        return EntityRef(self.kind, self.name, self.version or None, self.run or None)


# Mentions give the order, so nothing is sorted: for each entity that an event changed, its paths, and of each path the
# one row at that position. A path whose head is older has none.
_BEFORE = stretches.newest(
    "o.position", "h.entity_id", "h.path_id", f"{stretches.upto('m.position')} AND o.position < m.position", "o"
)
_PAGE = f"""
SELECT c.position, c.entity_id, c.path_id, c.kind, c.run, c.name, c.version, c.scope, c.path,
    c.type, c.value, b.type, b.value
FROM (
    SELECT m.position, m.entity_id, h.path_id, e.kind, e.run, e.name, e.version, p.scope, p.path,
        n.type, n.value, {_BEFORE} AS before
    FROM mentions m
    CROSS JOIN entities e ON e.entity_id = m.entity_id
    CROSS JOIN heads h ON h.entity_id = m.entity_id AND h.position >= m.position {{paths}}
    CROSS JOIN history n ON {stretches.at("m.position", "h.entity_id", "h.path_id")}
    CROSS JOIN paths p ON p.path_id = h.path_id
    WHERE m.position BETWEEN :position AND :upto
    AND (m.position, m.entity_id, h.path_id) > (:position, :entity, :path) AND {{conditions}}
    ORDER BY m.position, m.entity_id, h.path_id LIMIT :limit
) c
LEFT JOIN history b ON {stretches.at("c.before", "c.entity_id", "c.path_id", "b")}
ORDER BY c.position, c.entity_id, c.path_id
"""


class Page(NamedTuple):
    """Wanted changes, and where the next page begins; `behind`: whether there is more of the log."""

    changes: list[Change]
    place: Place
    behind: bool


def read_page(scope: Scope, selection: Selection, after: Place) -> Page:
    """The wanted changes after a place, as one consistent read; it may have none and still move on."""
    reader = scope.reader
    with reader.read():
        head = scope.head
        if head < after.position or (head == after.position and after == Place(head)):
            return Page([], after, behind=False)
        upto = min(head, after.position + PAGE_POSITIONS)
        rows = _rows(scope, selection, after, upto)
        full = len(rows) == PAGE_CHANGES
        place = Place(*rows[-1][:3]) if full else Place(upto)
        return Page(_changes(scope, selection, rows), place, behind=full or upto < head)


def _rows(scope: Scope, selection: Selection, after: Place, upto: int) -> list[ChangeRow]:
    ids = selection.path_ids(scope.reader)
    if ids == []:
        return []
    conditions, values = selection.conditions()
    paths = "" if ids is None else f"AND h.path_id IN ({', '.join(map(str, ids))})"
    sql = _PAGE.format(conditions=conditions, paths=paths)
    values |= {"upto": upto, "limit": PAGE_CHANGES, **after._asdict()}
    with scope.reader.read() as connection:
        return [ChangeRow(*row) for row in connection.execute(sql, values)]


def _changes(scope: Scope, selection: Selection, rows: list[ChangeRow]) -> list[Change]:
    selectors, fits = Selectors(scope.reader, selection), _fitting(scope, selection)
    wanted = [
        (row, parts)
        for row in rows
        if selection.accepts(row.ref, parts := parse_path(row.path))
        and (row.kind == "step" or selectors.fits(row.version, row.position))
        and fits(row.entity_id, row.position)
    ]
    by_position = envelopes(scope.reader, (row.position for row, _ in wanted))
    return [_change(selection.project, row, parts, by_position[row.position]) for row, parts in wanted]


def _fitting(scope: Scope, selection: Selection) -> Callable[[int, int], bool]:
    """Return whether an entity fits the filter as of a position; asked once for all leaves of an event."""

    @functools.cache
    def fits(entity_id: int, position: int) -> bool:
        if selection.matches is None:
            return True
        (entity,) = entities_of(scope.at(Moment(position)), [entity_id])
        return selection.matches(entity, position)

    return fits


def _change(project: str, row: ChangeRow, parts: PathParts, envelope: Envelope) -> Change:
    ended = row.type in ENDED
    known = row.previous_type is not None and row.previous_type not in ENDED
    entry = Entry(
        value=None if ended else read_cell(row.type, row.value),
        type=row.type,
        key=parts[0],
        path=format_path(parts),
        reason=read_reason(row.value) if row.type == "retracted" else None,
        previous=read_cell(row.previous_type or "", row.previous) if known else None,
        previous_type=row.previous_type,
        **envelope,
    )
    return Change(
        position=row.position,
        project=project,
        entity=row.ref,
        scope=row.scope,
        entry=entry,
        place=Place(row.position, row.entity_id, row.path_id),
    )
