"""The last numbers of every leaf of an entity at once: what a small chart beside each value needs."""

from __future__ import annotations

from runlore.query.entity import Entity
from runlore.query.series import IS_NUMBER, NUMERIC
from runlore.query.view.leaves import prefixed
from runlore.store import stretches
from runlore.store.cells import from_cell, nearest_float

_LEAVES = f"""SELECT h.path_id, p.path FROM heads h CROSS JOIN paths p USING (path_id)
    WHERE h.entity_id = ? AND p.scope = 'metadata' AND h.type IN ({", ".join(repr(name) for name in NUMERIC)})
    ORDER BY h.path_id LIMIT ?"""
_LAST = f"""SELECT h.type, h.value FROM {stretches.of_leaf("?1", "?2")}
    WHERE {stretches.upto("?3")} AND h.position <= ?3 AND {IS_NUMBER}
    ORDER BY s.stretch DESC, h.position DESC LIMIT ?4"""


def sparklines(entity: Entity, points: int = 40, leaves: int = 200) -> dict[str, list[float]]:
    """The last numbers of each numeric leaf with a past, oldest first, by path; of the first `leaves` such leaves."""
    reader, last = entity.scope.reader, entity.moment.recorded("a small chart")
    found: dict[str, list[float]] = {}
    looked = 0
    with reader.read():
        for prefix, part in entity.parts():
            if looked >= leaves:
                break
            for path_id, path in reader.rows(_LEAVES, (part.entity_id, leaves - looked)):
                looked += 1
                rows = reader.rows(_LAST, (part.entity_id, path_id, last, points))
                if len(rows) > 1:
                    values = [nearest_float(from_cell(kind, cell)) for kind, cell in reversed(rows)]
                    found.setdefault(prefixed(path, prefix), values)  # a run's own goes before a step's
    return found
