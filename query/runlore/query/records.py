"""Records as JSON: an entry, entity, event, change or difference is the same object from HTTP and the command line.

The names are those of the Python objects; docs/json.md lists them. A value is as exact as JSON allows, see `plain`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from runlore.query.activity import Activity
from runlore.query.compare.diff import Difference, Differences
from runlore.query.effect import effect_record
from runlore.query.entity import Entity
from runlore.query.entries import Entry
from runlore.query.evidence import LoggedEvent
from runlore.query.plain import plain
from runlore.query.watch.changes import Change
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.events import event_type
from runlore.store.cells import to_cell

Record = dict[str, Any]


def entry_record(entry: Entry) -> Record:
    """Return an entry: every field of `Entry`."""
    return {
        **msgspec.structs.asdict(entry),
        "value": plain(entry.value),
        "actor": msgspec.structs.asdict(entry.actor),
        "previous": plain(entry.previous),
        "reason": plain(entry.reason),
        "signer": plain(entry.signer),
    }


def entity_record(entity: Entity) -> Record:
    """Return what identifies an entity, and its fields."""
    return {
        "reference": entity.reference,
        "project": entity.project,
        "kind": entity.kind,
        "name": entity.name,
        "version": entity.version,
        "created": entity.created,
        "created_position": entity.created_position,
        "fields": plain(entity.fields),
    }


def whole_record(entity: Entity) -> Record:
    """Return an entity with the entry of each key, and its notes."""
    return {
        **entity_record(entity),
        "position": entity.position,
        "metadata": {key: entry_record(entry) for key, entry in entity.run_metadata.items()},
        "notes": [entry_record(entry) for entry in entity.notes],
    }


def change_record(change: Change) -> Record:
    """Return a change: its entry, whose it is, and the `place` to go on after."""
    return {
        "reference": change.reference,
        "project": change.project,
        "scope": change.scope,
        **entry_record(change.entry),
        "place": list(change.place),
    }


def activity_record(item: Activity) -> Record:
    """Return one event as it changed one entity."""
    return {
        **msgspec.structs.asdict(item),
        "actor": msgspec.structs.asdict(item.actor),
        "signer": plain(item.signer),
        "metadata": [entry_record(entry) for entry in item.metadata],
        "fields": [entry_record(entry) for entry in item.fields],
    }


def difference_record(item: Difference) -> Record:
    """Return a difference, with the types of both values; null where there is none."""
    return {
        **{name: plain(value) for name, value in item._asdict().items()},
        "before_type": None if item.change == "added" else to_cell(item.before)[0],
        "after_type": None if item.change == "removed" else to_cell(item.after)[0],
    }


def differences_record(found: Differences, *, equal: bool = True) -> Record:
    """Return both sides and their differences; `equal`: also the keys that are equal."""
    return {
        "before": {"reference": found.before.reference, "position": found.before.position},
        "after": {"reference": found.after.reference, "position": found.after.position},
        "position": found.position,
        "differences": [difference_record(item) for item in found if equal or item.change != "equal"],
    }


def logged_record(found: LoggedEvent) -> Record:
    """Return an event that was read from the log."""
    record = event_record(
        found.position, found.event_id, found.created, found.subject, found.duplicate_of, found.payload
    )
    return {**record, "signer": plain(found.signer), **effect_record(found.rejected, found.erasure)}


def event_record(
    position: int, event_id: str | None, created: dt.datetime, subject: str, duplicate_of: int | None, payload: bytes
) -> Record:
    """Return an archived event; of one that cannot be decoded the `error`, and no more than the log knows."""
    record: Record = {
        "position": position,
        "event_id": event_id,
        "created": created,
        "subject": subject,
        "duplicate_of": duplicate_of,
    }
    try:
        event = decode_event(payload)
    except EventDecodeError as error:
        return {**record, "error": str(error)}
    fields = {name: plain(getattr(event, name)) for name in event.__struct_fields__ if name not in ("id", "fact")}
    return {**record, "type": event_type(event.fact), **fields, "fact": plain(event.fact)}
