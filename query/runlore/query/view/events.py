"""Envelopes: who emitted an event, when and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runlore.query.time.moment import utc
from runlore.query.view.connection import ViewReader
from runlore.schemas.events import Actor

Envelope = dict[str, Any]
"""Shared by the entries of one event: position, event_id, occurred_at, created, actor, run, step, at_step."""

_EVENT = """SELECT position, event_id, occurred_us, recorded_us, actor_id, run_entity_id, step_entity_id,
    at_step FROM events WHERE position IN (SELECT value FROM json_each(?))"""
_ACTORS = "SELECT actor_id, user, host, pid, library FROM actors WHERE actor_id IN (SELECT value FROM json_each(?))"
_NAMES = "SELECT entity_id, name FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))"


def envelopes(reader: ViewReader, positions: Iterable[int]) -> dict[int, Envelope]:
    """The envelope of the event at each position."""
    with reader.read():
        rows = reader.rows(_EVENT, (_json(positions),))
        # A thousand entries have few actors, runs and steps: each is read once.
        actors = {row[0]: Actor(*row[1:]) for row in reader.rows(_ACTORS, (_json(row[4] for row in rows),))}
        ids = (entity_id for row in rows for entity_id in row[5:7] if entity_id is not None)
        names = dict(reader.rows(_NAMES, (_json(ids),)))
    return {
        row[0]: {
            "position": row[0],
            "event_id": row[1],
            "occurred_at": utc(row[2]),
            "created": utc(row[3]),
            "actor": actors[row[4]],
            "run": names.get(row[5]),
            "step": names.get(row[6]),
            "at_step": row[7],
        }
        for row in rows
    }


def _json(numbers: Iterable[int]) -> str:
    return str(sorted(set(numbers)))
