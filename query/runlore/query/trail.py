"""The log event by event: what each changed, of one entity or of a whole project."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runlore.query.entries import Entry, entry_of, events, value_of
from runlore.query.moments import NO_END, utc
from runlore.schemas.paths import parse_path
from runlore.schemas.references import EntityRef

if TYPE_CHECKING:
    from runlore.query.entity import Entity
    from runlore.query.lookup import Lookup

_OF_ENTITY = """SELECT position, entity_id FROM mentions
    WHERE entity_id = ? AND position < ? ORDER BY position DESC LIMIT ?"""
# One mention more than wanted entities an event: the newest of the whole log, then those of the project.
_OF_PROJECT = """SELECT m.position, m.entity_id FROM mentions m CROSS JOIN entities e USING (entity_id)
    WHERE m.position < ? AND e.project = ? AND (e.version != '' OR e.kind IN ('run', 'step', 'pipeline'))
    ORDER BY m.position DESC, m.entity_id LIMIT ?"""
_OF_EVENT = _OF_PROJECT.replace("m.position < ?", "m.position = ?")
_AFTER = "SELECT entity_id FROM mentions WHERE position > ? ORDER BY position, entity_id LIMIT ?"
_WHOSE = """SELECT entity_id, project, reference, iif(kind = 'step', run, NULL) FROM entities
    WHERE entity_id IN (SELECT value FROM json_each(?))"""
# Which leaves an event set: its entity's paths, and of each the one row at that position.
_CHANGES = """SELECT p.scope, p.path, n.type, n.value FROM heads h
    CROSS JOIN history n ON n.entity_id = h.entity_id AND n.path_id = h.path_id AND n.position = ?
    CROSS JOIN paths p ON p.path_id = h.path_id
    WHERE h.entity_id = ? AND h.position >= ? ORDER BY h.path_id LIMIT ?"""
_REFERENCES = "SELECT entity_id, reference FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))"
_TYPES = "SELECT position, type FROM events WHERE position IN (SELECT value FROM json_each(?))"

MAX_CHANGES = 200
"""Leaves that are shown of one event."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it touched one entity."""

    position: int
    reference: str
    fact: str
    """The kind of event, such as ``metadata_logged``."""
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Any
    run: str | None
    step: str | None
    metadata: list[Entry]
    """Leaves of the metadata that it set or ended."""
    fields: list[Entry]
    """What it changed of the entity itself: status, stage, note."""


def trail(entity: Entity, limit: int = 50, before: int | None = None) -> list[Happening]:
    """The events that mention an entity, newest first, as far as its moment sees; `before`: a position, excluded."""
    reader = entity.reader
    last = min(entity.moment.recorded("a trail"), NO_END - 1) + 1
    with reader.read():
        rows = reader.rows(_OF_ENTITY, (entity.entity_id, last if before is None else min(before, last), limit))
        return _happenings(entity.client, rows)


def recent(client: Lookup, limit: int = 20, before: int | None = None) -> list[Happening]:
    """What happened last in the client's project, newest first; `before`: a position, excluded.

    Events are whole: of one that touched many entities all are there, or it waits for the next page. Only an event that
    alone touched more than `limit` makes the answer longer.
    """
    last = min(client.moment.recorded("what is recent"), NO_END - 1) + 1
    with client.reader.read():
        upto = last if before is None else min(before, last)
        rows = client.reader.rows(_OF_PROJECT, (upto, client.project, limit + 1))
        if len(rows) > limit:
            parted: int = rows[limit][0]
            rows = [row for row in rows if row[0] > parted] or client.reader.rows(
                _OF_EVENT, (parted, client.project, -1)
            )
        return _happenings(client, rows)


class Touched(NamedTuple):
    """What events were about: entities of the client's project, and which other projects."""

    references: list[str]
    """In the order of the log; a run with each of its steps, whose metadata is its own."""
    projects: list[str]
    complete: bool
    """Whether this is all, and not the beginning of more."""


def touched(client: Lookup, after: int, mentions: int = 2000) -> Touched:
    """What the events after a position mention; looks at so many mentions at most."""
    with client.reader.read():
        rows = client.reader.rows(_AFTER, (after, mentions + 1))
        ids = list(dict.fromkeys(row[0] for row in rows[:mentions]))
        whose = {row[0]: row[1:] for row in client.reader.rows(_WHOSE, (_json(ids),))}
    found: dict[str, None] = {}
    others: dict[str, None] = {}
    for project, reference, run in map(whose.__getitem__, ids):
        if project != client.project:
            others[project] = None
            continue
        found[reference] = None
        if run is not None:
            found[str(EntityRef("run", run))] = None
    return Touched(list(found), list(others), len(rows) <= mentions)


def recorded_at(client: Lookup, position: int) -> dt.datetime | None:
    """When the log recorded the last event up to a position; None before the first."""
    row = client.reader.one(
        "SELECT recorded_us FROM events WHERE position <= ? ORDER BY position DESC LIMIT 1", (position,)
    )
    return None if row is None else utc(row[0])


def projects(client: Lookup) -> list[str]:
    """The names of all projects that the view knows."""
    found: list[str] = []
    row = client.reader.one("SELECT min(project) FROM entities")
    while row is not None and row[0] is not None:
        found.append(row[0])
        row = client.reader.one("SELECT min(project) FROM entities WHERE project > ?", (row[0],))
    return found


def _happenings(client: Lookup, rows: Iterable[tuple[int, int]]) -> list[Happening]:
    rows = list(rows)
    said = events(client.reader, (row[0] for row in rows))
    names = _references(client, (row[1] for row in rows))
    facts = dict(client.reader.rows(_TYPES, (_json(said),)))
    return [_happening(client, position, entity_id, said[position], facts[position], names[entity_id])
            for position, entity_id in rows]  # fmt: skip


def _happening(
    client: Lookup, position: int, entity_id: int, said: dict[str, Any], fact: str, reference: str
) -> Happening:
    changes: dict[str, list[Entry]] = {"metadata": [], "field": []}
    for scope, path, kind, cell in client.reader.rows(_CHANGES, (position, entity_id, position, MAX_CHANGES)):
        changes[scope].append(entry_of(parse_path(path)[0], path, kind, value_of(kind, cell), said))
    return Happening(
        reference=reference, fact=fact, metadata=changes["metadata"], fields=changes["field"], **said
    )  # fmt: skip


def _references(client: Lookup, ids: Iterable[int]) -> dict[int, str]:
    return dict(client.reader.rows(_REFERENCES, (_json(ids),)))


def _json(numbers: Iterable[int]) -> str:
    return str(sorted(set(numbers)))
