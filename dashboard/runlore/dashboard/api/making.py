"""Conversions from results of the query library to answers of the API."""

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
    ValueOut,
)
from runlore.query import Entity, Entry
from runlore.query.activity import Activity
from runlore.query.evidence import AuditState, LoggedEvent, SignedCheckpoint, event_plain
from runlore.query.plain import plain
from runlore.store.cells import to_cell


def value_out(value: Any, kind: str | None = None) -> ValueOut:
    """Return a value with its type name, by default that of its Python type."""
    return ValueOut(kind or to_cell(value)[0], plain(value))


def entry_out(entry: Entry) -> EntryOut:
    """Return an entry, with the previous value if it is part of a history."""
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
        value_out(entry.previous, entry.previous_type) if entry.replaced else None,
    )


def author_out(actor: Any) -> Author:
    """Return the author of an entry or event."""
    return Author(**msgspec.structs.asdict(actor))


def row_out(entity: Entity) -> EntityRow:
    """Return an entity of a list."""
    fields = {name: value_out(value) for name, value in entity.fields.items()}
    return EntityRow(
        entity.reference, entity.kind, entity.name, entity.version, entity.created_position, entity.created, fields
    )


def event_out(item: Activity) -> EventOut:
    """Return one event of the log."""
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
    """Return an archived event with its proof."""
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
    """Return a checkpoint with its root in hexadecimal."""
    return msgspec.convert({**msgspec.structs.asdict(checkpoint), "root": checkpoint.root.hex()}, CheckpointOut)


def audit_out(state: AuditState) -> AuditOut:
    """Return the state of the audit."""
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
