"""Where the content about an entity lies: the events, and the fields of their facts, as the view knows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from runlore.store.cells import ENDED
from runlore.store.sqlite import sqlite

_ROWS = """SELECT DISTINCT h.position, p.scope, iif(p.scope = 'field', p.key, ''), h.type
    FROM stretches s CROSS JOIN history h ON h.stretch = s.stretch AND h.entity_id = ? JOIN paths p USING (path_id)
    WHERE h.position <= ?
    AND (p.scope = 'metadata' OR p.key IN ('note', 'parameters', 'environment', 'error_message', 'stage_reason'))"""
_ABOUT = """SELECT reference, project FROM mentions JOIN entities USING (entity_id) WHERE position = ?
    ORDER BY entity_id"""
_QUARANTINED = "SELECT subject FROM quarantine WHERE position = ?"
_OLD = "SELECT position FROM quarantine WHERE recorded_us <= ? ORDER BY position"
_NO_END = 2**63 - 1

_FIELDS = {
    "note": "text",
    "parameters": "parameters",
    "environment": "environment",
    "error_message": "error_message",
    "stage_reason": "reason",
}
"""The fields of entities that repeat content of facts."""


class About(NamedTuple):
    """An entity that an event is about."""

    reference: str
    project: str


def fields_of(view: sqlite.Connection, entity_ids: Iterable[int], until: int = _NO_END) -> dict[int, set[str]]:
    """The fields of facts with content about these entities, by the position of the event, up to one."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for entity_id in entity_ids:
        for position, scope, key, kind in view.execute(_ROWS, (entity_id, until)):
            field = _field(scope, key, kind)
            if field is not None:
                found[position].add(field)
    return dict(found)


def _field(scope: str, key: str, kind: str) -> str | None:
    if scope == "field":
        return None if kind in ENDED else _FIELDS[key]
    if kind in ENDED:
        return "reason" if kind == "retracted" else None
    return "metadata"


def about(view: sqlite.Connection, position: int) -> list[About]:
    """The entities that an event in effect is about."""
    return [About(*row) for row in view.execute(_ABOUT, (position,))]


def quarantined_subject(view: sqlite.Connection, position: int) -> str | None:
    """The subject of a quarantined event; None if the event at this position is not in quarantine."""
    row = view.execute(_QUARANTINED, (position,)).fetchone()
    return None if row is None else str(row[0])


def quarantined(view: sqlite.Connection, until_us: int) -> list[int]:
    """The positions of quarantined events that were recorded up to a time."""
    return [row[0] for row in view.execute(_OLD, (until_us,))]
