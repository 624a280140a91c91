"""From what the query library answers to what the API does."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.dashboard.api.types import (
    AuditOut,
    Author,
    CheckpointOut,
    EntityRow,
    EntryOut,
    EventOut,
    LoggedEventOut,
    ProofOut,
    ProofStep,
    Value,
)
from runlore.query import Entity, Entry
from runlore.query.activity import Activity
from runlore.query.evidence import AuditState, LoggedEvent, SignedCheckpoint, event_plain
from runlore.query.plain import plain
from runlore.store.cells import to_cell


def value_out(value: Any, kind: str | None = None) -> Value:
    """A value with its type name, which is found out unless given."""
    return Value(kind or to_cell(value)[0], plain(value))


def entry_out(entry: Entry) -> EntryOut:
    """An entry; the value before it, where it is part of a history."""
    known = entry.previous_type not in (None, "removed", "retracted")
    return EntryOut(
        entry.path,
        value_out(entry.value, entry.type),
        entry.position,
        entry.created,
        entry.occurred_at,
        entry.event_id,
        author_out(entry.actor),
        entry.run,
        entry.step,
        entry.reason,
        value_out(entry.previous, entry.previous_type) if known else None,
    )


def author_out(actor: Any) -> Author:
    """Who it was, without the pid where none was said."""
    return Author(**msgspec.structs.asdict(actor))


def row_out(entity: Entity) -> EntityRow:
    """An entity as in a list."""
    fields = {name: value_out(value) for name, value in entity.fields.items()}
    return EntityRow(
        entity.reference, entity.kind, entity.name, entity.version, entity.created_position, entity.created, fields
    )


def event_out(item: Activity) -> EventOut:
    """One event of a trail."""
    return EventOut(
        item.position,
        item.reference,
        item.fact,
        item.created,
        item.event_id,
        author_out(item.actor),
        item.run,
        item.step,
        [entry_out(entry) for entry in item.metadata],
        [entry_out(entry) for entry in item.fields],
    )


def logged_event_out(found: LoggedEvent) -> LoggedEventOut:
    """An event with its proof."""
    proof = found.proof
    return LoggedEventOut(
        found.position,
        found.event_id,
        found.recorded_at,
        found.subject,
        found.headers,
        found.payload,
        found.duplicate_of,
        None if found.event is None else event_plain(found.event),
        found.decode_error,
        None
        if proof is None
        else ProofOut(
            proof.index,
            proof.leaf.hex(),
            [ProofStep(step.sibling.hex(), step.on_left, step.gives.hex()) for step in proof.steps],
            checkpoint_out(proof.checkpoint),
        ),
        found.unproved,
        found.tampered,
    )


def checkpoint_out(checkpoint: SignedCheckpoint) -> CheckpointOut:
    """A checkpoint, its root readable."""
    return msgspec.convert({**msgspec.structs.asdict(checkpoint), "root": checkpoint.root.hex()}, CheckpointOut)


def audit_out(state: AuditState) -> AuditOut:
    """The state of the audit."""
    return AuditOut(
        state.epoch,
        state.position,
        state.leaves,
        state.root.hex(),
        state.checkpoints,
        None if state.checkpoint is None else checkpoint_out(state.checkpoint),
        state.gaps,
        state.verify,
    )
