"""The log event by event: what each changed, of one entity or of a whole project."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from runlore.query.entity import Entity
from runlore.query.entries import Entry, entry_of, value_of
from runlore.query.scope import Scope
from runlore.query.time.moment import NO_END, utc
from runlore.query.view.events import Envelope, envelopes
from runlore.schemas.paths import parse_path
from runlore.schemas.references import EntityRef
from runlore.schemas.signatures import Signer
from runlore.store import stretches
from runlore.store.kinds import is_instance

_OF_ENTITY = f"""SELECT m.position, m.entity_id FROM {stretches.of_entity("?1")}
    WHERE {stretches.upto("?2")} AND m.position < ?2 ORDER BY s.stretch DESC, m.position DESC LIMIT ?3"""
# One mention more than wanted entities an event: the newest of the whole log, then those of the project.
_OF_PROJECT = f"""SELECT m.position, m.entity_id FROM mentions m CROSS JOIN entities e USING (entity_id)
    WHERE m.position < ? AND e.project = ? AND {is_instance("e.")}
    ORDER BY m.position DESC, m.entity_id LIMIT ?"""
_OF_EVENT = _OF_PROJECT.replace("m.position < ?", "m.position = ?")
_AFTER = "SELECT entity_id FROM mentions WHERE position > ? ORDER BY position, entity_id LIMIT ?"
_WHOSE = """SELECT entity_id, project, reference, iif(kind = 'step', run, NULL) FROM entities
    WHERE entity_id IN (SELECT value FROM json_each(?))"""
# Which leaves an event set: its entity's paths, and of each the one row at that position.
_CHANGES = f"""SELECT p.scope, p.path, n.type, n.value FROM heads h
    CROSS JOIN history n ON {stretches.at("?1", "h.entity_id", "h.path_id")}
    CROSS JOIN paths p ON p.path_id = h.path_id
    WHERE h.entity_id = ?2 AND h.position >= ?1 ORDER BY h.path_id LIMIT ?3"""
_REFERENCES = "SELECT entity_id, reference FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))"
_TYPES = "SELECT position, type FROM events WHERE position IN (SELECT value FROM json_each(?))"

MAX_CHANGES = 200
"""Leaves that are shown of one event."""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it touched one entity."""

    position: int
    reference: str
    type: str
    """The kind of event, such as ``metadata_logged``."""
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Any
    run: str | None
    step: str | None
    at_step: int | None
    """The point on the training's own axis, if one was given."""
    metadata: list[Entry]
    """Leaves of the metadata that it set or ended."""
    fields: list[Entry]
    """Changes of the entity's own fields: status, stage, note."""
    signer: Signer | None


def entity_activity(entity: Entity, limit: int = 50, before: int | None = None) -> list[Activity]:
    """The events that mention an entity, newest first, as far as its moment sees; `before`: a position, excluded."""
    reader = entity.scope.reader
    last = min(entity.moment.recorded("a trail"), NO_END - 1) + 1
    with reader.read():
        rows = reader.rows(_OF_ENTITY, (entity.entity_id, last if before is None else min(before, last), limit))
        return _activities(entity.scope, rows)


def project_activity(scope: Scope, limit: int = 20, before: int | None = None) -> list[Activity]:
    """Return the latest events of the project, newest first; `before`: an event number, excluded.

    Events are whole: of one that touched many entities all are there, or it waits for the next page. Only an event that
    alone touched more than `limit` makes the answer longer.
    """
    last = min(scope.moment.recorded("what is recent"), NO_END - 1) + 1
    with scope.reader.read():
        upto = last if before is None else min(before, last)
        rows = scope.reader.rows(_OF_PROJECT, (upto, scope.project, limit + 1))
        if len(rows) > limit:
            parted: int = rows[limit][0]
            rows = [row for row in rows if row[0] > parted] or scope.reader.rows(_OF_EVENT, (parted, scope.project, -1))
        return _activities(scope, rows)


class Touched(NamedTuple):
    """Entities of the client's project that events mention, and names of other projects."""

    references: list[str]
    """In the order of the log; a run with each of its steps, whose metadata is its own."""
    projects: list[str]
    complete: bool
    """True if this is all, and not the beginning of more."""


def touched(scope: Scope, after: int, mentions: int = 2000) -> Touched:
    """Return what the events after a position mention; reads at most `mentions` mentions."""
    with scope.reader.read():
        rows = scope.reader.rows(_AFTER, (after, mentions + 1))
        ids = list(dict.fromkeys(row[0] for row in rows[:mentions]))
        whose = {row[0]: row[1:] for row in scope.reader.rows(_WHOSE, (_json(ids),))}
    found: dict[str, None] = {}
    others: dict[str, None] = {}
    for project, reference, run in map(whose.__getitem__, ids):
        if project != scope.project:
            others[project] = None
            continue
        found[reference] = None
        if run is not None:
            found[str(EntityRef("run", run))] = None
    return Touched(list(found), list(others), len(rows) <= mentions)


def recorded_at(scope: Scope, position: int) -> dt.datetime | None:
    """Return when the log recorded the last event up to a position; None before the first."""
    row = scope.reader.one(
        "SELECT recorded_us FROM events WHERE position <= ? ORDER BY position DESC LIMIT 1", (position,)
    )
    return None if row is None else utc(row[0])


def projects(scope: Scope) -> list[str]:
    """The names of all projects that the view knows."""
    found: list[str] = []
    row = scope.reader.one("SELECT min(project) FROM entities")
    while row is not None and row[0] is not None:
        found.append(row[0])
        row = scope.reader.one("SELECT min(project) FROM entities WHERE project > ?", (row[0],))
    return found


def _activities(scope: Scope, rows: Iterable[tuple[int, int]]) -> list[Activity]:
    rows = list(rows)
    by_position = envelopes(scope.reader, (row[0] for row in rows))
    names = _references(scope, (row[1] for row in rows))
    facts = dict(scope.reader.rows(_TYPES, (_json(by_position),)))
    return [_activity(scope, position, entity_id, by_position[position], facts[position], names[entity_id])
            for position, entity_id in rows]  # fmt: skip


def _activity(scope: Scope, position: int, entity_id: int, envelope: Envelope, fact: str, reference: str) -> Activity:
    changes: dict[str, list[Entry]] = {"metadata": [], "field": []}
    for part, path, kind, cell in scope.reader.rows(_CHANGES, (position, entity_id, MAX_CHANGES)):
        changes[part].append(entry_of(parse_path(path)[0], path, kind, value_of(kind, cell), envelope))
    return Activity(
        reference=reference, type=fact, metadata=changes["metadata"], fields=changes["field"], **envelope
    )  # fmt: skip


def _references(scope: Scope, ids: Iterable[int]) -> dict[int, str]:
    return dict(scope.reader.rows(_REFERENCES, (_json(ids),)))


def _json(numbers: Iterable[int]) -> str:
    return str(sorted(set(numbers)))
