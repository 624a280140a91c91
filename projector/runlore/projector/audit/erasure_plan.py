"""What erasing an entity's values takes: which events hold them, and what else those events are about."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from runlore.projector.audit.trail import entities_of
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError, NotFoundError
from runlore.schemas.paths import PathParts, parse_path
from runlore.schemas.redaction import redacted
from runlore.schemas.references import EntityRef
from runlore.store.audit.erasure import ErasedEvent, redaction_of
from runlore.store.sqlite import open_reader, sqlite

_VALUES = """SELECT h.position, p.path FROM stretches s
    CROSS JOIN history h ON h.stretch = s.stretch AND h.entity_id = ? JOIN paths p USING (path_id)
    WHERE p.scope = 'metadata' AND h.type NOT IN ('removed', 'retracted', 'Erased')"""
_ABOUT = "SELECT DISTINCT reference FROM mentions JOIN entities USING (entity_id) WHERE position = ?"
_COPIES = "SELECT position, duplicate_of FROM log WHERE duplicate_of IS NOT NULL"
_PAYLOAD = "SELECT payload FROM log WHERE position = ?"


class ErasurePlan(NamedTuple):
    """The events that hold the values, and what the caller should know before they go."""

    events: list[ErasedEvent]
    values: int
    about: list[str]
    """The entities whose values they are: an event of several entities holds a value once, for all of them."""
    unsalted: int
    """Events without a salt: who knows the rest of one can try values against the hash that stays."""


def plan_erasure(
    view: Path, log: Path, project: str, ref: EntityRef, keys: Sequence[PathParts], reason: str
) -> ErasurePlan:
    """Find the values of an entity, of all its versions without one, at or below `keys` (none: all).

    Raises NotFoundError where there is no such value, EventDecodeError where an event cannot be redacted.
    """
    with contextlib.closing(open_reader(view)) as views, contextlib.closing(open_reader(log)) as rows:
        paths = _paths(views, project, ref, keys)
        if not paths:
            raise NotFoundError(f"{ref} has no value there, or it is erased already")
        about = {name for position in paths for (name,) in views.execute(_ABOUT, (position,))}
        copies = _copies(rows, paths)
        events: list[ErasedEvent] = []
        unsalted = 0
        for position in sorted({*paths, *copies}):
            payload, wanted = _payload(rows, position), paths[copies.get(position, position)]
            before = redaction_of(rows, position)
            logged = before.payload_hash if before else sha256(payload).digest()
            after = sha256(redacted(payload, wanted, reason)).digest()
            events.append(ErasedEvent(position, logged, after, tuple(sorted(wanted))))
            unsalted += before is None and not _salted(payload)
    return ErasurePlan(events, sum(map(len, paths.values())), sorted(about), unsalted)


def _paths(
    view: sqlite.Connection, project: str, ref: EntityRef, keys: Sequence[PathParts]
) -> dict[int, set[PathParts]]:
    """The paths of the values, by the position of their event."""
    found: defaultdict[int, set[PathParts]] = defaultdict(set)
    for entity_id, _ in entities_of(view, project, ref):
        for position, path in view.execute(_VALUES, (entity_id,)):
            parts = parse_path(path)
            if not keys or any(parts[: len(key)] == key for key in keys):
                found[position].add(parts)
    return dict(found)


def _copies(log: sqlite.Connection, paths: dict[int, set[PathParts]]) -> dict[int, int]:
    """Second copies of these events with the same content, and the first ones."""
    return {
        position: first
        for position, first in log.execute(_COPIES)
        if first in paths and _payload(log, first) == _payload(log, position)
    }


def _payload(log: sqlite.Connection, position: int) -> bytes:
    row = log.execute(_PAYLOAD, (position,)).fetchone()
    if row is None:
        raise NotFoundError(f"log.db does not hold event {position:,}")
    return bytes(row[0])


def _salted(payload: bytes) -> bool:
    with contextlib.suppress(EventDecodeError):
        return bool(decode_event(payload).salt)
    return False
