"""Envelopes: who emitted an event, when and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runlore.query.time.moment import utc
from runlore.query.view.connection import ViewReader
from runlore.schemas.events import Actor
from runlore.schemas.signatures import Signer

Envelope = dict[str, Any]
"""Shared by the entries of one event: position, event_id, occurred_at, created, actor, run, step, at_step, signer."""

_EVENT = """SELECT position, event_id, occurred_us, recorded_us, actor_id, run_entity_id, step_entity_id,
    at_step, signer_id
    FROM events LEFT JOIN signatures USING (position) WHERE position IN (SELECT value FROM json_each(?))"""
_SIGNERS = """SELECT signer_id, public_key, standing, nullif(actor, '') FROM signers
    WHERE signer_id IN (SELECT value FROM json_each(?))"""
_SIGNER_OF = """SELECT public_key, standing, nullif(actor, '') FROM signatures JOIN signers USING (signer_id)
    WHERE position = ?"""
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
        signers = _signers(reader, {row[8] for row in rows} - {None})
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
            "signer": signers.get(row[8]),
        }
        for row in rows
    }


def signer_of(reader: ViewReader, position: int) -> Signer | None:
    """The key that signed an event; None for one that is not signed, or not in effect."""
    row = reader.one(_SIGNER_OF, (position,))
    return None if row is None else Signer(*row)


def _signers(reader: ViewReader, ids: set[int]) -> dict[int, Signer]:
    return {row[0]: Signer(*row[1:]) for row in reader.rows(_SIGNERS, (_json(ids),))} if ids else {}


def _json(numbers: Iterable[int]) -> str:
    return str(sorted(set(numbers)))
